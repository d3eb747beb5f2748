"""The rules of the house beside what the parts of a worker, and the doors, really do to a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from tests.gateway.conftest import EVENT, FLIGHT, House
from tests.gateway.conftest import PLAN as GATEWAY_PLAN
from tests.stages.deliver.outside import Desk, Endpoint

import penstock as ps
from penstock import testing
from penstock.batch import DEAD, SNAPSHOTS, SYSTEM, Write
from penstock.clock import ManualClock
from penstock.declare.planning.build import resolve
from penstock.deploy import house, requirements
from penstock.deploy.house import Grant
from penstock.deploy.requirements import Right, requirements_of
from penstock.gateway.doors import models
from penstock.log.in_memory.reader import MemoryReader
from penstock.log.memory import MemoryLog
from penstock.run.compose.bootstrap import make_topics
from penstock.run.compose.deliveries import CourierComposition
from penstock.settings import Settings
from penstock.stages.failures.dead import dead_letter_rows
from penstock.stages.interface import Failure, Work
from penstock.system import view
from penstock.system.snapshots import SNAPSHOT_TOPIC

Use = tuple[str, str, str, str]  # who, verb, what, group

app = ps.App("used")


@dataclass
class Number:
    n: int


@dataclass
class Score:
    y: float


first = app.topic("first", Number)
second = app.topic("second", Number)
scores = app.topic("scores", Score)


@app.on(first, to=second)
def odd(number: Number) -> Number:
    if number.n % 2 == 0:
        raise ValueError("even")
    return number


@app.on(ps.ModelRegistered)
def watch(new: ps.ModelRegistered, asked: ps.Models) -> None:
    asked.promote(new.model, new.version)


model = app.model("m", outputs=["y"])
app.score(second, model, to=scores)


def stage_of(group: str) -> str:
    return group.removeprefix("penstock.redrive.")


class Recorder:
    """What is done to a log in memory: by whom where a group says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used: set[Use] = set()
        reader, append, commit = MemoryLog.reader, MemoryLog.append, MemoryReader.commit

        def read(log: MemoryLog, group: str | None, topics: Sequence[str], member: str, **options: object) -> object:
            self.used |= {(stage_of(group or ""), "read", topic, group or "") for topic in topics}
            return reader(log, group, topics, member, **options)  # type: ignore[arg-type]

        def store(log: MemoryLog, writes: Sequence[Write]) -> object:
            self.used |= {("", "append", write.topic, "") for write in writes}
            return append(log, writes)

        def move(of: MemoryReader, done: Sequence[object], outputs: Sequence[Write]) -> None:
            assert of._group is not None
            self.used |= {(stage_of(of._group), "append", write.topic, "") for write in outputs}
            commit(of, done, outputs)  # type: ignore[arg-type]

        monkeypatch.setattr(MemoryLog, "reader", read)
        monkeypatch.setattr(MemoryLog, "append", store)
        monkeypatch.setattr(MemoryReader, "commit", move)


def used(monkeypatch: pytest.MonkeyPatch) -> set[Use]:
    """By an app that makes outputs, dead letters, scores, and moves an alias; and whose owner saves what it knows."""
    monkeypatch.setattr(view, "SNAPSHOT_EVENTS", 1)
    recorder = Recorder(monkeypatch)
    with testing.run(app, models={"m": lambda rows: rows.select(y=pl.col("n") * 0.5)}) as running:
        found = set(recorder.used)
        for n in range(6):
            recorder.used.clear()
            running.publish(first, Number(n))  # not the worker's
            recorder.used.clear()
            running.settle()
            running.advance("2s")
            found |= recorder.used
    return found


