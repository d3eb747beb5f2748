"""Everything arrives, in both directions, on real logs; and a copy that lacks something is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.brokers.fixtures import GROUP
from tests.migrate.a_log import TOPICS, declared, fill, next_of_groups, seen

from penstock.batch import DEAD, SNAPSHOTS, SYSTEM, AppendResult, Lineage, Positions, TopicSpec, Write, column
from penstock.clock import ManualClock
from penstock.errors import CannotStart
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Advance, Reader, Seek
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.log.memory import MemoryLog
from penstock.migrate import copying, parents_first
from penstock.migrate import migrate as migrating
from penstock.migrate.migrate import End, migrate
from penstock.migrate.parents_first import Place
from penstock.migrate.translate import Translation
from penstock.models.artifacts import Artifacts
from penstock.models.messages import MoveAlias
from penstock.run.compose.backends import AppLog
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, open_registry
from penstock.schema.encode import to_dicts
from penstock.system.messages import to_rows
from penstock.system.owner import snapshot
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.testing.log_contract import drain

pytestmark = pytest.mark.xdist_group(GROUP + "migration")  # of which some ask for ``kafka`` only as they run

Make = Callable[[str], End]


@contextmanager
def quiet(title: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda count: None


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """An end of that kind, empty; twice the same kind are two."""
    with ExitStack() as stack:
        count = 0

        def made(kind: str) -> End:
            nonlocal count
            count += 1
            log = _opened(kind, tmp_path / f"{kind.split()[0]}-{count}", request)
            stack.callback(log.close)
            return End(kind, log, Artifacts(tmp_path / f"artifacts-{count}"), owners=kind.startswith("kafka"))

        yield made


def _opened(kind: str, directory: Path, request: pytest.FixtureRequest) -> AppLog:
    if kind == "memory":
        return MemoryLog(gap=3)
    if kind == "sqlite":
        return EmbeddedLog(directory)
    brokers, prefix = request.getfixturevalue("kafka"), request.getfixturevalue("prefix")
    return KafkaLog(Address(brokers, f"{prefix}{directory.name}.", transactional=kind == "kafka"))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("sqlite", "kafka"),
        ("kafka", "sqlite"),
        ("memory", "sqlite"),
        ("sqlite", "memory"),
        ("kafka", "kafka"),
        ("sqlite", "kafka without transactions"),
        ("kafka without transactions", "sqlite"),
    ],
)
def test_everything_arrives(make: Make, source: str, target: str) -> None:
    here, there = make(source), make(target)
    fill(here.log, here.artifacts)
    before = seen(here.log)
    lines = migrate(here, there, quiet)
    assert [line for line in lines if not line.same] == []
    assert {line.what for line in lines} == {"topic", "partition", "group", "registry", "system"}
    assert seen(there.log) == before
    assert next_of_groups(there.log) == next_of_groups(here.log)
    assert declared(there.log) == {spec.name: spec for spec in TOPICS}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rounds instead of one."""
    monkeypatch.setattr(parents_first, "ROWS", 9)


class Ends(Exception):
    """What a kill does, at the place that it is raised."""


class Interrupted:
    """A log whose process ends after so many calls that change it."""

    def __init__(self, log: AppLog, left: int) -> None:
        self._log, self._left = log, left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        found = self._log.append(writes)
        self._count()
        return found

    def create(self, topic: TopicSpec, *, grow: bool = False) -> None:
        self._count()
        self._log.create(topic, grow=grow)

    def reader(self, group: str | None, *arguments: Any, **options: Any) -> Reader:
        if group is not None:
            self._count()
        return self._log.reader(group, *arguments, **options)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Ends


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_interrupted_anywhere_it_goes_on(make: Make, kind: str) -> None:
    here = make("memory")
    fill(here.log, here.artifacts)
    before = seen(here.log)
    for left in itertools.count(0, 1 if kind == "memory" else 7):
        there = make(kind)
        try:
            migrate(here, replace(there, log=cast(AppLog, Interrupted(there.log, left))), quiet)
            break
        except Ends:
            lines = migrate(here, there, quiet)
        assert all(line.same for line in lines)
        assert seen(there.log) == before
        assert next_of_groups(there.log) == next_of_groups(here.log)
    assert left > 20


