"""What a text stands for that names the source of a subscription: the one place that knows."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ..errors import DeclarationError, NotFound
from ..plan.domains import resolve_topic
from .events import SYSTEM_EVENTS

if TYPE_CHECKING:
    import pyarrow as pa

    from ..plan.plan import Plan


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """``topic``: the name of what is read; ``schema``: of what a condition sees; ``event``: a system event's type;
    ``domain_topic``: the only one whose events are meant, of a domain."""

    topic: str
    partitions: int
    schema: pa.Schema
    event: str | None = None
    retain_us: int | None = None
    domain_topic: str | None = None


def source_of(text: str, plan: Plan) -> ResolvedSource:
    """A topic or domain of the app by its name, a topic of a domain as ``tx/acme``, or system events by their type.
    Raises ``NotFound``, which names what is near."""
    if any(topic.name == text.partition("/")[0] for topic in plan.topics):
        try:
            found, domain_topic = resolve_topic(plan, text)
        except DeclarationError as error:
            raise NotFound(str(error)) from None
        return ResolvedSource(
            found.name, found.partitions, found.schema, retain_us=found.retain_us, domain_topic=domain_topic
        )
    if (event := SYSTEM_EVENTS.get(text)) is not None:
        from .planning.where import fields_of

        return ResolvedSource(event.written_in, 1, fields_of(event), text)
    known = [*(topic.name for topic in plan.topics), *SYSTEM_EVENTS]
    near = get_close_matches(text, known, n=3)
    raise NotFound(
        f"there is no topic {text[:200]!r} to subscribe to" + (f"; did you mean {' or '.join(near)}?" if near else "")
    )


def read_topic(text: str, plan: Plan) -> str:
    """What somebody has to be allowed to read to subscribe to this source, which need not be there: of a domain all of
    its topics."""
    if (event := SYSTEM_EVENTS.get(text)) is not None:
        return event.written_in
    return f"{text}/*" if text in plan.domains else text
