"""The owner of the registry writes snapshots, so that a log which forgets does not forget what is in force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import SNAPSHOTS, SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.log.memory import MemoryLog
from penstock.models.artifacts import Artifacts
from penstock.models.interface import Signature
from penstock.models.messages import MESSAGES, Activated, DeployedVersion, MoveAlias, Register
from penstock.models.registry import Registry
from penstock.notices import notices
from penstock.plan.plan import Plan
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, open_registry
from penstock.stages import registry_owner
from penstock.stages.emit import Emitter
from penstock.stages.inspection import Inspections
from penstock.stages.pump import Pump
from penstock.stages.registry_owner import Registrar
from penstock.stages.scoring.loading import at_once
from penstock.stages.scoring.slots import of_its_own
from penstock.system import view as viewing
from penstock.system.messages import Message, SnapshotDue, SnapshotTaken, by_type, from_rows, to_rows
from penstock.system.owner import Reminder
from penstock.system.snapshots import SNAPSHOT_TOPIC

DAY_S = 86_400
KEPT_DAYS = 7
SIGNATURE = Signature(pa.schema([("x", pa.float32())]), pa.schema([("y", pa.float64())]))


class Looks:
    """A runner that finds every artifact good."""

    def inspect(self, artifact: Any, **given: Any) -> tuple[str, Signature]:
        return "onnx", SIGNATURE

    def close(self) -> None: ...


class House:
    def __init__(self, folder: Any, retain_us: int | None = None) -> None:
        self.clock = ManualClock()
        self.log, self.artifacts = MemoryLog(self.clock), Artifacts(folder)
        self.topics = [replace(topic, retain_us=retain_us) for topic in (SYSTEM_TOPIC, SNAPSHOT_TOPIC)]
        for topic in self.topics:
            self.log.create(topic)
        self.gateway = self.view("gateway")
        self.reminder = Reminder(self.log, self.gateway.view, self.clock)
        self.pump = self.owner("a")

    def view(self, member: str) -> Registry:
        return open_registry(self.log, self.clock, member)

    def owner(self, member: str) -> Pump:
        plan = Plan("app", "app.py:app", "code", ())
        inspections = Inspections(lambda command: of_its_own(Looks()), lambda command: None, at_once)  # type: ignore[arg-type]
        stage = Registrar(plan, self.view(member), self.artifacts, inspections, self.clock, 30.0)
        emitter = Emitter(stage.name, stage.source, "code", {topic.name: topic for topic in self.topics})
        return Pump(stage, self.log.reader(stage.name, [SYSTEM], member), emitter, self.clock, rows=lambda: 256)

    def ask(self, *messages: Message) -> None:
        self.log.append([Write(SYSTEM, 0, to_rows(messages))])
        while self.pump.step(0.0):
            pass

    def register(self, id: str = "a") -> None:
        self.ask(Register(id=id, name="delay", digest=self.artifacts.put(id.encode())))

    def days(self, count: int) -> None:
        """Nothing happens, but that the gateway looks every hour."""
        for _ in range(24 * count):
            self.clock.advance(3_600)
            self.gateway.refresh()
            self.reminder.look()
            while self.pump.step(0.0):
                pass

    def told(self) -> list[Message]:
        reader = self.log.reader(None, [SYSTEM], "look")
        rows = [batch.rows for batches in iter(lambda: reader.read(10_000, 0.0), []) for batch in batches]
        return [m for each in rows for _, m in from_rows(each, by_type([SnapshotTaken, *MESSAGES]))]

    def taken(self) -> list[SnapshotTaken]:
        return [message for message in self.told() if isinstance(message, SnapshotTaken)]

    def assert_known(self) -> None:
        registry = self.view("new")
        registry.refresh()
        assert registry.models() == ["delay"], "a process that starts knows the models"
        assert registry.resolve("delay").version == 1


def test_one_is_taken_after_so_many_events(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "SNAPSHOT_EVENTS", 30)
    house = House(tmp_path)
    house.register()
    assert house.taken() == []
    for n in range(50):
        house.ask(MoveAlias(id=f"m{n}", model="delay", alias="champion", version=1))
    taken = house.taken()
    assert 3 <= len(taken) <= 4, "each command has an answer"
    assert np.diff([event.through for event in taken]).min() >= 30
    (state,) = house.log.partitions(SNAPSHOTS)
    assert state.events == sum(len(event.areas) for event in taken), "in the same transactions"
    house.log.reset(SYSTEM_TOPIC)
    house.assert_known()


def test_one_that_is_fenced_takes_none(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its successor has the partition: what it saved is true, and not for it to write."""
    house = House(tmp_path)
    house.register()
    monkeypatch.setattr(viewing, "SNAPSHOT_EVENTS", 1)
    house.log.append([Write(SYSTEM, 0, to_rows([MoveAlias(id="m", model="delay", alias="champion", version=1)]))])
    fenced, stage = house.pump, house.pump._stage
    handle = stage.handle

    def replaced(work: Any) -> Any:
        outcome = handle(work)
        house.pump = house.owner("a")  # of the same name, as a worker that was started anew
        house.pump.step(0.0)
        return outcome

    monkeypatch.setattr(stage, "handle", replaced)
    fenced.step(0.0)
    assert len(house.taken()) == 1 == len({event.through for event in house.taken()})


