"""POST /topics/{topic}/events: the door that everything comes in by, so it is bare ASGI and nothing is before it; and
those of domains, to one topic or to as many as the events say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import Any, Literal, Protocol
from urllib.parse import parse_qs

import msgspec
import numpy as np
import pyarrow as pa

from ...access.audit import Audit
from ...errors import UnsupportedMediaType
from ...plan.domains import keeps_topics
from ...plan.plan import Plan
from ...schema.ingress.arrow import from_arrow
from ...schema.ingress.ignored import Ignored, IgnoredField
from ...settings import Settings
from ...stages.ingest.group_commit import Ingest
from ...stages.ingest.intake import Envelope, Intake, Receipt, Rows
from .. import cloudevents
from ..auditing import audited
from ..domains import DomainTopics, addressed, check_name, require_append, require_within, topics_of
from ..incoming import DecodedBody, EventReader, RequestHeaders, intake_of, media_type, respond
from ..principal import principal_of
from ..wait.followers import Followers
from ..wait.lineage import Waiter
from ..wire.asgi import Receive, Scope, Send
from ..wire.body import Reservation
from ..wire.errors import BadRequest, unknown
from ..wire.parameters import duration

NDJSON = ("application/x-ndjson", "application/jsonl", "application/ndjson")
ARROW = "application/vnd.apache.arrow.stream"
READS = (
    f"application/json, {NDJSON[0]}, {NDJSON[1]}, application/cloudevents+json, "
    f"application/cloudevents-batch+json, {ARROW}"
)


class PublishNeeds(Protocol):
    """What these doors lead to."""

    @property
    def ingest(self) -> Ingest: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def decoding(self) -> Executor: ...

    @property
    def followers(self) -> Followers: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def audit(self) -> Audit | None: ...

    @property
    def domain_topics(self) -> DomainTopics: ...


class Publish:
    def __init__(self, services: PublishNeeds) -> None:
        self._ingest = services.ingest
        self._settings = services.settings
        self._reader = EventReader(PublishedBodies(), services.settings, services.decoding)
        self._followers = services.followers
        self._domains = services.plan.domains

    async def __call__(self, scope: Scope, receive: Receive, send: Send, topic: str) -> None:
        await respond(scope, send, self._ingest, topic, self._accept(scope, receive, topic))

    async def _accept(self, scope: Scope, receive: Receive, topic: str, domain_topic: str | None = None) -> bytes:
        headers = dict(scope["headers"])
        intake = self._intake(scope, topic)
        asked = self._asked(scope, topic) if scope["query_string"] else None
        with ExitStack() as waiting:
            with Reservation(self._ingest) as room:
                incoming = await self._reader.read(intake, receive, headers, room)
                await self._admit(scope, intake, incoming, domain_topic, None if asked is None else asked[0])
                if asked is not None:
                    waiter = waiting.enter_context(await self._followers.join(topic, asked[0]))
                receipt = await self._ingest.store(topic, incoming.rows, incoming.envelope, size=incoming.size)
            ignored = incoming.ignored.told(intake.spec.schema) if incoming.ignored else []
            if asked is None:
                return encode(receipt, ignored)
            target, seconds = asked
            if not receipt.repeated:
                waiter.arm(receipt)
                return await answered(waiter, receipt, ignored, seconds)
        return await self._look_back(topic, target, receipt, ignored, seconds)

    def _intake(self, scope: Scope, topic: str) -> Intake:
        """Raises ``NotFound``, ``Forbidden``, and ``BadRequest`` for a domain, which has doors of its own."""
        intake = intake_of(self._ingest, topic)
        if intake.spec.domain:
            raise BadRequest(f"'{topic}' is a domain: publish to /domains/{topic}/topics/TOPIC/events")
        return intake

    async def _admit(
        self, scope: Scope, intake: Intake, incoming: DecodedBody, domain_topic: str | None, target: str | None
    ) -> None:
        """What is asked of events before they are stored; of those of a topic nothing. ``target``: whose rows are
        waited for."""

    async def _look_back(
        self, topic: str, target: str, receipt: Receipt, ignored: list[IgnoredField], seconds: float
    ) -> bytes:
        until = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds) as turn, self._followers.looking_back(topic, target, receipt) as waiter:
                turn.reschedule(None)
                return await answered(waiter, receipt, ignored, until - time.monotonic())
        except TimeoutError:
            return encode_waited(receipt, ignored, [], complete=False)

    def _asked(self, scope: Scope, topic: str) -> tuple[str, float]:
        """``?wait=TOPIC&timeout=DURATION``, checked before anything is stored."""
        query = scope["query_string"].decode("latin-1")
        given = {k: v[-1] for k, v in parse_qs(query, keep_blank_values=True).items()}
        if stray := given.keys() - {"wait", "timeout"}:
            raise BadRequest(f"unknown parameter '{min(stray)}': there are wait and timeout")
        if "wait" not in given:
            raise BadRequest("timeout says how long to wait for a topic: name it with wait=TOPIC")
        seconds = duration(given.get("timeout", "1s"), "timeout", self._settings.wait_limit)
        self._require_read(scope, topic, given["wait"])
        self._followers.check(topic, given["wait"])
        return given["wait"], seconds

    def _require_read(self, scope: Scope, source: str, target: str) -> None:
        """Of a domain all: what is made of an event of a topic may be in any of it. Raises ``Forbidden``."""
        whole = f"{target}/*" if target in self._domains else target
        principal_of(scope).require("read", whole)


class PublishToDomain(Publish):
    """POST /domains/{domain}/events: each event says which topic it is of, and so does the address of one topic.

    A request that has an event for a topic that its publisher may not append to is refused as a whole.
    """

    def __init__(self, services: PublishNeeds) -> None:
        super().__init__(services)
        self._audit, self._topics = services.audit, services.domain_topics
        self._plan = services.plan

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, topic: str, domain_topic: str | None = None
    ) -> None:
        accepted = audited(self._audit, scope, self._accept(scope, receive, topic, domain_topic))
        await respond(scope, send, self._ingest, topic, accepted)

    def _intake(self, scope: Scope, topic: str) -> Intake:
        require_within(principal_of(scope), "append", topic)
        if topic not in self._domains:
            raise unknown("domain", topic, sorted(self._domains))
        return intake_of(self._ingest, topic)

    async def _admit(
        self, scope: Scope, intake: Intake, incoming: DecodedBody, domain_topic: str | None, target: str | None
    ) -> None:
        if domain_topic is not None:
            check_name(domain_topic)
        incoming.rows, incoming.envelope = rows, _ = addressed(intake, incoming, domain_topic), None
        topics, who = topics_of(rows), principal_of(scope)
        require_append(who, intake.spec.name, topics)
        if target is not None and keeps_topics(self._plan, intake.spec.name, target):
            for topic in topics:
                who.require("read", f"{target}/{topic}")
        await self._topics.ensure(intake.spec.name, topics)

    def _require_read(self, scope: Scope, source: str, target: str) -> None:
        if not keeps_topics(self._plan, source, target):  # else it is looked at when the topics are known
            super()._require_read(scope, source, target)


async def answered(waiter: Waiter, receipt: Receipt, ignored: list[IgnoredField], seconds: float) -> bytes:
    """What was accepted, and what came of it within the time."""
    try:
        await asyncio.wait_for(waiter.done, seconds)
    except TimeoutError:
        pass  # not an error: the events are durable, and the answer says what there is so far
    results = sorted(waiter.results, key=lambda r: r["row"])
    return encode_waited(receipt, ignored, results, complete=waiter.complete)


class PublishedBodies:
    """By content type, see ``BodyForms``."""

    def decode(self, intake: Intake, headers: RequestHeaders, body: bytes, limits: Settings) -> DecodedBody:
        given = headers.get(b"content-type", b"")
        ignored = Ignored()
        if given == b"application/json" and cloudevents.mode("", headers) is None:
            return DecodedBody(intake.decoder.decode(body, ignored=ignored), None, ignored)
        kind = media_type(given)
        mode = cloudevents.mode(kind, headers)
        if mode is not None:
            rows, envelope = cloudevents.decode(mode, headers, body, intake.decoder, ignored)
            return DecodedBody(rows, envelope, ignored)
        if kind == "application/json":
            return DecodedBody(intake.decoder.decode(body, ignored=ignored), None, ignored)
        if kind in NDJSON:
            return DecodedBody(intake.decoder.decode(body, "ndjson", ignored=ignored), None, ignored)
        return DecodedBody(columns(kind, intake, body, limits, ignored), None, ignored)

    def decode_in_pieces(
        self, intake: Intake, headers: RequestHeaders, parts: Iterable[bytes], limits: Settings, ignored: Ignored
    ) -> Iterator[tuple[Rows, Envelope | None]]:
        kind = media_type(headers.get(b"content-type", b""))
        mode = cloudevents.mode(kind, headers)
        if mode is not None:
            yield from cloudevents.decode_in_pieces(mode, headers, parts, intake.decoder, limits.event_limit, ignored)
        elif kind == "application/json" or kind in NDJSON:
            form: Literal["json", "ndjson"] = "ndjson" if kind in NDJSON else "json"
            for rows in intake.decoder.decode_pieces(parts, form, ignored=ignored):
                yield rows, None
        else:
            yield columns(kind, intake, b"".join(parts), limits, ignored), None


def columns(kind: str, intake: Intake, body: bytes, limits: Settings, ignored: Ignored) -> pa.RecordBatch:
    """Of a body that has them already. Raises what ``from_arrow`` raises."""
    if kind != ARROW:
        raise UnsupportedMediaType(f"content type '{kind or 'none'}' is not one of {READS}")
    return from_arrow(
        body,
        intake.decoder.schema,
        row_limit=limits.batch_limit,
        size_limit=limits.body_limit,
        reject_unknown=intake.spec.extra == "reject",
        ignored=ignored,
    )


def encode(receipt: Receipt, ignored: list[IgnoredField]) -> bytes:
    if len(receipt) == 1 and not ignored:
        partition, at = int(receipt.partitions[0]), int(receipt.positions[0])
        place = b'{"partition":%d,"offset":%d,"last":%d,"count":1}' % (partition, at, at)
        return b'{"count":1,"positions":[%b]}' % place
    return msgspec.json.encode(accepted(receipt, ignored))


def encode_waited(
    receipt: Receipt, ignored: list[IgnoredField], results: list[dict[str, Any]], *, complete: bool
) -> bytes:
    return msgspec.json.encode({**accepted(receipt, ignored), "results": results, "complete": complete})


def accepted(receipt: Receipt, ignored: list[IgnoredField]) -> dict[str, Any]:
    """``ignored`` is there only if there is something to say."""
    answer = {"count": len(receipt), "positions": places(receipt)}
    return {**answer, "ignored": ignored} if ignored else answer


def places(receipt: Receipt) -> list[dict[str, Any]]:
    """First, last and count of each partition, in the order of partitions."""
    if not len(receipt):
        return []
    order = receipt.partitions.astype(np.uint16).argsort(kind="stable")  # so short, it is sorted by its digits
    positions, counts = receipt.positions[order], np.bincount(receipt.partitions)
    found = counts.nonzero()[0]
    counts, starts = counts[found], (counts.cumsum() - counts)[found]
    first, last = np.minimum.reduceat(positions, starts), np.maximum.reduceat(positions, starts)
    ends = zip(found.tolist(), first.tolist(), last.tolist(), counts.tolist(), strict=True)
    return [{"partition": p, "offset": a, "last": b, "count": n} for p, a, b, n in ends]
