"""A subscription that is put while the app runs, read as ``app.subscribe`` reads one of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from ..plan.webhook_url import is_private, split_url
from . import subscriptions
from .events import SystemEvent
from .parts import DomainTopic, Topic
from .values import Duration, Ref, Retry, at_least, checked_name, refused

if TYPE_CHECKING:
    import polars as pl

    from ..filters.eventgrid import Filter
    from ..plan.plan import BodyFormat, Handshake, Plan
    from ..plan.run_time import RunTimeSubscription

NAME_CHARS = 128  # of a name
WHERE_CHARS = 4_096
_REFERENCE = re.compile(r"(ps\.)?(env|secret)\s*[:(].*", re.DOTALL)


class PutOptions(TypedDict, total=False):
    """What ``app.subscribe`` takes beside both ends, the name and the condition. ``secret`` and the values of
    ``headers`` may be texts."""

    filter: Filter | None
    retry: Retry
    batch: tuple[int, int] | None
    format: BodyFormat
    secret: Any
    headers: Mapping[str, str] | None
    start: Any
    concurrency: int
    rate: str | None
    disable_after: Duration | None
    ordered: bool
    handshake: Handshake
    allow_http: bool
    allow_private: bool


def source_text(source: object) -> str:
    """A topic, a class of system event, or the text that is stored of either."""
    if isinstance(source, DomainTopic):
        return f"{source.domain.name}/{source.name}"
    if isinstance(source, Topic):
        return source.name
    if isinstance(source, type) and issubclass(source, SystemEvent) and source is not SystemEvent:
        return source.event_type
    if isinstance(source, str) and not isinstance(source, Ref) and source:
        return source
    raise refused(f"a subscription is to a topic or a class of system event, not to {source!r:.200}")


def read_put(
    name: object,
    source: object,
    to: object,
    *,
    where: str | pl.Expr | None = None,
    **options: Any,
) -> RunTimeSubscription:
    """Raises ``DeclarationError`` for what cannot be, with no secret in it."""
    from ..plan.run_time import PrivateParts, RunTimeSubscription

    if stray := options.keys() - PutOptions.__annotations__.keys():
        known = ", ".join(PutOptions.__annotations__)
        raise refused(f"a subscription has no option {min(stray)!r}; it has where, {known}")
    if len(checked_name(name, "a subscription")) > NAME_CHARS:
        raise refused(f"the name of a subscription has {NAME_CHARS} characters at most")
    allow_http = subscriptions.read_flag(options.get("allow_http", False), "allow_http")
    allow_private = subscriptions.read_flag(options.get("allow_private", False), "allow_private")
    attempts, ttl = subscriptions.read_retry(options.get("retry", Retry(subscriptions.ATTEMPTS, subscriptions.TTL)))
    max_events, preferred_kb = subscriptions.read_batch(options.get("batch"))
    body = subscriptions.read_format(options.get("format", "cloudevents"))
    handshake = subscriptions.read_handshake(options.get("handshake", "none"))
    if max_events > 1 and body not in subscriptions.BATCHED:
        raise refused(f"batch=({max_events}, ...) needs format={subscriptions.BATCHED[0]!r} or 'eventgrid'")
    if handshake == "eventgrid" and body != "eventgrid":
        raise refused("handshake='eventgrid' is an event of that schema: write format='eventgrid' too")
    start = options.get("start", "latest")
    if start not in ("earliest", "latest"):
        raise refused(f"start={start!r:.100} must be 'earliest' or 'latest'")
    found = subscriptions.read_filter(options.get("filter"), where)
    return RunTimeSubscription(
        name=str(name),
        source=source_text(source),
        private=PrivateParts(
            _url(to, allow_http=allow_http, allow_private=allow_private),
            tuple(_plain(each) for each in subscriptions.read_given_secrets(options.get("secret"))),
            tuple((n, _plain(v)) for n, v in subscriptions.read_given_headers(options.get("headers"))),
        ),
        where=_where(where),
        filter=found,
        attempts=attempts,
        ttl=ttl,
        max_events=max_events,
        preferred_kb=preferred_kb,
        format=body,
        start=start,
        concurrency=at_least(options.get("concurrency", 32), 1, "concurrency", most=subscriptions.MAX_CONCURRENCY),
        rate=subscriptions.read_rate(options.get("rate")),
        disable_after=subscriptions.read_disable_after(options.get("disable_after", subscriptions.DISABLE_AFTER)),
        ordered=subscriptions.read_flag(options.get("ordered", False), "ordered"),
        handshake=handshake,
        allow_http=allow_http,
        allow_private=allow_private,
    )


def checked_condition(subscription: RunTimeSubscription, plan: Plan) -> RunTimeSubscription:
    """With its condition in its one spelling. Raises ``NotFound`` for a source that is none, and ``FilterInvalid`` for
    a condition that does not parse, or does not fit the source."""
    from msgspec.structs import replace

    from ..filters.where import parse
    from .sources import source_of

    source = source_of(subscription.source, plan)
    if subscription.where is None:
        return subscription
    return replace(subscription, where=parse(subscription.where, source.schema).text)


def _where(given: object) -> str | None:
    read = subscriptions.read_where(given)
    if read is not None and not isinstance(read, str):
        from .planning.expressions import text_of

        read = text_of(read)
    if read is not None and len(read) > WHERE_CHARS:
        raise refused(f"where= has {len(read):,} characters, and {WHERE_CHARS:,} is the most")
    return None if read is None else str(read)


def _url(to: object, *, allow_http: bool, allow_private: bool) -> Any:
    """What it says is in no message but for its host: the rest may be secret."""
    if isinstance(to, Ref):
        return to.spec
    if not isinstance(to, str):
        raise refused(
            f"a subscription that is put at run time goes to a webhook, by its URL, and not to a {type(to).__name__}; "
            "write app.subscribe for a topic"
        )
    if _REFERENCE.fullmatch(to):
        raise refused("the URL reads as a reference to the environment, which the app's file alone may have")
    try:
        url = split_url(to)
    except ValueError as error:
        raise refused(f"the URL cannot be sent to: {error}") from None
    if url.scheme == "http" and not allow_http:
        raise refused(f"the URL at {url.hostname} is without TLS; write https://")
    if is_private(url.hostname or "") and not allow_private:
        raise refused(f"{url.hostname} is not on the public internet, and nothing is sent there")
    return to


def _plain(given: str) -> Any:
    """A text as it is, never looked up; and the file's own references."""
    if isinstance(given, Ref):
        return given.spec
    if _REFERENCE.fullmatch(given):
        raise refused("a reference to the environment, as env:NAME reads, is for the app's file alone to have")
    return given
