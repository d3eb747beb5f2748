"""``python -m tests.stages.told_child DIRECTORY``: the registry's owner and a router of what it tells, over one log.

Each line of its input is a ``Life``, in JSON: a process of its own, which ends by SIGKILL where that says. What a
receiver gets is a line of the output, from the moment it was sent; ``ended`` follows each life.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa

from penstock.batch import SYSTEM, Batch, Write
from penstock.clock import SystemClock
from penstock.destinations.interface import Answer, DestinationStatus, Parcel
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Advance
from penstock.models.artifacts import Artifacts
from penstock.models.interface import Signature
from penstock.plan.plan import Plan
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, open_registry
from penstock.stages.deliver.router import Router
from penstock.stages.deliver.routing import SystemRouting, SystemSelection
from penstock.stages.deliver.subscriptions import Subscription
from penstock.stages.emit import Emitter
from penstock.stages.inspection import Inspections
from penstock.stages.interface import Outcome, Work
from penstock.stages.pump import Pump
from penstock.stages.registry_owner import Registrar
from penstock.stages.scoring.loading import at_once
from penstock.stages.scoring.slots import of_its_own
from penstock.system.snapshots import SNAPSHOT_TOPIC

EVENTS = ("penstock.model.registered", "penstock.model.promoted", "penstock.model.deployed")
SIGNATURE = Signature(pa.schema([("x", pa.float32())]), pa.schema([("y", pa.float64())]))
Death = Literal["before the commit", "after the commit", "sent", "passed", "calm"]


class Life(msgspec.Struct):
    """``calm_s``: for so long nothing happens, before it ends by itself. ``mutant``: a planted fault."""

    death: Death
    calm_s: float = 0.1
    mutant: str = ""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Looks:
    """A runner that finds every artifact good."""

    def inspect(self, artifact: Any, **given: Any) -> tuple[str, Signature]:
        return "onnx", SIGNATURE

    def close(self) -> None: ...


class Receiver:
    """``Destination`` of a subscription: what is sent to it is known outside at once."""

    open = True

    def __init__(self, life: Life) -> None:
        self._life = life
        self._under_way: list[tuple[Parcel, Any]] = []

    def room(self) -> int:
        return 1_000

    def send(self, parcels: Sequence[Parcel], settled: Any) -> None:
        for parcel in parcels:
            os.write(1, parcel.body + b"\n")
            self._under_way.append((parcel, settled))
        if parcels and self._life.death == "sent":
            die()

    def settle(self) -> None:
        for parcel, settled in self._under_way:
            parcel.answer = Answer(True, "Delivered", 204, began=SystemClock().now())
            settled(parcel)
        self._under_way.clear()

    def status(self) -> DestinationStatus:
        return DestinationStatus()

    def close(self) -> None: ...


class DyingReader:
    """Of the owner or of the router; its process may end at a commit."""

    def __init__(self, reader: Any, life: Life, role: Literal["owner", "router"]) -> None:
        self._reader, self._life, self._role = reader, life, role

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        answers = self._role == "owner" and bool(outputs)
        if answers and self._life.death == "before the commit":
            die()
        self._reader.commit(done, outputs)
        passes = self._role == "router" and bool(done)
        if (answers and self._life.death == "after the commit") or (passes and self._life.death == "passed"):
            die()


class TellsFirst(Registrar):
    """A planted fault: what it is about to store is told already."""

    receivers: list[Subscription]

    def handle(self, work: Work) -> Outcome:
        outcome = super().handle(work)
        for output in outcome.outputs:
            if output.topic == SYSTEM:
                self._tell_all(output.rows)
        return outcome

    def _tell_all(self, rows: pa.RecordBatch) -> None:
        places = pa.array(range(rows.num_rows), pa.int64()).to_numpy()
        batch, routing = Batch(SYSTEM, 0, places, places, rows), system_routing()
        for n, subscription in enumerate(self.receivers):
            for part in subscription.render(batch, routing.only(n, batch), SYSTEM_TOPIC, "app"):
                os.write(1, part.body + b"\n")


def system_routing() -> SystemRouting:
    return SystemRouting("app", [SystemSelection(event) for event in EVENTS])


def live(directory: Path, life: Life) -> None:
    clock, log = SystemClock(), EmbeddedLog(directory)
    topics = {topic.name: topic for topic in (SYSTEM_TOPIC, SNAPSHOT_TOPIC)}
    receiver = Receiver(life)
    subscriptions = [Subscription(e, receiver, format="eventgrid", earliest=True, event=e) for e in EVENTS]

    def pump(stage: Any, role: Literal["owner", "router"]) -> Pump:
        member = f"{time.time_ns()}" if life.mutant == "begins anew" and role == "router" else role
        group, start = (f"{stage.name}.{member}", "latest") if member != role else (stage.name, "earliest")
        reader: Any = DyingReader(log.reader(group, [SYSTEM], member, start=start), life, role)  # type: ignore[arg-type]
        return Pump(stage, reader, Emitter(stage.name, SYSTEM, "code", topics), clock, rows=lambda: 64)

    registry, artifacts = open_registry(log, clock, "owner"), Artifacts(directory / "artifacts")
    inspections = Inspections(lambda command: of_its_own(Looks()), lambda command: None, at_once)  # type: ignore[arg-type]
    kind = TellsFirst if life.mutant == "tells first" else Registrar
    owner = kind(Plan("app", "app.py:app", "code", ()), registry, artifacts, inspections, clock, 30.0)
    if isinstance(owner, TellsFirst):
        owner.receivers = subscriptions
    view, behind = open_registry(log, clock, "router").view, log.reader(None, [SYSTEM], "behind")
    router = Router(SYSTEM_TOPIC, "app", subscriptions, system_routing(), view, behind, dict, clock)
    pumps = [pump(owner, "owner"), pump(router, "router")]
    calm = clock.monotonic()
    while clock.monotonic() - calm < life.calm_s:
        receiver.settle()
        if sum(each.step(0.0) for each in pumps):
            calm = clock.monotonic()
        else:
            time.sleep(0.002)
    die()


def main(directory: Path) -> None:
    """It forks, so it has neither a thread nor the log open itself."""
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            try:
                live(directory, msgspec.json.decode(line, type=Life))
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        os.write(1, b"ended %d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
