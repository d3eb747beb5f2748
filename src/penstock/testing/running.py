"""Run an app in memory, on a clock moved by hand: the stages and the pump of production, in the test's own thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ..batch import DEAD, Batch, TopicSpec, Write
from ..clock import ManualClock
from ..declare.app import App
from ..declare.parts import DomainTopic, Topic
from ..declare.planning.build import folder_of, plan_of
from ..declare.values import Duration, seconds
from ..errors import InvalidEvent, NotFound, PenstockError
from ..log.memory import MemoryLog
from ..models.artifacts import Artifacts
from ..partition import key_text, split_by_key
from ..plan.places import Site
from ..run.compose.bootstrap import prepare
from ..run.compose.stages import Composition
from ..runner.inline import InlineRunner
from ..schema.objects import from_objects, to_objects
from ..settings import Settings
from ..stages.emit import with_columns
from ..stages.registry_owner import GROUP
from ..stages.scoring.loading import at_once
from .standins import StandIn, StandIns

E = TypeVar("E")

ROUNDS = 1_000  # over all stages; an app whose events stop making events is done long before
AT_ONCE_ROWS = 10_000  # rows of one read


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that no attempt could deal with. ``data``: the event as JSON values."""

    stage: str
    error: str  # the exception's type name
    reason: str
    traceback: str
    attempts: int
    partition: int
    offset: int
    id: str
    key: str | None
    time: datetime
    data: Any


class Running:
    """An app under test. Nothing happens but in ``settle`` and ``advance``; ``clock`` says what time it is there."""

    def __init__(self, composition: Composition, clock: ManualClock) -> None:
        self.clock = clock
        self._composition = composition
        self._log = composition.log
        self._turn = 0

    def publish(self, topic: Topic[E] | DomainTopic[E], *events: E) -> None:
        """Append events of the topic's type, or dicts of that shape, as a publisher's; no stage has run by then.

        Of a domain to one of its topics, ``tx["acme"]``. Raises ``InvalidEvent`` as the HTTP door would, ``NotFound``
        for a topic that is not the app's.
        """
        spec = self._spec(topic)
        rows = from_objects(events, spec.schema)
        if isinstance(topic, DomainTopic):
            rows = with_columns(rows, {"_topic": pa.repeat(topic.name, len(rows))})
        elif spec.domain:
            raise InvalidEvent(f"which domain topic are they of? Write {spec.name}['acme'] for '{spec.name}'")
        keys = key_text(rows.column(spec.key)) if spec.key is not None else None
        self._turn += 1
        parts = split_by_key(rows, keys, spec.partitions, self._turn)
        self._log.append([Write(spec.name, partition, part) for partition, part in parts])

    def settle(self) -> None:
        """Let every stage work until nothing moves: each event is dealt with, or its stage waits for something.

        A stage whose dependency is away, or whose model has no version, holds its events; ``advance`` lets it try
        again. Raises ``PenstockError`` naming the stages when events go on making events without an end.
        """
        for _ in range(ROUNDS):
            moved = [line.name for line in self._composition.lines if line.pump.step(0.0)]
            if not moved:
                return
        raise PenstockError(f"still not settled after {ROUNDS} rounds; these stages go on: {', '.join(moved)}")

    def read(self, topic: Topic[E] | DomainTopic[E]) -> list[E]:
        """Every event of the topic since the start, as objects of its type; by partition, and in order within one.

        Of a topic without a type they are dicts; of a domain those of all its topics, or of one. Raises ``NotFound``
        for a topic that is not the app's.
        """
        spec = self._spec(topic)
        kind = topic.domain.type if isinstance(topic, DomainTopic) else topic.type
        found: list[E] = []
        for batch in self._batches(spec.name):
            rows = batch.rows
            if isinstance(topic, DomainTopic):
                rows = rows.filter(pc.equal(rows.column("_topic"), topic.name))
            found += to_objects(rows, kind)
        return found

    def dead(self, topic: Topic[Any]) -> list[DeadLetter]:
        """The topic's events that went to the dead letters. Raises ``NotFound`` for a topic that is not the app's."""
        self._spec(topic)
        letters = [row for batch in self._batches(DEAD) for row in batch.rows.to_pylist()]
        names = DeadLetter.__dataclass_fields__
        return [
            DeadLetter(**{n: row[n] for n in names} | {"data": msgspec.json.decode(row["data"])})
            for row in letters
            if row["topic"] == topic.name
        ]

    def waiting(self) -> dict[str, str]:
        """The stages that wait for something, and what it is. Raises nothing."""
        statuses = {line.name: line.pump.status for line in self._composition.lines}
        return {name: status.why for name, status in statuses.items() if not status.ready}

    def advance(self, d: Duration) -> None:
        """Move the clock, by ``"90s"`` or a ``timedelta``, and settle. Raises ``DeclarationError`` for no duration, and
        as ``settle``."""
        self.clock.advance(seconds(d, "advance"))
        self.settle()

    def _spec(self, topic: Topic[Any] | DomainTopic[Any]) -> TopicSpec:
        topics = {spec.name: spec for spec in self._composition.plan.topics}
        name = topic.domain.name if isinstance(topic, DomainTopic) else topic.name
        if name not in topics:
            raise NotFound(f"this app has no topic '{name}'; there are: {', '.join(sorted(topics))}")
        return topics[name]

    def _batches(self, topic: str) -> list[Batch]:
        reader = self._log.reader(None, [topic], "test")
        try:
            found: list[Batch] = []
            while batches := reader.read(AT_ONCE_ROWS, 0.0):
                found += batches
            return sorted(found, key=lambda batch: batch.partition)
        finally:
            reader.close()


@contextmanager
def run(
    app: App,
    *,
    models: Mapping[str, StandIn] | None = None,
    resources: Mapping[type, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """An app in memory, until the end of the ``with`` block.

    ``models`` stand in for the registry's: a function from a frame of the model's inputs to one of its outputs.
    ``resources`` are given, by their type, instead of what ``app.resource`` makes. ``env`` is the whole environment.
    Raises ``DeclarationError`` for an app that could not run.

    >>> with testing.run(app, models={"risk": lambda rows: rows.select(score=pl.col("amount") / 100)}) as t:
    ...     t.publish(orders, Order("a", 7.0))
    ...     t.settle()
    ...     t.read(risks)
    [Risk(id='a', score=0.07)]
    """
    stand_ins, clock, settings = StandIns(models or {}), _Clock(), Settings()
    environ = dict(env or {})
    plan = plan_of(app, signatures=stand_ins.signature_of, provided=tuple(resources or ()), environ=environ)
    stand_ins.check_names(plan)
    plan = stand_ins.without_artifacts(plan)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="penstock-test-")))
        log, artifacts = MemoryLog(clock, settings=settings), Artifacts(folder)
        stack.callback(log.close)
        prepare(plan, log, artifacts, clock, site=Site(folder_of(app), environ))
        stand_ins.install(plan, log, artifacts, clock)

        def make_runner(stage: str, with_app: bool) -> InlineRunner:
            return InlineRunner(app, plan, models=models, resources=resources, env=env)

        composition = Composition(
            plan, log, clock, settings, "test", artifacts, make_runner, environ=environ, background=at_once
        )
        stack.callback(composition.close)
        registrar = next(line for line in composition.lines if line.name == GROUP)
        clock.meanwhile = lambda: registrar.pump.step(0.0)
        yield Running(composition, clock)


class _Clock(ManualClock):
    """A function that registers a model sleeps until the registry answers; here nobody else would let it answer."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.meanwhile()
