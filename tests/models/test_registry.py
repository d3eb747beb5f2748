"""The view that every process keeps, over the log in memory."""

import json
import threading
from collections.abc import Sequence

import pyarrow as pa
import pytest

from penstock.batch import JSON_SCHEMA, SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.errors import Conflict, Corrupt, ModelRefused, NotFound
from penstock.log.memory import MemoryLog
from penstock.models.interface import Signature
from penstock.models.messages import Activated, MoveAlias, Register
from penstock.models.registry import Registry
from penstock.run.compose.bootstrap import open_registry
from penstock.system.messages import Message, to_rows
from penstock.system.owner import answer

SIGNATURE = Signature(pa.schema([("x", pa.float32())]), pa.schema([("y", pa.float64())]))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def log(clock: ManualClock) -> MemoryLog:
    log = MemoryLog(clock)
    log.create(TopicSpec(SYSTEM, JSON_SCHEMA, partitions=1))
    return log


@pytest.fixture
def registry(log: MemoryLog, clock: ManualClock) -> Registry:
    return open_registry(log, clock, "view")


def write(log: MemoryLog, *messages: Message) -> None:
    log.append([Write(SYSTEM, 0, to_rows(messages))])


def own(log: MemoryLog, clock: ManualClock, *commands: Message) -> None:
    """What the registry's stage does, without its group."""
    write(log, *commands)
    view = open_registry(log, clock, "owner")
    view.refresh()
    view.state.inspect = lambda command: ("onnx", SIGNATURE)
    write(log, *answer(view.view.areas, to_rows(commands), now=clock.now())[0])


def register(id: str, **fields: object) -> Register:
    return Register(**{"id": id, "name": "delay", "digest": "ab" * 32, **fields})  # type: ignore[arg-type]


def move(id: str, version: int, expected: int | None = None) -> MoveAlias:
    return MoveAlias(id=id, model="delay", alias="champion", version=version, expected=expected)


def test_a_registration_is_seen_and_answered(log: MemoryLog, registry: Registry, clock: ManualClock) -> None:
    own(log, clock, register("a", metrics={"auc": 0.5}))
    answered = registry.wait_for("a", 0.0)
    assert (answered.model, registry.models()) == ("delay", ["delay"])
    version = registry.resolve("delay")
    assert (version.ref, version.signature, version.metrics) == ("delay/1", SIGNATURE, {"auc": 0.5})
    assert version.created == clock.now()
    assert [registry.resolve(ref) for ref in ("delay@champion", "delay/1")] == [version, version]
    assert list(registry.versions("delay")) == [version]
    alias = registry.alias("delay")
    assert alias is not None
    assert (alias.version, alias.epoch) == (1, 1)


def test_a_promotion_is_seen_after_the_next_refresh(log: MemoryLog, registry: Registry, clock: ManualClock) -> None:
    own(log, clock, register("a"))
    own(log, clock, register("b"))
    own(log, clock, move("c", 2, expected=1))
    registry.refresh()
    assert registry.resolve("delay@champion").version == 2
    assert [(a.alias, a.version, a.epoch) for a in registry.aliases("delay")] == [("champion", 2, 2)]


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("tea", r"no alias 'champion' \(aliases: none\)"),
        ("delay@next", r"no alias 'next' \(aliases: champion -> 1\)"),
        ("delay/2", "its versions are 1 to 1"),
        ("delay/x", "its versions are 1 to 1"),
        ("delay/0", "its versions are 1 to 1"),
        ("delay/-1", "its versions are 1 to 1"),
        ("tea/1", "no model of that name"),
        ("", "no alias"),
    ],
)
def test_what_is_not_there_says_what_is(
    log: MemoryLog, registry: Registry, clock: ManualClock, ref: str, says: str
) -> None:
    own(log, clock, register("a"))
    registry.refresh()
    with pytest.raises(NotFound, match=says):
        registry.resolve(ref)


def test_a_refusal_is_raised_where_it_was_asked(log: MemoryLog, registry: Registry, clock: ManualClock) -> None:
    own(log, clock, register("a"))
    own(log, clock, move("b", 1, expected=5), move("c", 9), register("d", name="a b"))
    for id, error in (("b", Conflict), ("c", NotFound), ("d", ModelRefused)):
        with pytest.raises(error):
            registry.wait_for(id, 0.0)


def test_no_answer_ends_in_a_timeout(registry: Registry, clock: ManualClock) -> None:
    before = clock.monotonic()
    with pytest.raises(TimeoutError, match="command a within 2 s"):
        registry.wait_for("a", 2.0)
    assert 2.0 <= clock.monotonic() - before < 2.1


def test_an_activation_is_the_last_one_said(log: MemoryLog, registry: Registry) -> None:
    said = [
        Activated(stage="s", topic="t", partition=0, from_offset=n * 10, model="delay", version=n, epoch=n)
        for n in (1, 2)
    ]
    write(log, *said)
    registry.refresh()
    assert registry.activation("s", "t", 0) == said[1]
    assert registry.activation("s", "t", 1) is None


def test_other_events_are_passed_over(log: MemoryLog, registry: Registry, clock: ManualClock) -> None:
    rows = pa.RecordBatch.from_pydict({"json": ["{}"], "_type": ["penstock.else"]})
    log.append([Write(SYSTEM, 0, rows.cast(pa.schema([JSON_SCHEMA.field(0), ("_type", pa.string())])))])
    own(log, clock, register("a"))
    registry.refresh()
    assert registry.models() == ["delay"]


def test_an_event_that_cannot_be_read_stops_the_view_and_keeps_it_stopped(
    log: MemoryLog, registry: Registry, clock: ManualClock
) -> None:
    own(log, clock, register("a"))
    registry.refresh()
    bad = json.dumps({"model": "delay", "version": "two"})
    schema = pa.schema([JSON_SCHEMA.field(0), ("_type", pa.string())])
    rows = pa.RecordBatch.from_pydict({"json": [bad], "_type": ["penstock.model.registered"]}, schema)
    log.append([Write(SYSTEM, 0, rows)])
    for _ in range(2):
        with pytest.raises(Corrupt, match="registry stands still"):
            registry.refresh()
    assert registry.resolve("delay").version == 1


def test_many_threads_read_one_view(log: MemoryLog, registry: Registry, clock: ManualClock) -> None:
    """Every look sees a state that was: a champion always resolves, and its epoch never goes back."""
    own(log, clock, register("a"), register("b"))
    registry.refresh()
    wrong: list[str] = []
    ends = threading.Event()

    def look() -> None:
        epoch = 0
        while not ends.is_set():
            registry.refresh()
            alias = registry.alias("delay")
            if alias is None or alias.epoch < epoch or registry.resolve("delay").version not in (1, 2):
                wrong.append(str(alias))
            epoch = alias.epoch if alias else 0
            registry.aliases("delay")

    threads: Sequence[threading.Thread] = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(60):
        own(log, clock, move(f"m{n}", 1 + n % 2))
    ends.set()
    for thread in threads:
        thread.join(10)
    assert wrong == []