@pytest.mark.usefixtures("small")
def test_interrupted_on_kafka_it_goes_on(make: Make) -> None:
    here, there = make("sqlite"), make("kafka")
    fill(here.log, here.artifacts)
    for left in (3, 9, 17):
        with pytest.raises(Ends):
            migrate(here, replace(there, log=cast(AppLog, Interrupted(there.log, left))), quiet)
    assert all(line.same for line in migrate(here, there, quiet))
    assert seen(there.log) == seen(here.log)


def test_done_again_it_changes_nothing(make: Make) -> None:
    here, there = make("sqlite"), make("memory")
    fill(here.log, here.artifacts)
    migrate(here, there, quiet)
    ends = [(s.end, s.events) for topic in TOPICS for s in there.log.partitions(topic.name)]
    assert all(line.same for line in migrate(here, there, quiet))
    assert [(s.end, s.events) for topic in TOPICS for s in there.log.partitions(topic.name)] == ends


def test_and_back_again(make: Make) -> None:
    """Positions that are gone stay gone, and ids and times stay what they were."""
    first, second, third = make("sqlite"), make("memory"), make("sqlite")
    fill(first.log, first.artifacts)
    migrate(first, second, quiet)
    assert all(line.same for line in migrate(second, third, quiet))
    assert seen(third.log) == seen(first.log)


# -- refused ------------------------------------------------------------------


def test_a_target_with_events_of_its_own_is_refused(make: Make) -> None:
    here, there = make("memory"), make("memory")
    fill(here.log, here.artifacts)
    fill(there.log, there.artifacts, events=39)
    before = seen(there.log)
    with pytest.raises(CannotStart, match=r"topic 'features'.*another namespace"):
        migrate(here, there, quiet)
    assert seen(there.log) == before


def test_a_target_that_has_gone_on_is_refused(make: Make) -> None:
    """One event more, and one position further: both would be undone."""
    for change in (_publish, _advance):
        here, there = make("memory"), make("memory")
        fill(here.log, here.artifacts)
        migrate(here, there, quiet)
        change(there.log)
        with pytest.raises(CannotStart, match=r"did not come from memory: (topic 'loop'|group 'prepare');"):
            migrate(here, there, quiet)


def _publish(log: AppLog) -> None:
    log.append([Write("loop", 0, pa.record_batch({"n": pa.array([99])}))])


def _advance(log: AppLog) -> None:
    with closing(log.reader("prepare", ["readings"], "m")) as reader:
        batch = reader.read(1, 0.0)[0]
        reader.commit([Advance(batch.topic, batch.partition, batch.through)], [])


@pytest.mark.parametrize(("used", "kind"), [("source", "memory"), ("target", "memory"), ("target", "kafka")])
def test_what_is_in_use_is_refused(make: Make, used: str, kind: str) -> None:
    here, there = replace(make("memory"), owners=True), replace(make(kind), owners=True)
    fill(here.log, here.artifacts)
    there.log.create(TOPICS[-1])
    reader = (here if used == "source" else there).log.reader("busy", ["loop"], "m")
    with pytest.raises(CannotStart, match="in use: groups with members are busy"):
        migrate(here, there, quiet)
    reader.close()
    assert all(line.same for line in migrate(here, there, quiet))


class Leaves(ManualClock):
    """Time in which a member that has ended is noticed to be gone."""

    def __init__(self, reader: Reader, seconds: float) -> None:
        super().__init__()
        self.reader, self.seconds = reader, seconds

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.monotonic() >= self.seconds:
            self.reader.close()


def test_members_that_have_just_ended_are_waited_for(make: Make) -> None:
    here, there = make("memory"), make("memory")
    fill(here.log, here.artifacts)
    clock = Leaves(here.log.reader("busy", ["loop"], "m"), 5.0)
    used = replace(here, owners=True, clock=clock, noticed=4.0)
    with pytest.raises(CannotStart, match="in use: groups with members are busy"):
        migrate(used, there, quiet)
    assert clock.monotonic() == 4.0
    assert all(line.same for line in migrate(used, there, quiet))
    assert clock.monotonic() == 5.0


# -- what the comparison sees -------------------------------------------------


def test_rows_that_cannot_be_read_are_told(make: Make) -> None:
    here, there = make("memory"), make("memory")
    fill(here.log, here.artifacts)
    assert isinstance(here.log, MemoryLog)
    here.log.plant_undecodable("loop", 0, b"?", "broken")
    (line,) = [line for line in migrate(here, there, quiet) if not line.same]
    assert (line.what, line.name) == ("partition", "loop/0")
    assert line.source.endswith(", 1 that cannot be read") and line.target in line.source
    assert seen(there.log) == seen(here.log)


