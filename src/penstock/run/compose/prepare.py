"""What must be there before an app runs: its topics, and the models that it brings along."""

from __future__ import annotations

from collections.abc import Iterator

from ...batch import SYSTEM, TopicSpec, Write
from ...clock import Clock
from ...declare.parts import OnChange
from ...declare.plan import Plan
from ...log.interface import Log
from ...models.artifacts import Artifacts
from ...models.messages import to_rows
from ...models.registry import Registry
from ...notices import notices
from ...stages.failures.dead import DEAD_TOPIC
from .bundled import commands

SYSTEM_TOPIC = TopicSpec(SYSTEM, partitions=1)  # never expires: the registry is what it says


def all_topics(plan: Plan) -> Iterator[TopicSpec]:
    """Penstock's own and the app's."""
    yield SYSTEM_TOPIC
    yield DEAD_TOPIC
    yield from plan.topics


def prepare(plan: Plan, log: Log, artifacts: Artifacts, clock: Clock, *, on_change: OnChange = "keep") -> None:
    """Make the topics, and ask for the models that have no version yet; the registry's owner answers later.

    ``on_change`` is for models whose file has changed, and that do not say themselves what becomes of it.

    Raises ``SchemaChanged`` and ``PartitionsChanged`` for topics that are there and differ too much, and
    ``CannotStart`` for an artifact that cannot be read.
    """
    for topic in all_topics(plan):
        log.create(topic)
    registry = Registry(log.reader(None, [SYSTEM], "prepare"), clock)
    try:
        registry.refresh()
        asked = list(commands(plan, registry, artifacts, clock, notices(), on_change))
    finally:
        registry.close()
    if asked:
        log.append([Write(SYSTEM, 0, to_rows(asked))])
