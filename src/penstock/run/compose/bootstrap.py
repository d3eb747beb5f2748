"""What must be there before an app runs: its topics, and the models that it brings along."""

from __future__ import annotations

from collections.abc import Iterator

from ...access.state import KeyState
from ...batch import SYSTEM, TopicSpec, Write
from ...clock import Clock
from ...domains.state import DomainState
from ...errors import SchemaChanged
from ...log.interface import Alter, Log
from ...models.artifacts import Artifacts
from ...models.decide import RegistryState
from ...models.registry import Registry
from ...notices import notices
from ...plan.places import Site
from ...plan.plan import OnChange, Plan
from ...stages.deliver.handshakes.state import HandshakeState
from ...stages.deliver.retry import RETRY_TOPIC
from ...stages.deliver.run_time.state import RunTimeState
from ...stages.deliver.state import DeliveryState
from ...stages.failures.dead import DEAD_TOPIC
from ...system.interface import Area, SystemLog
from ...system.messages import to_rows
from ...system.snapshots import SNAPSHOT_TOPIC
from ...system.view import View
from ...telemetry import logger
from .bundled import commands

log = logger(__name__)

SYSTEM_TOPIC = TopicSpec(SYSTEM, partitions=1)  # never expires: on a log of ours no snapshot need be the only one


def all_topics(plan: Plan) -> Iterator[TopicSpec]:
    """Penstock's own and the app's."""
    yield SYSTEM_TOPIC
    yield SNAPSHOT_TOPIC
    yield DEAD_TOPIC
    if plan.delivers:
        yield RETRY_TOPIC
    yield from plan.topics


def every_area() -> list[Area]:
    """What ``penstock.system`` knows, in this version."""
    return [RegistryState(), DeliveryState(), HandshakeState(), RunTimeState(), KeyState(), DomainState()]


def open_registry(events: SystemLog, clock: Clock, member: str) -> Registry:
    """Over a view of all areas that this version knows. Raises ``NotFound`` where there is no ``penstock.system``."""
    return Registry(View(events, every_area(), clock, member))


def prepare(plan: Plan, events: SystemLog, artifacts: Artifacts, clock: Clock, *, site: Site | None = None) -> None:
    """The topics made, and the models asked for. Raises what the two do."""
    make_topics(plan, events)
    seed(plan, events, artifacts, clock, site=site)


def make_topics(plan: Plan, events: Log, *, remake: Alter | None = None) -> None:
    """``remake``: the log, where topics without a type lose their events when what feeds them makes other columns.

    Several hosts may do so at once: whose declaration comes first stands, and the others have to fit it. Raises
    ``SchemaChanged`` and ``PartitionsChanged`` for topics that are there and differ too much.
    """
    for topic in all_topics(plan):
        _make(topic, events, remake if topic.name in plan.untyped else None)


def seed(
    plan: Plan,
    events: SystemLog,
    artifacts: Artifacts,
    clock: Clock,
    *,
    on_change: OnChange = "keep",
    site: Site | None = None,
) -> None:
    """Ask for the models that have no version yet; the registry's owner answers later, and all but the first of several
    who ask are refused.

    ``site`` is where the models' files are; without it they are named in full. ``on_change`` is for models whose file
    has changed, and that do not say themselves what becomes of it. Raises ``CannotStart`` for an artifact that cannot
    be read.
    """
    registry = open_registry(events, clock, "prepare")
    try:
        registry.refresh()
        asked = list(commands(plan, registry, artifacts, clock, notices(), on_change, site))
    finally:
        registry.close()
    if asked:
        events.append([Write(SYSTEM, 0, to_rows(asked))])


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