def test_parents_that_are_gone(make: Make) -> None:
    """Of events, that retention took; of a topic that is no more; and two that wait for each other."""
    here, there = make("memory"), make("sqlite")
    gone = TopicSpec("gone", pa.schema([("n", pa.int64())]), 1)
    for name in ("a", "b"):
        here.log.create(replace(gone, name=name))
    for name, of, at in [("a", "b", 0), ("b", "a", 0), ("a", "gone", 7), ("a", "a", 1_000)]:
        rows = {"n": pa.array([at]), "_parent_partition": pa.array([0], pa.int32()), "_parent": pa.array([at])}
        here.log.append([Write(name, 0, pa.record_batch(rows), Lineage("s", of, "c"))])
    before = {place: [event["id"] for event in events] for place, events in seen(here.log).items()}
    assert all(line.same for line in migrate(here, there, quiet))
    assert {place: [event["id"] for event in events] for place, events in seen(there.log).items()} == before
    with closing(there.log.reader(None, ["a"], "m")) as reader:
        parents = [p for b in drain(reader) for p in column(b.rows, "_parent").to_pylist()]
    assert parents[1:] == [-8, -1_001]


class Faulty(MemoryLog):
    """A log that stores something else than it is given, of one topic."""

    def __init__(self, topic: str, spoil: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
        super().__init__(gap=2)
        self._topic, self._spoil = topic, spoil

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        return super().append(
            [
                replace(w, rows=self._spoil(w.rows)) if w.topic == self._topic and w.rows.num_rows > 1 else w
                for w in writes
            ]
        )


def _reordered(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.take(pa.array([1, 0, *range(2, rows.num_rows)]))


def _with(name: str, change: Callable[[pa.Array], pa.Array]) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    return lambda rows: rows.set_column(
        rows.schema.get_field_index(name), rows.schema.field(name), change(rows.column(name))
    )


def _nulls(values: pa.Array) -> pa.Array:
    return pa.nulls(len(values), values.type)


@pytest.mark.parametrize(
    ("topic", "spoil"),
    [
        ("features", lambda rows: rows.slice(1)),
        ("features", lambda rows: rows.slice(0, rows.num_rows - 1)),
        ("readings", lambda rows: pa.concat_batches([rows, rows.slice(0, 1)])),
        ("readings", _reordered),
        ("readings", _with("x", lambda x: pc.add(x, 1e-9))),
        ("readings", _with("name", lambda name: pc.utf8_lower(pc.fill_null(name, "")))),
        ("readings", _with("tags", lambda tags: pa.array([t or ["b"] for t in tags.to_pylist()], tags.type))),
        ("readings", _with("_id", _nulls)),
        ("readings", _with("_time", _nulls)),
        ("readings", _with("_key", _nulls)),
        ("readings", _with("_source", _nulls)),
        ("readings", _with("_extensions", _nulls)),
        ("features", _with("_parent", lambda parents: pc.add(parents, 1))),
        (DEAD, _with("offset", lambda offsets: pc.add(offsets, 1))),
        (DEAD, _with("traceback", lambda texts: pc.utf8_upper(texts))),
    ],
)
def test_rows_that_are_not_the_same_are_told(
    make: Make, topic: str, spoil: Callable[[pa.RecordBatch], pa.RecordBatch]
) -> None:
    here = make("memory")
    fill(here.log, here.artifacts)
    there = replace(make("memory"), log=Faulty(topic, spoil))
    lines = [line for line in migrate(here, there, quiet) if not line.same]
    assert f"{topic}/1" in {line.name for line in lines}
    assert {spec.retain_bytes for spec in there.log.topics()} == {None}  # what differs is kept for a look


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("prepare on readings/", lambda real: lambda stored, rank: real(stored, rank + 1)),
        ("prepare on readings/", lambda real: lambda stored, rank: real(stored, max(rank - 1, 0))),
        ("beginning on features/", lambda real: lambda stored, rank: "latest"),
    ],
)
def test_a_position_off_by_one_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch, name: str, mutant: Callable[..., Any]
) -> None:
    monkeypatch.setattr(copying, "_where", mutant(copying._where))
    here, there = make("memory"), make("memory")
    fill(here.log, here.artifacts)
    lines = [line for line in migrate(here, there, quiet) if not line.same]
    assert {line.what for line in lines} == {"group"}
    assert any(line.name.startswith(name) for line in lines)