def test_a_log_that_forgets_keeps_what_is_in_force(tmp_path: Any) -> None:
    house = House(tmp_path, KEPT_DAYS * DAY_S * 1_000_000)
    house.register()
    house.days(5 * KEPT_DAYS)
    (state,) = house.log.partitions(SYSTEM)
    assert state.earliest > 0, "retention was at work"
    house.assert_known()
    assert notices().standing() == ()


def test_retention_would_take_it_without_snapshots(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "SNAPSHOT_AGE_S", KEPT_DAYS * DAY_S * 10)
    house = House(tmp_path, KEPT_DAYS * DAY_S * 1_000_000)
    house.register()
    house.days(5 * KEPT_DAYS)
    house.log.append([Write(SYSTEM, 0, to_rows([SnapshotTaken(areas=(), through=0, taken=0)]))])
    with pytest.raises(AssertionError, match="a process that starts knows the models"):
        house.assert_known()


def test_nothing_is_written_while_nothing_is_known(tmp_path: Any) -> None:
    house = House(tmp_path)
    house.days(3)
    assert house.log.partitions(SYSTEM)[0].events == 0 == house.log.partitions(SNAPSHOTS)[0].events


# -- what is deployed ---------------------------------------------------------


def activated(partition: int, version: int, epoch: int, **more: Any) -> Activated:
    given = {"stage": "scores", "topic": "t", "from_offset": 0, "model": "delay", **more}
    return Activated(partition=partition, version=version, epoch=epoch, **given)


def deployments(house: House) -> list[tuple[str, str, int, int]]:
    """What was told, of which stage, model, version and epoch."""
    found = [message for message in house.told() if isinstance(message, DeployedVersion)]
    return [(each.stage, each.model, each.version, each.epoch) for each in found]


def test_a_version_is_deployed_once_in_a_stage_by_its_first_partition(tmp_path: Any) -> None:
    house = House(tmp_path)
    house.ask(activated(0, 1, 1), activated(2, 1, 1))
    house.ask(activated(1, 1, 1))
    assert deployments(house) == [("scores", "delay", 1, 1)], "once in each stage"
    house.ask(activated(0, 1, 1, stage="others"))
    house.ask(activated(1, 2, 2), activated(3, 1, 1), activated(0, 2, 2))  # the third was slow: that is no way back
    assert deployments(house)[1:] == [("others", "delay", 1, 1), ("scores", "delay", 2, 2)]
    house.ask(activated(0, 1, 3))
    assert deployments(house)[3:] == [("scores", "delay", 1, 3)], "rolled back"
    house.ask(activated(0, 5, 1, alias="challenger"), activated(0, 1, 1, model="risk"))
    assert deployments(house)[4:] == [("scores", "delay", 5, 1), ("scores", "risk", 1, 1)], "epochs are an alias's own"


def test_it_is_told_with_its_cause_and_known_from_a_snapshot(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "SNAPSHOT_EVENTS", 1)
    house = House(tmp_path)
    house.ask(activated(0, 1, 1))
    (told,) = (message for message in house.told() if isinstance(message, DeployedVersion))
    assert told == DeployedVersion(stage="scores", topic="t", model="delay", version=1, alias="champion", epoch=1)
    house.ask(SnapshotDue())  # a snapshot covers what was read before
    house.log.reset(SYSTEM_TOPIC)
    house.pump = house.owner("b")
    house.ask(activated(1, 1, 1))
    assert deployments(house) == [], "once in each stage"


def test_one_that_dies_between_has_told_it_once(tmp_path: Any) -> None:
    """The positions and what was told are one commit: what is read again was not told."""
    house = House(tmp_path)
    house.log.append([Write(SYSTEM, 0, to_rows([activated(0, 1, 1)]))])
    fenced = house.pump
    house.pump = house.owner("b")
    for pump in (house.pump, fenced, house.pump):
        pump.step(0.0)
    assert deployments(house) == [("scores", "delay", 1, 1)], "once in each stage"


def test_mutant_a_deployment_a_partition_is_caught(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_owner, "_is_later", lambda message, before: True)
    with pytest.raises(AssertionError, match="once in each stage"):
        test_a_version_is_deployed_once_in_a_stage_by_its_first_partition(tmp_path)


def test_topics_are_as_prepared() -> None:
    assert TopicSpec(SYSTEM, partitions=1) == SYSTEM_TOPIC, "it never expires by itself"
    assert (SNAPSHOT_TOPIC.partitions, SNAPSHOT_TOPIC.retain_us) == (1, None)
