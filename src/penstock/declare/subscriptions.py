"""What ``app.subscribe`` takes: each option read, or refused for what is wrong with it alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .events import SystemEvent
from .parts import DomainTopic, Topic
from .targets import SubscriptionTarget
from .values import Duration, Ref, Retry, at_least, checked_name, microseconds, refused

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from ..filters.eventgrid import Filter
    from ..plan.plan import BodyFormat, Handshake

ATTEMPTS = 30
TTL = "24h"
CONCURRENCY, MAX_CONCURRENCY = 32, 64
DISABLE_AFTER, DISABLE_MIN_US = "5d", 3_600_000_000
BATCH = (1, 64)
TTL_MIN_US, TTL_MAX_US = 60_000_000, 86_400_000_000
MAX_EVENTS, MAX_KB = 5_000, 1_024  # of a request
HEADERS, HEADER_LIMIT_BYTES = 10, 4_096
SECRETS = 2
BATCHED: tuple[BodyFormat, ...] = ("cloudevents-batch", "eventgrid")
HANDSHAKES: tuple[Handshake, ...] = ("none", "eventgrid", "cloudevents")
FORMATS: tuple[BodyFormat, ...] = ("cloudevents", "cloudevents-structured", "cloudevents-batch", "eventgrid")

OWN_HEADERS = {
    "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "idempotency-key", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade", "user-agent",
}  # fmt: skip
"""They are the request's, and none of a subscription."""
OWN_PREFIXES = ("aeg-", "ce-", "webhook-")
HIDDEN_HEADERS = {"authorization", "cookie"}
"""Their values let somebody in: they are references."""

_PER_S = {"s": 1, "m": 60, "h": 3_600}
_RATE = re.compile(r"([1-9][0-9]{0,8})/([smh])")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[!-~]+([ \t]+[!-~]+)*")  # RFC 9110, 5.5, without what is not ASCII


def read_target(to: object) -> Topic[Any] | SubscriptionTarget | str:
    """A topic, a destination of another kind, a reference, or the text of a URL."""
    if isinstance(to, Topic | SubscriptionTarget | Ref):
        return to
    if not isinstance(to, str):
        raise refused(
            f"app.subscribe sends to a URL, a ps.env(...), a ps.secret(...), a topic or a ps.KafkaTopic(...), "
            f"not to {to!r}"
        )
    try:
        _split(to)
    except ValueError as error:
        raise refused(f"app.subscribe cannot send to this URL: {error}") from None
    return to


def read_name(
    name: object, source: Topic[Any] | DomainTopic[Any] | type[SystemEvent], to: Topic[Any] | SubscriptionTarget | str
) -> str:
    """The default is made of both ends, ``SOURCE-to-TARGET``, and of nothing else: another filter or another place in
    the file does not change it."""
    what = "a subscription"
    if name is not None:
        return checked_name(name, what)
    if isinstance(source, DomainTopic):
        read = f"{source.domain.name}-{source.name}"
    else:
        read = source.name if isinstance(source, Topic) else source.event_type.removeprefix("penstock.")
    if isinstance(to, Topic):
        end = to.name
    elif isinstance(to, SubscriptionTarget):
        end = to.spec.name
    else:
        end = to.variable.lower() if isinstance(to, Ref) else _split(to).netloc.lower()
    ends = (re.sub(r"[^A-Za-z0-9-]+", "-", each).strip("-") for each in (read, end))
    return checked_name("-to-".join(ends), f"{what}; give name=")


def read_where(where: object) -> Any:
    if where is None or isinstance(where, str) or type(where).__module__.partition(".")[0] == "polars":
        return where
    raise refused(f'where={where!r} must be SQL text, such as "score > 0.9", or a polars expression')


def read_filter(filter: object, where: object) -> Filter | None:
    if filter is None:
        return None
    from ..filters.eventgrid import Filter  # with Arrow, which an app without one does not load

    if not isinstance(filter, Filter):
        raise refused(f"filter={filter!r} is not a ps.eventgrid.Filter; write a condition as where=")
    if where is not None:
        raise refused("where= and filter= cannot be given both; write all of it in one of the two")
    return filter


def read_retry(retry: object) -> tuple[int, float]:
    """Attempts, and the ttl in seconds."""
    if not isinstance(retry, Retry):
        raise refused(f"retry={retry!r} is not a ps.Retry; write retry=ps.Retry(attempts={ATTEMPTS}, ttl={TTL!r})")
    ttl = microseconds(retry.ttl or TTL, "ttl")
    if not TTL_MIN_US <= ttl <= TTL_MAX_US:
        raise refused(f"ttl={retry.ttl!r} of a subscription must be at least 1 minute and at most 24 hours")
    return at_least(retry.attempts, 1, "attempts", most=ATTEMPTS), ttl / 1e6


def read_disable_after(disable_after: Duration | None) -> float | None:
    """Seconds."""
    if disable_after is None:
        return None
    if (found := microseconds(disable_after, "disable_after")) < DISABLE_MIN_US:
        raise refused(f"disable_after={disable_after!r} must be at least 1 hour, or None")
    return found / 1e6


def read_batch(batch: object) -> tuple[int, int]:
    """Events, and the preferred KiB, of a request."""
    if batch is None:
        return BATCH
    if not isinstance(batch, tuple) or len(batch) != 2:
        raise refused(f"batch={batch!r} must be (events, KB); write batch=(100, {BATCH[1]})")
    return at_least(batch[0], 1, "the events of batch", MAX_EVENTS), at_least(batch[1], 1, "the KB of batch", MAX_KB)


