"""What every child of the supervisor does: get the plan, say how it is, stop when told, and never outlive its parent.

A child's standard input is its lifeline. The supervisor writes one line to it, the path of the plan, and keeps it open;
its end means that the supervisor is gone. A child that dies on its own leaves by one of two exit codes: 2 after it
has said on stderr what the user must mend (the supervisor then gives up at start), anything else to be started again.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from ..errors import PenstockError
from ..notices import Notice, notices
from ..telemetry import log_to_stderr, logger
from ..telemetry.metrics import declared, share_metrics
from .directory import DataDirectory

MEND = 2  # the exit code for "said on stderr what to mend"
PR_SET_PDEATHSIG = 1
LIFELINE = 0  # read by number: a thread inside sys.stdin's lock would make the interpreter abort at its end
MARK_CHARS = 6  # characters of a run's mark, hexadecimal
HEARTBEAT_S = 1.0  # seconds between two reports: silence means something

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class StageStatus:
    ready: bool
    reason: str = ""
    lag: float = 0.0  # seconds: the age of the oldest event of its last pass
    error: str = ""  # the last one, also when it is over
    version: str = ""  # of a scorer: what it scores with
    behind: str = ""  # why that is not where the alias points
    load_failed: bool = False
    starting: bool = False  # not ready, and nobody need do anything about it: it will be, or say why not


class ChildProcess:
    """One child, seen from inside. Made first thing in its ``main``, before anything heavy is imported."""

    def __init__(self, name: str, directory: DataDirectory) -> None:
        self.name = name
        self.directory = directory
        self.stop = threading.Event()
        self._plan: Path | None = None
        self._silent = False
        self._said: tuple[dict[str, StageStatus], tuple[Notice, ...]] | None = None  # what its file holds
        die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to hear
        signal.signal(signal.SIGTERM, lambda *_: self.stop.set())
        log_to_stderr(name)
        share_metrics(directory.metrics)

    def plan(self) -> bytes:
        """Wait for the plan; afterwards the end of the lifeline ends this process, whatever it is doing."""
        line = b""
        while not line.endswith(b"\n"):
            if not (heard := os.read(LIFELINE, 4_096)):
                raise SystemExit(0)
            line += heard
        threading.Thread(target=_watch_lifeline, name="lifeline", daemon=True).start()
        self._plan = Path(os.fsdecode(line[:-1]))
        return self._plan.read_bytes()

    @property
    def folder(self) -> Path:
        """Of the app's file on this machine."""
        assert self._plan is not None
        return read_folder(self._plan)

    def take_over_notices(self) -> None:
        """What the check of the plan found stands in this process, which says it in its status from now on."""
        assert self._plan is not None
        for key, notice in read_notices(self._plan).items():
            notices().stand(key, notice)

    def report(self, stages: Mapping[str, StageStatus]) -> None:
        """Say how this process is; at every ``HEARTBEAT_S``. What cannot be written, on a full disk, is left unsaid.

        Where nothing is new the file's time alone is: an idle system would write files all the time.
        """
        try:
            saying = dict(stages), notices().standing()
            if self._said == saying:
                os.utime(status_file(self.directory, self.name))
            else:
                write_status(self.directory, self.name, *saying)
                self._said = saying
        except OSError as error:
            self._said = None
            if not self._silent:
                log.error("cannot say how this process is; what it said last stands and grows old", error=str(error))
            self._silent = True
        else:
            self._silent = False


def mark_of(slot: str) -> str:
    """What tells a run's processes from those of other runs on one cluster, also where brokers see one address."""
    return slot.rpartition("-")[2][:MARK_CHARS]


@contextmanager
def explained(*kinds: type[PenstockError]) -> Iterator[None]:
    """What the user must mend is said without a traceback, and at start nobody tries it again."""
    try:
        yield
    except kinds as error:
        print(f"penstock: {error}", file=sys.stderr, flush=True)
        raise SystemExit(MEND) from None


@contextmanager
def ended_by_failure() -> Iterator[None]:
    """A process whose main thread fails ends: its other threads would go on, and nobody would hear of it again."""
    try:
        yield
    except Exception:
        traceback.print_exc()
        os._exit(1)


def do_without_pandas() -> None:
    """pyarrow imports pandas, where it is installed, at the first list it is given: time and memory for nothing."""
    sys.meta_path.insert(0, _WithoutPandas())


def make_before_the_first_event() -> None:
    """Metrics, and what numpy imports at the first ``unique`` and pyarrow at the first scalar and the first time with
    a zone: else the first event waits for all of them."""
    import numpy as np
    import pyarrow as pa

    for metric in declared():
        metric.make()
    np.unique(np.zeros(1))
    pa.scalar("")
    pa.scalar(0, pa.timestamp("us", "UTC")).as_py()


class _WithoutPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("not wanted in this process", name=fullname)


def write_notices(plan: Path, found: Mapping[str, Notice]) -> None:
    """Beside the plan, for the process that says them on."""
    plan.with_suffix(".notices").write_text(json.dumps({key: asdict(notice) for key, notice in found.items()}))


def read_notices(plan: Path) -> dict[str, Notice]:
    return {key: Notice(**said) for key, said in json.loads(plan.with_suffix(".notices").read_text()).items()}


def write_folder(plan: Path, folder: Path) -> None:
    """Beside the plan, which does not say where it was made."""
    plan.with_suffix(".folder").write_bytes(os.fsencode(folder))


def read_folder(plan: Path) -> Path:
    return Path(os.fsdecode(plan.with_suffix(".folder").read_bytes()))


def write_status(
    directory: DataDirectory, name: str, stages: Mapping[str, StageStatus], warnings: Sequence[Notice] = ()
) -> None:
    status = {
        "role": name,
        "pid": os.getpid(),
        "stages": {stage: asdict(status) for stage, status in stages.items()},
        "warnings": [{"reason": notice.reason} | notice.fields() for notice in warnings],
    }
    # Renamed into place: a reader sees a whole status or the one before.
    draft = directory.status / f".{name}"
    draft.write_text(json.dumps(status))
    draft.replace(status_file(directory, name))


def status_file(directory: DataDirectory, name: str) -> Path:
    """How a process is, and, as the file's time, when it said so last."""
    return directory.status / f"{name}.json"


def reported(directory: DataDirectory, name: str, pid: int) -> dict[str, Any] | None:
    """What this very process said last of itself; None: nothing since it started."""
    try:
        said = dict(json.loads(status_file(directory, name).read_text()))
    except (OSError, ValueError):
        return None
    return said if said.get("pid") == pid else None


def reporting(directory: DataDirectory, name: str, pid: int) -> bool:
    """Has this very process reported since it started?"""
    return reported(directory, name, pid) is not None


def die_with_parent() -> None:
    """Linux kills this process when its parent's spawning thread ends; elsewhere the lifeline alone has to do."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


def _watch_lifeline() -> None:
    while os.read(LIFELINE, 4_096):
        continue
    os._exit(1)
