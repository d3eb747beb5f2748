"""What a subscription could not do with its topic or its target, and what the plan holds of it."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import FilterInvalid
from ...filters.where import parse
from ...plan.plan import SubscriptionSpec
from ...plan.references import ReferenceSpec
from ...plan.webhook_url import host_of, is_private, split_url
from ..parts import SubscriptionPart, Topic
from ..subscriptions import BATCHED
from ..targets import SubscriptionTarget
from ..values import Ref
from .columns import misfits
from .expressions import text_of
from .findings import FindingCollector
from .functions import shown
from .topics import Columns
from .where import fields_of


def plan_subscription(
    part: SubscriptionPart, columns: Columns, environ: Mapping[str, str] | None, report: FindingCollector
) -> SubscriptionSpec:
    """What the plan holds of it, but for the place; what is wrong is reported. ``environ``: None where references are
    not looked up."""
    if isinstance(part.to, Topic):
        _check_fit(part, part.to, columns, report)
    elif not isinstance(part.to, SubscriptionTarget):
        _check_url(part, part.to, environ, report)
    if part.max_events > 1 and part.format not in BATCHED:
        message = (
            f"'{part.name}' has batch=({part.max_events}, ...), and format={part.format!r} takes one event a request"
        )
        report.error(part.place, message, f"write format={BATCHED[0]!r} or {BATCHED[1]!r}, or leave batch= away")
    if part.handshake == "eventgrid" and part.format != "eventgrid":
        message = f"'{part.name}' has handshake='eventgrid', an event of that schema, and format={part.format!r}"
        report.error(part.place, message, "write format='eventgrid', or handshake='cloudevents'")
    _check_retention(part, report)
    return SubscriptionSpec(
        part.name,
        part.source.name if isinstance(part.source, Topic) else part.source.written_in,
        None if isinstance(part.to, Topic | SubscriptionTarget) else _plain(part.to),
        part.to.name if isinstance(part.to, Topic) else None,
        None if isinstance(part.source, Topic) else part.source.event_type,
        _condition(part, columns, report),
        part.filter,
        part.attempts,
        part.ttl,
        part.max_events,
        part.preferred_kb,
        part.format,
        tuple(secret.spec for secret in part.secrets),
        tuple((name, _plain(value)) for name, value in part.headers),
        part.start,
        part.concurrency,
        part.rate,
        part.allow_http,
        part.allow_private,
        destination=part.to.spec if isinstance(part.to, SubscriptionTarget) else None,
        disable_after=part.disable_after,
        handshake=part.handshake,
        domain_topic=part.domain_topic,
        to_topic=part.to_topic,
        ordered=part.ordered,
    )


def _condition(part: SubscriptionPart, columns: Columns, report: FindingCollector) -> str | None:
    """In its one spelling. A text that does not fit the topic is reported, and stays as it was written."""
    if part.where is None:
        return None
    text = part.where if isinstance(part.where, str) else None
    try:
        text = text_of(part.where) if text is None else text
        schema = columns.of(part.source) if isinstance(part.source, Topic) else fields_of(part.source)
        return text if schema is None else parse(text, schema).text
    except FilterInvalid as error:
        wrong, *line = str(error).splitlines()
        message = "\n    ".join((f"where= of '{part.name}': {wrong}", *line))
        report.error(part.place, message, "docs/where.md has all that can be written")
        return text


def _plain(given: str) -> str | ReferenceSpec:
    return given.spec if isinstance(given, Ref) else given


def _check_fit(part: SubscriptionPart, to: Topic[object], columns: Columns, report: FindingCollector) -> None:
    source, target = columns.of_source(part), columns.of(to)
    if source is None or target is None or to.type is None:
        return
    for reason in misfits(source, target):
        message = f"'{part.name}' does not fit topic '{to.name}': {reason}"
        report.error(part.place, message, f"feed a topic of the source's type, or change the type {shown(to.type)}")


def _check_url(part: SubscriptionPart, to: str, environ: Mapping[str, str] | None, report: FindingCollector) -> None:
    """Of a reference only what the environment here says, which elsewhere may be another: so that is a warning."""
    if not isinstance(to, Ref):
        tell, called, found = report.error, f"'{part.name}' sends to {host_of(to)}", split_url(to)
    elif environ is None or not to.spec.is_given(environ):
        return
    else:
        tell, called = report.warning, f"'{part.name}' sends to {to!r}"
        try:
            found = split_url(to.resolve(environ))
        except ValueError as error:
            tell(part.place, f"{called}, which is no URL: {error}", "set it to one like https://example.com/events")
            return
    if found.scheme == "http" and not part.allow_http:
        tell(part.place, f"{called}, without TLS", "write https://, or allow_http=True where nobody reads along")
    if is_private(found.hostname or "") and not part.allow_private:
        message = f"{called}, and that is not on the public internet"
        tell(part.place, message, "write allow_private=True if whoever can set the URL may reach what is there")


def _check_retention(part: SubscriptionPart, report: FindingCollector) -> None:
    if not isinstance(part.source, Topic) or part.source.retain_us is None:
        return
    if part.source.retain_us < part.ttl * 1e6:
        message = (
            f"'{part.name}' has a ttl of {part.ttl / 3_600:g} hours, and topic '{part.source.name}' keeps its events "
            f"for {part.source.retain_us / 3.6e9:g}: those that wait for a slow endpoint are lost with it"
        )
        report.warning(part.place, message, "write a longer retain= at the topic, or a shorter ttl=")