class Untranslated(Translation):
    def rows(self, place: Place, wanted: Positions) -> Positions:
        return wanted


@pytest.mark.usefixtures("small")
def test_positions_that_are_not_translated_are_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "moved", Untranslated)
    here, there = make("sqlite"), make("memory")
    fill(here.log, here.artifacts)
    told = {line.name for line in migrate(here, there, quiet) if not line.same}
    assert told >= {"features/0", "features/1", "loop/0", f"{SYSTEM}/0", f"{DEAD}/1"}


def test_an_artifact_that_is_missing_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "copy_artifacts", lambda *_: None)
    here, there = make("memory"), make("memory")
    fill(here.log, here.artifacts)
    (line,) = [line for line in migrate(here, there, quiet) if not line.same]
    assert (line.what, line.name, line.target) == ("registry", "artifact of delay/1", "missing")


def test_an_event_too_large_for_the_target_is_named(make: Make, tmp_path: Path) -> None:
    schema = pa.schema([pa.field("text", pa.string(), nullable=False)])
    spec = TopicSpec("large", schema, 2)
    source = make("sqlite")
    source.log.create(spec)
    texts = [pa.record_batch([pa.array(["x" * size])], schema=schema) for size in (10, 5_000, 10)]
    source.log.append([Write("large", 1, rows) for rows in texts])
    target = End("memory", MemoryLog(limit=1_000), Artifacts(tmp_path / "artifacts"), owners=False)
    with pytest.raises(CannotStart, match=r"large/1/1 cannot be copied: .*retain= of 'large'"):
        migrate(source, target, quiet)


# -- snapshots ----------------------------------------------------------------


def forgotten(end: End) -> None:
    """A registry of which the log has only the last events, and a snapshot the rest."""
    fill(end.log, end.artifacts)
    end.log.create(SNAPSHOT_TOPIC)
    with closing(open_registry(end.log, ManualClock(), "owner")) as registry:
        registry.refresh()
        parts, told = snapshot(registry.view)
    end.log.append([Write(SNAPSHOTS, 0, parts)])
    end.log.reset(SYSTEM_TOPIC)
    end.log.append([Write(SYSTEM, 0, told)])


@pytest.mark.parametrize(("source", "target"), [("memory", "sqlite"), ("sqlite", "memory")])
def test_what_only_a_snapshot_tells_arrives(make: Make, source: str, target: str) -> None:
    here, there = make(source), make(target)
    forgotten(here)
    lines = migrate(here, there, quiet)
    assert [line for line in lines if not line.same] == []
    assert [line.source for line in lines if line.what == "registry"] == ["1 versions, 1 aliases"]
    assert started(there) == started(here)
    before = there.log.partitions(SNAPSHOTS)
    assert all(line.same for line in migrate(here, there, quiet)) and there.log.partitions(SNAPSHOTS) == before
    here.log.append([Write(SYSTEM, 0, to_rows([MoveAlias(id="m", model="delay", alias="champion", version=1)]))])
    assert all(line.same for line in migrate(here, there, quiet)), "and what came since"


def started(end: End) -> tuple[list[str], str | None]:
    """The versions, and the id of the event from which on one is in use."""
    with closing(open_registry(end.log, ManualClock(), "new")) as registry:
        registry.refresh()
        (active,) = registry.state.activations.values()
        versions = [version.ref for version in registry.versions("delay")]
    with closing(end.log.reader(None, [active.topic], "look")) as reader:
        reader.seek(Seek(active.topic, active.partition, active.from_offset))
        (batch,) = [b for b in reader.read(1_000, 0.0) if b.partition == active.partition]
    spec = next(spec for spec in end.log.topics() if spec.name == active.topic)
    return versions, to_dicts(batch.slice(0, 1), spec, "app")[0]["id"]


def test_a_snapshot_that_is_left_behind_is_found(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "carry", lambda *given: None)
    here, there = make("memory"), make("memory")
    forgotten(here)
    lines = migrate(here, there, quiet)
    with pytest.raises(AssertionError, match="versions, aliases, answers, activations"):
        assert [line for line in lines if not line.same] == []
