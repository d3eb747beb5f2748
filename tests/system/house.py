"""A small owner of the models over any log, and what it looks like to who starts."""

from __future__ import annotations

import pyarrow as pa

from penstock.batch import SNAPSHOTS, SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.models.decide import RegistryState
from penstock.models.interface import Signature
from penstock.models.messages import Activated, MoveAlias, Register
from penstock.run.compose.bootstrap import SYSTEM_TOPIC
from penstock.system.interface import SystemLog
from penstock.system.messages import Command, to_rows
from penstock.system.owner import answer, snapshot
from penstock.system.snapshots import SNAPSHOT_TOPIC, Snapshot, pack, to_parts
from penstock.system.view import View

SIGNATURE = Signature(pa.schema([("x", pa.float32())]), pa.schema([("y", pa.float64())]))


class House:
    def __init__(self, log: SystemLog, *topics: TopicSpec) -> None:
        self.log, self.clock = log, ManualClock()
        for topic in topics or (SYSTEM_TOPIC, SNAPSHOT_TOPIC):
            log.create(topic)
        self.models = RegistryState(inspect=lambda command: ("onnx", SIGNATURE))
        self.owner = View(log, [self.models], self.clock, "owner")
        self.asked = 0

    def ask(self, *commands: Command) -> None:
        """All of them are answered."""
        rows = to_rows(commands)
        self.log.append([Write(SYSTEM, 0, rows)])
        self.owner.refresh()
        events, _ = answer(self.owner.areas, rows, now=self.clock.now())
        self.log.append([Write(SYSTEM, 0, to_rows(events))])
        self.owner.refresh()

    def live(self, times: int = 3) -> None:
        """Something of everything."""
        for _ in range(times):
            self.asked += 1
            n = str(self.asked)
            self.ask(
                Register(id=n, name="delay", digest="ab" * 32, metrics={"auc": 0.5}),
                MoveAlias(id=f"m{n}", model="delay", alias="champion", version=self.asked),
                MoveAlias(id=f"x{n}", model="none", alias="champion", version=1),
                Register(id=f"b{n}", name="a b", digest="cd" * 32),
            )
            active = Activated(stage="s", topic="t", partition=0, from_offset=7, model="delay", version=1, epoch=1)
            waits = Register(id=f"w{n}", name="waits", digest="ef" * 32)
            self.log.append([Write(SYSTEM, 0, to_rows([active, waits]))])
        self.owner.refresh()

    def save(self) -> None:
        parts, told = snapshot(self.owner)
        self.log.append([Write(SNAPSHOTS, 0, parts), Write(SYSTEM, 0, told)])
        self.owner.refresh()

    def plant(self, *, form: int = RegistryState.form, ahead: int = 0, saved: bytes | None = None) -> pa.RecordBatch:
        """The parts of a snapshot that is the newest, whole, and tells what never was."""
        wrong = RegistryState()
        wrong.restore(self.models.save())
        wrong.refused["delay"] = "never"
        (taken,) = self.owner.snapshots()
        packed = pack(wrong.save() if saved is None else saved)
        return to_parts([Snapshot(RegistryState.name, form, taken.through + ahead, taken.taken, packed)])

    def write(self, parts: pa.RecordBatch) -> None:
        self.log.append([Write(SNAPSHOTS, 0, parts)])

    def started(self) -> RegistryState:
        """What a process knows that starts now."""
        state = RegistryState()
        view = View(self.log, [state], self.clock, "new")
        try:
            view.refresh()
        finally:
            view.close()
        return state
