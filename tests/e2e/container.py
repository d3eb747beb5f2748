"""A small builder of images, for machines without one: the steps of a Dockerfile as commands, each alone in a directory
that is its root, and a container of the result. It takes root, for mounts; they are gone with the process.

The base image is this machine's system, with the Python that runs the tests in its place.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM = ("usr", "bin", "sbin", "lib", "lib64", "etc", "dev", "proc")
# A Python that was built to look for its library where it lay finds another one's otherwise.
ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": "/usr/local/lib"}
PLACES = ("app", "data", "opt", "tmp")


@dataclass
class Stage:
    """``root``: what it has made; the system's own directories are mounted into it for each command."""

    root: Path
    environ: dict[str, str] = field(default_factory=lambda: dict(ENVIRON))
    folder: str = "/"
    user: str = "0:0"
    entry: list[str] = field(default_factory=list)

    def command(self, words: Sequence[str], mounts: Mapping[str, Path], *, read_only: bool = False) -> list[str]:
        """What runs that in it. ``mounts``: what lies where, besides."""
        lines = ["set -e", f"mount --bind {self.root} {self.root}"]
        lines += [f"mount --rbind /{name} {self.root}/{name}" for name in SYSTEM if not Path("/", name).is_symlink()]
        lines.append(f"mount --bind {sys.base_prefix} {self.root}/usr/local")
        if read_only:
            lines += [f"mount -o remount,bind,ro {self.root}", f"mount -t tmpfs -o mode=1777 tmpfs {self.root}/tmp"]
        lines += [f"mount --bind {there} {self.root}{place}" for place, there in mounts.items()]
        given = shlex.join([f"{name}={value}" for name, value in self.environ.items()])
        inner = shlex.join(["chroot", f"--userspec={self.user}", "--groups=", str(self.root), "/usr/bin/env", "-i"])
        lines.append(f"exec {inner} -C {self.folder} {given} {shlex.join(words)}")
        return ["unshare", "--mount", "sh", "-c", "\n".join(lines)]


def build(dockerfile: Path, context: Path, folder: Path, wheels: Path) -> Stage:
    """The last stage. Of the context there is only what `.dockerignore` beside the Dockerfile lets in; pip takes what
    it installs from ``wheels``."""
    ignored = dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    sent = folder / "context"
    for name in ignored[1:]:
        _copy(context / name.removeprefix("!"), sent / name.removeprefix("!"))
    stages: dict[str, Stage] = {}
    stage, arguments = Stage(folder), dict[str, str]()
    for word, rest in steps(dockerfile.read_text()):
        if word == "FROM":
            assert rest.split()[0] == "${BASE}" and "python:" in arguments["BASE"]
            name = rest.split()[2] if len(rest.split()) == 3 else str(len(stages))
            stages[name] = stage = Stage(_root(folder / "stages" / name))
        elif word == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = stage.environ[name] = value
        elif word == "ENV":
            for each in shlex.split(rest):
                name, _, value = each.partition("=")
                stage.environ[name] = string.Template(value).substitute(stage.environ)
        elif word == "WORKDIR":
            stage.folder = rest
        elif word == "USER":
            stage.user = rest
        elif word == "ENTRYPOINT":
            stage.entry = json.loads(rest)
        elif word == "COPY":
            _copy_step(rest, stage, stages, sent)
        elif word == "RUN":
            # The Python here may come without pip, which the base image has: it lies beside the wheels.
            words = ["env", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/tmp", "PYTHONPATH=/tmp", "sh", "-c", rest]
            done = subprocess.run(stage.command(words, {"/tmp": wheels}), capture_output=True, text=True)
            assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        else:
            raise AssertionError(f"a step that is not known here: {word}")
    return stage


def steps(text: str) -> list[tuple[str, str]]:
    """Instructions and what follows them, on one line each."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in whole]


def _root(root: Path) -> Path:
    root.mkdir(parents=True)
    for name in SYSTEM:
        system = Path("/", name)
        if system.is_symlink():
            (root / name).symlink_to(system.readlink())
        elif system.is_dir():
            (root / name).mkdir()
    for name in PLACES:
        (root / name).mkdir()
    return root


def _copy_step(rest: str, stage: Stage, stages: Mapping[str, Stage], context: Path) -> None:
    options = dict(word[2:].split("=") for word in rest.split() if word.startswith("--"))
    words = json.loads(rest) if rest.startswith("[") else [word for word in rest.split() if not word.startswith("--")]
    source = stages[options["from"]].root if "from" in options else context
    target = stage.root / words[-1].lstrip("/")
    for word in words[:-1]:
        found = source / word.lstrip("/")
        to = target / found.name if words[-1].endswith("/") and found.is_file() else target
        _copy(found, to)
    if "chown" in options:
        os.chown(target, *map(int, options["chown"].split(":")))


def _copy(source: Path, target: Path) -> None:
    """Links in place of copies: what is copied is as large as all libraries together, and nobody writes into it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, copy_function=_link)
    else:
        _link(source, target)


def _link(source: Path | str, target: Path | str) -> None:
    if Path(source).is_symlink() or Path(source).stat().st_dev != Path(target).parent.stat().st_dev:
        shutil.copy2(source, target, follow_symlinks=False)
    else:
        os.link(source, target)