def check_use(found: set[Use]) -> None:
    """What is done without a group may be anybody's of the worker. Two of the stages meet no event that fails."""
    worker = requirements_of(resolve(app).plan).identities[1]
    granted = {(right.who, right.verb, right.what, right.group) for right in worker.rights if right.kind == "log"}
    by_anybody = {use[1:] for use in granted if not use[3]}
    denied = {use for use in found if use not in granted and (use[0] or use[1:] not in by_anybody)}
    assert not denied, f"it would be denied: {sorted(denied)}"
    anonymous = {use[1:] for use in found if not use[0]}
    idle = {use for use in granted - found if use[1:] not in anonymous}
    idle -= {(stage, "append", DEAD, "") for stage in ("scores", "watch")}
    assert not idle, f"nobody uses it: {sorted(idle)}"


def test_what_a_worker_does_is_what_it_may_do_and_nothing_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    check_use(used(monkeypatch))


OF_OWNER, OF_STAGE = house.OWNER, house.of_stage


@pytest.mark.parametrize(
    "forgotten",
    [
        Grant("append", SNAPSHOTS, "", ""),
        Grant("read", SYSTEM, "", "penstock.registry"),
        Grant("append", DEAD, "", ""),
        Grant("read", DEAD, "", "penstock.redrive.odd"),
    ],
)
def test_a_rule_that_is_forgotten_is_found(forgotten: Grant, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(grants: Iterable[Grant]) -> tuple[Grant, ...]:
        return tuple(grant for grant in grants if replace(grant, text="") != forgotten)

    monkeypatch.setattr(requirements, "OWNER", without(OF_OWNER))
    monkeypatch.setattr(requirements, "of_stage", lambda name: without(OF_STAGE(name)))
    with pytest.raises(AssertionError, match="it would be denied"):
        check_use(used(monkeypatch))


def test_a_rule_that_nobody_needs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "OWNER", (*OF_OWNER, Grant("append", DEAD, "why not")))
    with pytest.raises(AssertionError, match=r"nobody uses it: \[\('penstock.registry', 'append', 'penstock.dead'"):
        check_use(used(monkeypatch))


# -- the courier --------------------------------------------------------------

sending = ps.App("sending")
noted = sending.topic("noted", Number)
copies = sending.topic("copies", Number)
sending.subscribe(noted, "https://a.example/", name="hook", start="earliest", retry=ps.Retry(attempts=2, ttl="1h"))
sending.subscribe(noted, copies, name="copied", start="earliest", where="n > 0")
sending.subscribe(ps.ModelRegistered, "https://b.example/", name="models")


def used_by_courier(monkeypatch: pytest.MonkeyPatch) -> set[Use]:
    """By one that gives up all that it sends, with endpoints that take nothing."""
    plan, clock, desks = resolve(sending).plan, ManualClock(), list[Desk]()
    log = MemoryLog(clock)
    make_topics(plan, log)
    rows = pa.RecordBatch.from_pydict({"n": [0, 1]}, schema=plan.topic("noted").schema)
    log.append([Write("noted", 0, rows)])
    recorder = Recorder(monkeypatch)

    def open_lane(_: object) -> Desk:
        desks.append(Desk(Endpoint(fails=1.0), Random(0), clock))
        return desks[-1]

    made = CourierComposition(plan, log, clock, Settings(), "courier", open_lane, background=lambda join: join())
    for _ in range(20):
        for line in made.lines:
            line.pump.step(0.0)
        for desk in desks:
            desk.settle()
        clock.advance(5.0)
    made.close()
    return recorder.used


def check_courier(found: set[Use]) -> None:
    """Who of the courier does it is told of groups alone."""
    granted = {use_of(right) for right in requirements_of(resolve(sending).plan).rights_of("courier")}
    done = {use[1:] for use in found}
    assert not done - granted, f"it would be denied: {sorted(done - granted)}"
    idle = {use for use in granted - done if use[0] in ("read", "append")}
    assert not idle, f"nobody uses it: {sorted(idle)}"


def use_of(right: Right) -> tuple[str, str, str]:
    return right.verb, right.what, right.group


def test_what_a_courier_does_is_what_it_may_do_and_nothing_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    check_courier(used_by_courier(monkeypatch))