def read_format(format: object) -> BodyFormat:
    for known in FORMATS:
        if format == known:
            return known
    raise refused(f"format={format!r} must be one of {', '.join(map(repr, FORMATS))}")


def read_handshake(handshake: object) -> Handshake:
    for known in HANDSHAKES:
        if handshake == known:
            return known
    raise refused(f"handshake={handshake!r} must be one of {', '.join(map(repr, HANDSHAKES))}")


def read_given_secrets(secret: object) -> tuple[str, ...]:
    """Of a subscription that is put at run time: texts too, whose form is looked at where they are used to sign."""
    found = (secret,) if isinstance(secret, str) else secret
    if found is None:
        return ()
    if not isinstance(found, Sequence) or not all(_may_sign(each) for each in found):
        raise refused("secret= is a secret of Standard Webhooks, whsec_ and 24 to 64 bytes in base64, or two of them")
    if not 1 <= len(found) <= SECRETS or len(set(found)) < len(found):
        raise refused("secret= is one secret, or two different ones while the second follows the first")
    return tuple(found)


def read_given_headers(headers: object) -> tuple[tuple[str, str], ...]:
    """Of a subscription that is put at run time, whose values are texts too."""
    return _headers(headers, _given_value)


def _may_sign(given: object) -> bool:
    if isinstance(given, Ref):
        return given.kind == "secret"
    return isinstance(given, str) and given.startswith("whsec_")


def read_secrets(secret: object) -> tuple[Ref, ...]:
    found = (secret,) if isinstance(secret, str) else secret
    if found is None:
        return ()
    # Never shown: a text that is here by mistake is what nobody must see.
    if not isinstance(found, Sequence) or not all(isinstance(each, Ref) and each.kind == "secret" for each in found):
        raise refused("secret= is a secret's name, not the secret; write secret=ps.secret('WEBHOOK_KEY')")
    if not 1 <= len(found) <= SECRETS or len(set(found)) < len(found):
        raise refused("secret= is one ps.secret(...), or two different ones while the second follows the first")
    return tuple(found)


def read_headers(headers: object) -> tuple[tuple[str, str], ...]:
    return _headers(headers, _header_value)


def _headers(headers: object, read_value: Callable[[str, object], str]) -> tuple[tuple[str, str], ...]:
    if headers is None:
        return ()
    if not isinstance(headers, Mapping) or len(headers) > HEADERS:
        raise refused(f"headers= must be a dict of at most {HEADERS} names and values")
    if len({str(name).lower() for name in headers}) < len(headers):
        raise refused("headers= has a name twice: names are one in whatever case")
    return tuple((_header(name), read_value(name, value)) for name, value in headers.items())


def read_rate(rate: object) -> float | None:
    """Requests a second."""
    if rate is None:
        return None
    found = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    if found is None:
        raise refused(f"rate={rate!r} is no rate; write rate='100/s', '100/m' or '100/h', in requests")
    return int(found[1]) / _PER_S[found[2]]


def read_flag(given: object, option: str) -> bool:
    if not isinstance(given, bool):
        raise refused(f"{option}={given!r} must be True or False")
    return given


def check_webhook_options(to: Topic[Any] | SubscriptionTarget, **given: object) -> None:
    """Those that were given with another target than a URL."""
    what = "feeds a topic" if isinstance(to, Topic) else f"goes to {to.spec.receiver}"
    for option, value in given.items():
        if value:
            raise refused(f"{option}= is of webhooks, and this subscription {what}; leave it away")


def read_ordered(ordered: object, to: Topic[Any] | SubscriptionTarget | str) -> bool:
    if read_flag(ordered, "ordered") and isinstance(to, Topic):
        raise refused(
            f"ordered=True is of what goes outside: topic '{to.name}' always gets the events of a key in their order; "
            "leave it away"
        )
    return bool(ordered)


def check_format(to: SubscriptionTarget, format: BodyFormat, batch: object) -> None:
    """That the kind of destination can carry it."""
    if format not in to.formats:
        raise refused(f"{to.spec.kind} takes no format={format!r}; write one of {', '.join(map(repr, to.formats))}")
    if batch is not None and not set(BATCHED) & set(to.formats):
        raise refused(f"batch= is of requests with several events, and {to.spec.kind} takes each alone; leave it away")


def _split(url: str) -> SplitResult:
    from ..plan.webhook_url import split_url  # with urllib and socket, which an app without a URL does not load

    return split_url(url)


def _header(name: object) -> str:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise refused(f"headers={{{name!r}: ...}}: that cannot be the name of a header")
    if name.lower() in OWN_HEADERS or name.lower().startswith(OWN_PREFIXES):
        raise refused(f"headers={{{name!r}: ...}}: that header is the request's own; choose another name")
    return name


def _header_value(name: str, value: object) -> str:
    if isinstance(value, Ref):
        return value
    if name.lower() in HIDDEN_HEADERS:
        raise refused(f"headers={{{name!r}: ...}} lets somebody in: write {{{name!r}: ps.secret('...')}}")
    return _given_value(name, value)


def _given_value(name: str, value: object) -> str:
    if isinstance(value, Ref):
        return value
    if not isinstance(value, str) or len(value) > HEADER_LIMIT_BYTES or not _VALUE.fullmatch(value):
        raise refused(
            f"headers={{{name!r}: ...}}: a value is a text of visible ASCII, {HEADER_LIMIT_BYTES:,} bytes at most, or "
            "a reference to one"
        )
    return value
