"""What a text stands for that names the source of a subscription: the one place that knows."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ..errors import NotFound
from .events import SYSTEM_EVENTS

if TYPE_CHECKING:
    import pyarrow as pa

    from ..batch import TopicSpec
    from ..plan.plan import Plan


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """``topic``: the name of what is read; ``schema``: of what a condition sees; ``event``: a system event's
    type."""

    topic: str
    partitions: int
    schema: pa.Schema
    event: str | None = None
    retain_us: int | None = None


def source_of(text: str, plan: Plan) -> ResolvedSource:
    """A topic of the app by its name, or system events by their type. Raises ``NotFound``, which names what is near."""
    found: TopicSpec | None = next((topic for topic in plan.topics if topic.name == text), None)
    if found is not None:
        return ResolvedSource(found.name, found.partitions, found.schema, retain_us=found.retain_us)
    if (event := SYSTEM_EVENTS.get(text)) is not None:
        from .planning.where import fields_of

        return ResolvedSource(event.written_in, 1, fields_of(event), text)
    known = [*(topic.name for topic in plan.topics), *SYSTEM_EVENTS]
    near = get_close_matches(text, known, n=3)
    raise NotFound(
        f"there is no topic {text[:200]!r} to subscribe to" + (f"; did you mean {' or '.join(near)}?" if near else "")
    )


def read_topic(text: str) -> str:
    """The name of the topic that somebody has to be allowed to read to subscribe to this source, which need not be
    there."""
    event = SYSTEM_EVENTS.get(text)
    return text if event is None else event.written_in
