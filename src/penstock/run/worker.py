"""``python -m penstock.run.worker DATA NAME LOG ARTIFACTS SLOT OUTLIVING ONLY``: one thread a stage.

With ONLY it is the first worker of a run without doors, and looks at the log as a gateway does.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Protocol

from .directory import DataDirectory
from .process import (
    HEARTBEAT_S,
    ChildProcess,
    StageStatus,
    do_without_pandas,
    ended_by_failure,
    explained,
    make_before_the_first_event,
    mark_of,
)

if TYPE_CHECKING:
    from .compose.lookout import Lookout
    from .compose.stages import RunningStage
    from .compose.warming import WarmVersion


def main(
    data: Path, name: str, url: str = "", artifacts: str = "", slot: str = "", outliving: str = "", only: str = ""
) -> None:
    process = ChildProcess(
        name, DataDirectory(data)
    )  # before the heavy imports: it must not outlive its parent meanwhile
    do_without_pandas()
    from ..clock import SystemClock
    from ..errors import LogRefused
    from ..plan.codec import plan_from_bytes
    from ..plan.places import located
    from ..runner.process import adopt_strays
    from ..settings import Settings
    from ..stages.scoring.call_server import Answers
    from .compose.backends import child_runner, open_artifacts, open_log
    from .compose.lookout import Lookout
    from .compose.stages import Composition

    adopt_strays()
    plan = located(plan_from_bytes(process.plan()), process.folder)
    settings, clock, directory = Settings.from_env(), SystemClock(), process.directory
    with explained(LogRefused):
        log = open_log(directory, clock, settings, url, slot)
    runner = partial(child_runner, plan, settings)
    models = open_artifacts(directory, artifacts, several_hosts=bool(url), limit=settings.artifact_limit)
    held = int(outliving) if outliving else None
    member = f"{name}.{mark_of(slot)}" if url else name  # other runs have workers of the same name
    composition = Composition(plan, log, clock, settings, member, models, runner, outliving=held)
    answers = Answers(directory.sockets / f"{name}.sock", composition.scorers)
    lookout = None
    if only:
        process.take_over_notices()
        lookout = Lookout(log, composition.registry, plan, clock, mark_of(slot))
    work(process, composition, lookout)
    answers.close()
    composition.close()
    log.close()


SOON_S = 0.02  # seconds between two reports while a stage is being made ready
YOUNG = 20_000  # objects made before the collector looks: a pass makes several an event, and no circles of them


class Stages(Protocol):
    """What a worker or a courier runs: a thread a stage. ``models``: those that are kept ready."""

    @property
    def lines(self) -> Sequence[RunningStage]: ...

    @property
    def models(self) -> Sequence[WarmVersion]: ...


def work(
    process: ChildProcess,
    composition: Stages,
    lookout: Lookout | None,
    beside: Sequence[Thread] = (),
    begun: Callable[[], None] = lambda: None,
) -> None:
    """Until told to stop; then every stage finishes and commits what it has in hand. ``beside``: threads of others,
    without which the stages come to nothing; ``begun``: called when all stages are.

    A stage that ends by itself has met what must end the process, such as a failed fsync: nothing is cleaned up then,
    for nothing may be written any more, and the supervisor starts another.
    """
    from .compose.warming import keep_warm

    gc.freeze()  # plan, libraries and the log's clients stay
    gc.set_threshold(YOUNG, 10, 10)
    threads = [Thread(target=line.run, args=(process.stop,), name=line.name) for line in composition.lines]
    if composition.models:
        threads.append(Thread(target=keep_warm, args=(composition.models, process.stop), name="warm"))
    if lookout is not None:
        threads.append(Thread(target=lookout.run, args=(process.stop,), name="lookout"))
    for thread in threads:
        thread.start()
    begun()
    make_before_the_first_event()
    saying = {line.name: _status(line) for line in composition.lines}
    process.report(saying)
    while not process.stop.wait(SOON_S if any(said.starting for said in saying.values()) else HEARTBEAT_S):
        if not all(thread.is_alive() for thread in (*threads, *beside)) and not process.stop.is_set():
            os._exit(1)
        saying = {line.name: _status(line) for line in composition.lines}
        process.report(saying)
    for thread in threads:
        thread.join()
    if any(line.pump.failed for line in composition.lines):  # also while it drained
        os._exit(1)


def _status(line: RunningStage) -> StageStatus:
    status, standing, missing = line.pump.status, line.standing(), line.preparation.missing
    return StageStatus(
        status.ready and missing is None,
        status.why or ("" if missing is None else str(missing)),
        status.lag,
        status.error,
        standing.version,
        standing.behind,
        standing.failed,
        missing is not None and missing.kind == "soon",
    )


if __name__ == "__main__":
    with ended_by_failure():
        main(Path(sys.argv[1]), *sys.argv[2:])