def test_mutant_router_of_another_group_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    of_router = house.of_router
    monkeypatch.setattr(requirements, "of_router", lambda name, source: of_router(f"{name}.", source))
    with pytest.raises(AssertionError, match=r"it would be denied: .*'noted', 'penstock.deliver.noted'"):
        check_courier(used_by_courier(monkeypatch))


def test_mutant_ladder_that_nobody_lets_read_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "DELIVERING", {**house.DELIVERING, "penstock.ladder": ()})
    with pytest.raises(AssertionError, match=r"it would be denied: .*'penstock.retry', 'penstock.ladder'"):
        check_courier(used_by_courier(monkeypatch))


def test_mutant_that_takes_what_passes_on_for_no_stage_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "MEANING_OF_FORWARD", house.MEANING_OF_DELIVERY)
    with pytest.raises(AssertionError, match=r"it would be denied: .*'read', 'noted', 'copied'"):
        check_courier(used_by_courier(monkeypatch))


# -- the doors ----------------------------------------------------------------


async def used_by_doors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[Use]:
    """By a request to each door that comes to the log; no owner of the registry answers."""
    monkeypatch.setattr(models._ask, "__defaults__", (0.01,))  # seconds
    recorder = Recorder(monkeypatch)
    made = House(folder, Settings())
    made.log.create(SNAPSHOT_TOPIC)
    made.log.append([Write(DEAD, 0, dead_letter())])
    recorder.used.discard(("", "append", DEAD, ""))
    try:
        for topic in GATEWAY_PLAN.topics:
            event = {"arr_delay": 1.0} if topic.schema.names == ["arr_delay"] else EVENT
            published = await made.http.post(f"/topics/{topic.name}/events", json=event)
            assert published.status_code == 200, published.text
        for name in (*(topic.name for topic in GATEWAY_PLAN.topics), SYSTEM, DEAD):
            assert (await made.http.get(f"/topics/{name}/events")).status_code == 200
        moved = await made.http.put("/models/delay/aliases/champion", json={"version": 1})
        assert moved.status_code == 503, moved.text
        dropped = await made.http.post("/dead/drop", json={})
        assert dropped.json()["dropped"] == 1, dropped.text
    finally:
        await made.close()
    return recorder.used


def dead_letter() -> pa.RecordBatch:
    rows = pa.RecordBatch.from_pydict({"flight": [1], "tail": ["N1"], "delay": [None]}, schema=FLIGHT)
    at = np.zeros(1, np.int64)
    work = Work("flights", rows, np.zeros(1, np.int32), at, at)
    return dead_letter_rows("prepare", work, [Failure(0, "ValueError", "bad", "", 3)], None).rows


def check_doors(found: set[Use]) -> None:
    doors = requirements_of(GATEWAY_PLAN).identities[0]
    granted = {right.verb + " " + right.what for right in doors.rights if right.kind == "log"}
    done = {f"{verb} {what}" for _, verb, what, _ in found}
    assert not done - granted, f"it would be denied: {sorted(done - granted)}"
    assert not granted - done, f"nobody uses it: {sorted(granted - done)}"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> set[Use]:
    with pytest.MonkeyPatch.context() as patched:
        return asyncio.run(used_by_doors(tmp_path_factory.mktemp("doors"), patched))


def test_what_the_doors_do_is_what_they_may_do_and_nothing_is_idle(found: set[Use]) -> None:
    check_doors(found)


@pytest.mark.parametrize(
    ("verb", "what"),
    [("append", "flights"), ("read", "flights"), ("read", SYSTEM), ("read", SNAPSHOTS), ("append", SYSTEM),
     ("read", DEAD), ("append", DEAD)],
)  # fmt: skip
def test_a_rule_of_the_doors_that_is_forgotten_is_found(
    verb: str, what: str, found: set[Use], monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = house.of_doors
    monkeypatch.setattr(
        requirements, "of_doors", lambda topics: [g for g in all_of_them(topics) if (g.verb, g.what) != (verb, what)]
    )
    with pytest.raises(AssertionError, match=f"it would be denied: .*{verb} {what}"):
        check_doors(found)
