"""What must be there before an app runs: its topics, and a first version of each model that it brings along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...batch import SYSTEM, TopicSpec, Write
from ...clock import Clock
from ...declare.plan import ModelSpec, Plan
from ...errors import CannotStart, SchemaChanged
from ...log.interface import Alter, Log
from ...models.artifacts import Artifacts
from ...models.messages import Register, to_rows
from ...models.registry import Registry
from ...stages.failures.dead import DEAD_TOPIC
from ...telemetry import logger

log = logger(__name__)

SYSTEM_TOPIC = TopicSpec(SYSTEM, partitions=1)  # never expires: the registry is what it says


def all_topics(plan: Plan) -> Iterator[TopicSpec]:
    """Penstock's own and the app's."""
    yield SYSTEM_TOPIC
    yield DEAD_TOPIC
    yield from plan.topics


def prepare(plan: Plan, events: Log, artifacts: Artifacts, clock: Clock, *, remake: Alter | None = None) -> None:
    """Make the topics, and ask for the models that have no version yet; the registry's owner answers later.

    ``remake``: the log, where topics without a type lose their events when what feeds them makes other columns.
    Raises ``SchemaChanged`` and ``PartitionsChanged`` for topics that are there and differ too much, and
    ``CannotStart`` for an artifact that cannot be read.
    """
    for topic in all_topics(plan):
        _make(topic, events, remake if topic.name in plan.untyped else None)
    registry = Registry(events.reader(None, [SYSTEM], "prepare"), clock)
    try:
        registry.refresh()
        seeds = [_seed(m, artifacts, clock) for m in plan.models if m.artifact and not registry.versions(m.name)]
    finally:
        registry.close()
    if seeds:
        events.append([Write(SYSTEM, 0, to_rows(seeds))])


def _make(topic: TopicSpec, events: Log, remake: Alter | None) -> None:
    try:
        events.create(topic)
    except SchemaChanged as error:
        if remake is None:
            raise
        remake.reset(topic)
        log.warning(
            "a topic without a type has new columns and begins anew, without its events; "
            "stages go on with what comes, and `penstock run` would refuse this",
            topic=topic.name,
            changed=str(error),
        )


def _seed(model: ModelSpec, artifacts: Artifacts, clock: Clock) -> Register:
    assert model.artifact is not None
    try:
        digest = artifacts.put(Path(model.artifact))
    except OSError as error:
        raise CannotStart(f"{model.place}: the artifact {model.artifact} cannot be read: {error.strerror}") from None
    return Register(
        # Another id at each start: an answer given before, such as that a library is missing, may not hold any more.
        id=f"seed/{model.name}/{digest}/{clock.now()}",
        name=model.name,
        digest=digest,
        outputs=model.outputs,
        inputs=model.inputs,
        alias=model.alias,
        trust=f"sha256:{digest}" if model.trust is None and is_own_code(Path(model.artifact)) else model.trust,
        only_if_none=True,
    )


def is_own_code(artifact: Path) -> bool:
    """Python source that the app's file names is the app's own code, as a module that it imports would be."""
    return artifact.suffix == ".py"
