"""The engine, built of its published Go module once and kept in a cache that all test processes share.

``PENSTOCK_CACHE`` names the folder of the cache; its default is ``~/.cache/penstock``. ``python -m
tests.deploy.engine.build`` builds it ahead. It takes six minutes of a core, so CI begins with it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "v3.274.1"
MODULE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
# Of Pulumi's own go.mod, whose replacements do not hold for who depends on it.
REPLACED = "github.com/atotto/clipboard=github.com/tgummerer/clipboard@v0.0.0-20241001131231-d02d263e614e"
OLDEST_GO = (1, 26)  # older ones fetch a newer one by themselves from 1.21 on
BUILT_WITHIN_S = 2_400.0
# Neither symbols nor traces of the stack: it is never debugged, and is linked faster.
LINKED = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={VERSION}"


class NoEngine(Exception):
    """There is none, and this machine cannot build it; the message says why."""


def engine() -> Path:
    """The program, after building what is not in the cache yet. Raises ``NoEngine``."""
    root = Path(os.environ.get("PENSTOCK_CACHE") or Path.home() / ".cache" / "penstock")
    found = root / f"pulumi-{VERSION}" / "pulumi"
    if not found.exists():
        root.mkdir(parents=True, exist_ok=True)
        with (root / "building-pulumi.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second waits for who builds it
            if not found.exists():
                _build(found)
    return found


def _build(into: Path) -> None:
    if shutil.which("go") is None:
        raise NoEngine(f"there is no go on the path, and Pulumi {VERSION} is not in {into.parent.parent} yet")
    told = subprocess.run(["go", "version"], capture_output=True, text=True, timeout=60, check=False).stdout
    version = re.search(r"go(\d+)\.(\d+)", told)
    if version is None or (int(version[1]), int(version[2])) < (1, 21):
        raise NoEngine(
            f"Pulumi {VERSION} is built with Go {'.'.join(map(str, OLDEST_GO))}, and there is: {told.strip()}"
        )
    with tempfile.TemporaryDirectory(dir=into.parent.parent) as scratch:
        module, built = Path(scratch, "module"), Path(scratch, "built")
        module.mkdir()
        built.mkdir()
        _go(module, "mod", "init", "engine")
        _go(module, "mod", "edit", "-replace", REPLACED)
        _go(module, "get", "-tool", f"{MODULE}@{VERSION}")
        _go(module, "build", "-ldflags", LINKED, "-o", str(built / "pulumi"), MODULE)
        built.rename(into.parent)


def _go(folder: Path, *arguments: str) -> None:
    # What a machine is set to of its own, ``-mod=vendor`` say, is not for this module.
    env = os.environ | {"GOFLAGS": "-mod=mod -buildvcs=false", "GOWORK": "off"}
    done = subprocess.run(
        ["go", *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=BUILT_WITHIN_S, check=False
    )
    if done.returncode != 0:
        raise NoEngine(f"go {arguments[0]} failed:\n{(done.stdout + done.stderr)[-2_000:]}")


if __name__ == "__main__":
    try:
        print(engine())
    except NoEngine as error:
        sys.exit(str(error))
