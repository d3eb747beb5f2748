"""Subscriptions that are put while the app runs: what is stored of one, and what couriers make of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..filters.eventgrid import Filter
from .plan import BodyFormat, Handshake, SubscriptionSpec
from .references import ReferenceSpec
from .webhook_url import host_of


class PrivateParts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What may let somebody in, and is shown to nobody: its repr has none of it. A reference is the file's alone:
    whoever puts a subscription from outside gives texts, or he could have the environment sent to himself."""

    url: str | ReferenceSpec
    secrets: tuple[str | ReferenceSpec, ...] = ()
    headers: tuple[tuple[str, str | ReferenceSpec], ...] = ()

    def __repr__(self) -> str:
        return "PrivateParts(...)"


class RunTimeSubscription(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """``SubscriptionSpec`` to a webhook, in the form that is stored. ``source``: a topic, or a system event's type, as
    a text that ``declare.sources.source_of`` knows."""

    name: str
    source: str
    private: PrivateParts
    where: str | None = None
    filter: Filter | None = None
    attempts: int = 30
    ttl: float = 86_400.0
    max_events: int = 1
    preferred_kb: int = 64
    format: BodyFormat = "cloudevents"
    start: Literal["earliest", "latest"] = "latest"
    concurrency: int = 32
    rate: float | None = None
    disable_after: float | None = 432_000.0
    ordered: bool = False
    handshake: Handshake = "none"
    allow_http: bool = False
    allow_private: bool = False

    @property
    def receiver(self) -> str:
        """To be shown: of a URL the host, or the reference."""
        url = self.private.url
        return str(url) if isinstance(url, ReferenceSpec) else host_of(url)

    def spec(self, topic: str, event: str | None, domain_topic: str | None) -> SubscriptionSpec:
        """``topic``, ``event`` and ``domain_topic``: what its source stands for."""
        return SubscriptionSpec(
            self.name,
            topic,
            self.private.url,
            event=event,
            where=self.where,
            filter=self.filter,
            attempts=self.attempts,
            ttl=self.ttl,
            max_events=self.max_events,
            preferred_kb=self.preferred_kb,
            format=self.format,
            secrets=self.private.secrets,
            headers=self.private.headers,
            start=self.start,
            concurrency=self.concurrency,
            rate=self.rate,
            allow_http=self.allow_http,
            allow_private=self.allow_private,
            disable_after=self.disable_after,
            ordered=self.ordered,
            handshake=self.handshake,
            domain_topic=domain_topic,
            run_time=True,
        )


def encoded(subscription: RunTimeSubscription) -> bytes:
    """Equal subscriptions are equal bytes."""
    return msgspec.msgpack.encode(subscription, order="deterministic")


def decoded(data: bytes) -> RunTimeSubscription:
    """Raises ``msgspec.ValidationError``."""
    return msgspec.msgpack.decode(data, type=RunTimeSubscription)
