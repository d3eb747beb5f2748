"""As a container of a cluster has it: no root, and nothing that can be written to but ``--data`` and /tmp."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e import rig
from tests.e2e.roles import Half, begun

USER = 10001
QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart" / "app.py"
PAYMENT = {"id": "p1", "card": "c7", "amount": 120, "country": "US"}
# In the room they take the place of what this machine has there. Nothing of it is seen outside.
DATA, PLANTED, TMP = Path("/srv"), Path("/media"), Path("/tmp")
NOBODY = "--clear-groups --no-new-privs --bounding-set -all --inh-caps -all"


def room(planted: Path, command: list[str]) -> list[str]:
    """The command in a place of its own of that kind. ``planted``: see ``rig.planted``."""
    paths = _outermost({Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[2]})
    closed = {path: top for path in paths if (top := _covered(path)) is not None}
    tops = set(closed.values()) - {TMP}
    lines = ["set -e", "mount --make-rprivate /", f"mount --bind {planted} {PLANTED}", "mount -t tmpfs tmpfs /opt"]
    for n, path in enumerate(closed):
        lines += [f"mkdir /opt/{n}", f"mount --bind {path} /opt/{n}"]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs {top}" for top in tops]
    lines += [
        f"mount -t tmpfs -o mode=1777 tmpfs {TMP}",
        f"mount -t tmpfs -o mode=700,uid={USER},gid={USER} tmpfs {DATA}",
    ]
    for n, path in enumerate(closed):
        lines += [f"mkdir -p {path}", f"mount --bind /opt/{n} {path}"]
    shut = [PLANTED, Path("/opt"), *closed, *tops, Path("/dev/shm"), Path("/")]
    lines += [f"mount -o remount,bind,ro {path}" for path in shut]
    environment = shlex.join([f"PYTHONPATH={PLANTED}", "PATH=/usr/bin:/bin", "HOME=/nowhere", "PENSTOCK_LOG=json"])
    lines += ["cd /", f"exec setpriv --reuid {USER} --regid {USER} {NOBODY} env -i {environment} {shlex.join(command)}"]
    return ["unshare", "--mount", "sh", "-c", "\n".join(lines)]


def _outermost(paths: set[Path]) -> list[Path]:
    return sorted(path for path in paths if not paths & set(path.parents))


def _covered(path: Path) -> Path | None:
    """The outermost folder above that others may not enter, or that the room has a new one of."""
    return next((each for each in reversed(path.parents) if each == TMP or not each.stat().st_mode & 0o001), None)


@pytest.fixture(autouse=True)
def _rooms(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make such a room")
    if missing := [tool for tool in ("unshare", "setpriv", "mount") if shutil.which(tool) is None]:
        pytest.skip(f"there is no {missing[0]} here (util-linux)")
    tried = subprocess.run(room(tmp_path, ["true"]), capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine does not let root make such a room: {tried.stderr.strip()[-200:]}")


def checked(run: Half) -> Half:
    """It runs there, and whose it is and where it is is so."""
    assert run.url
    assert {process.uids() for process in run.family()} == {(USER, USER, USER)}
    mounts = Path(f"/proc/{run.process.pid}/mounts").read_text().splitlines()
    modes = {line.split()[1]: line.split()[3].split(",")[0] for line in mounts}
    assert {modes[place] for place in ("/", "/dev/shm", "/opt")} == {"ro"}
    return run


@pytest.fixture
def penstock(tmp_path: Path) -> Iterator[Callable[..., Half]]:
    with ExitStack() as stack:

        def start(*options: str, code: str = "", module: str = "") -> Half:
            planted = tmp_path / f"planted-{len(list(tmp_path.iterdir()))}"
            rig.planted(planted, code, module)
            command = [sys.executable, "-m", "penstock", "run", str(QUICKSTART), "--data", str(DATA), "--port", "0"]
            command += ["--workers", "1", "--probes", "127.0.0.1:0", *options]
            return stack.enter_context(begun(room(planted, command), DATA))

        yield start


def scored(url: str) -> None:
    asked = f"{url}/topics/payments/events?wait=scores&timeout=30s"
    answer = httpx.post(asked, json=PAYMENT, timeout=60).json()
    assert [row["data"] for row in answer["results"]] == [{"id": "p1", "risk": 0.36}], answer


def test_it_runs_for_nobody_where_nothing_can_be_written(penstock: Callable[..., Half]) -> None:
    run = checked(penstock())
    scored(run.url)
    assert httpx.get(f"{run.probes}/metrics", timeout=30).text.count("penstock_") > 50
    assert run.stop() == 0


def test_so_do_doors_and_stages_apart(kafka: str, prefix: str, penstock: Callable[..., Half]) -> None:
    log = ("--log", f"kafka://{kafka}/{prefix.rstrip('.')}")
    doors, stages = penstock("--only", "gateway", *log), penstock("--only", "workers", *log)
    assert checked(stages).url == "workers"
    scored(checked(doors).url)
    assert stages.stop() == 0
    assert doors.stop() == 0


KEPT_BESIDE = """
from penstock.run.compose.stages import Composition
plain = Composition.__post_init__
def beside(self):
    open("/var/tmp/kept", "w").close()
    plain(self)
Composition.__post_init__ = beside
"""


def test_mutant_a_worker_that_writes_beside_its_data_is_caught(penstock: Callable[..., Half]) -> None:
    run = penstock(code=KEPT_BESIDE, module="penstock.run.worker")
    with pytest.raises(AssertionError, match="it ended with"):
        checked(run)
