"""/eventgrid/{topic}/api/events: a topic as Azure Event Grid's publishers know one, and a webhook of its subscriptions.

What is published is answered as the service does (https://learn.microsoft.com/azure/event-grid/post-to-custom-topic):
200 and nothing else, once it is durable; but where fields of the data were left out, these. ``aeg-event-type`` says
what Event Grid delivers (https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema):
events; the question whether this address wants them; or that no more will come, which is logged, and no event of the
topic.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ...access.audit import Audit
from ...errors import InvalidEvent, UnsupportedMediaType
from ...plan.plan import Plan
from ...schema.encode import source_of
from ...schema.eventgrid import decode_events, decode_pieces, read_events
from ...schema.ingress.ignored import Ignored
from ...settings import Settings
from ...stages.ingest.group_commit import Ingest
from ...stages.ingest.intake import Envelope, Intake, Rows
from ...telemetry import logger
from .. import cloudevents
from ..auditing import audited
from ..domains import DomainTopics, addressed, require_append, require_within, topics_of
from ..incoming import DecodedBody, EventReader, RequestHeaders, intake_of, media_type, respond
from ..principal import principal_of
from ..wire.asgi import Receive, Scope, Send
from ..wire.body import BOM, Reservation, read_body
from ..wire.errors import BadRequest

ARRAY_LIMIT_BYTES = 1 << 20  # bytes of what is published at once, and so of an event, as Event Grid has it
EVENTS_LIMIT = 5_000  # likewise
ABOUT_SUBSCRIPTIONS_LIMIT_BYTES = 64 << 10  # bytes of one event that is not the topic's

KIND = b"aeg-event-type"
NOTIFICATION, VALIDATION, DELETION = "Notification", "SubscriptionValidation", "SubscriptionDeletion"
VALIDATION_TYPE = "Microsoft.EventGrid.SubscriptionValidationEvent"

ORIGIN, RATE = "webhook-request-origin", "webhook-request-rate"  # CloudEvents' web hooks for HTTP §4.1
_ORIGIN = re.compile(r"[A-Za-z0-9._~:/\[\]-]{1,255}", re.ASCII)
_RATE = re.compile(r"\*|[1-9][0-9]{0,9}", re.ASCII)

_log = logger(__name__)


class EventGridNeeds(Protocol):
    """What these doors lead to."""

    @property
    def plan(self) -> Plan: ...

    @property
    def ingest(self) -> Ingest: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def decoding(self) -> Executor: ...

    @property
    def audit(self) -> Audit | None: ...

    @property
    def domain_topics(self) -> DomainTopics: ...


class _Question(msgspec.Struct, rename="camel"):
    """The data of an event that asks whether this address wants to be delivered to."""

    validation_code: str


class EventGridBodies:
    """Arrays of Event Grid's schema, and CloudEvents; see ``BodyForms``. ``app``: whose topics they are for."""

    def __init__(self, app: str) -> None:
        self._app = app

    def decode(self, intake: Intake, headers: RequestHeaders, body: bytes, limits: Settings) -> DecodedBody:
        ignored = Ignored()
        if (mode := _mode(headers)) is not None:
            rows, envelope = cloudevents.decode(mode, headers, body, intake.decoder, ignored)
        else:
            rows, envelope = decode_events(
                body, intake.decoder, self._source(intake), delivered=_is_delivered(headers), ignored=ignored
            )
        return DecodedBody(rows, envelope, ignored)

    def decode_in_pieces(
        self, intake: Intake, headers: RequestHeaders, parts: Iterable[bytes], limits: Settings, ignored: Ignored
    ) -> Iterator[tuple[Rows, Envelope | None]]:
        given = (parts, intake.decoder, limits.event_limit)
        if (mode := _mode(headers)) is not None:
            yield from cloudevents.decode_in_pieces(mode, headers, *given, ignored)
        else:
            source, delivered = self._source(intake), _is_delivered(headers)
            yield from decode_pieces(*given, source, delivered=delivered, ignored=ignored)

    def _source(self, intake: Intake) -> str | None:
        return None if intake.spec.domain else source_of(intake.spec, self._app)


class EventGrid:
    """The door for ``POST``."""

    def __init__(self, services: EventGridNeeds) -> None:
        given, bodies = services.settings, EventGridBodies(services.plan.app)
        array = min(given.body_limit, ARRAY_LIMIT_BYTES)
        limits = replace(given, body_limit=array, batch_limit=min(given.batch_limit, EVENTS_LIMIT))
        self._ingest, self._domains = services.ingest, services.plan.domains
        self._audit, self._topics = services.audit, services.domain_topics
        self._published = EventReader(bodies, limits, services.decoding)
        # Event Grid adds to what was published within its limits, and what it is told is too large it drops.
        self._delivered = EventReader(bodies, given, services.decoding)
        self._about_subscriptions = replace(given, body_limit=ABOUT_SUBSCRIPTIONS_LIMIT_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, topic: str) -> None:
        await respond(
            scope, send, self._ingest, topic, audited(self._audit, scope, self._accept(scope, receive, topic))
        )

    async def _accept(self, scope: Scope, receive: Receive, topic: str) -> bytes:
        headers: RequestHeaders = dict(scope["headers"])
        if topic in self._domains:
            require_within(principal_of(scope), "append", topic)
            if _is_delivered(headers):
                raise BadRequest(
                    f"'{topic}' is a domain, and what Event Grid delivers says no topic of it: use a topic"
                )
        intake = intake_of(self._ingest, topic)
        kind = headers.get(KIND, NOTIFICATION.encode()).decode("latin-1")
        with Reservation(self._ingest) as room:
            if kind in (VALIDATION, DELETION):
                body = await read_body(receive, headers, room, self._about_subscriptions)
                if kind == VALIDATION:
                    return _validated(b"".join(body.parts))
                name = headers.get(b"aeg-subscription-name", b"").decode("latin-1")
                _log.warning(
                    f"Event Grid's subscription {name!r:.80} to topic '{topic}' was deleted: it delivers no more"
                )
                return b""
            if kind != NOTIFICATION:
                known = f"{NOTIFICATION}, {VALIDATION} and {DELETION}"
                raise BadRequest(f"{KIND.decode()}={kind!r:.60} is not known: there are {known}")
            reader = self._delivered if _is_delivered(headers) else self._published
            incoming = await reader.read(intake, receive, headers, room)
            if intake.spec.domain:
                incoming.rows, incoming.envelope = rows, _ = addressed(intake, incoming, None), None
                require_append(principal_of(scope), topic, topics := topics_of(rows))
                await self._topics.ensure(topic, topics)
            await self._ingest.store(topic, incoming.rows, incoming.envelope, size=incoming.size)
        ignored = incoming.ignored.told(intake.spec.schema) if incoming.ignored else []
        return msgspec.json.encode({"ignored": ignored}) if ignored else b""


async def grant(request: Request, services: EventGridNeeds) -> Response:
    """Whoever asks with ``WebHook-Request-Origin`` may deliver here, as fast as it likes: who is too fast is told 503,
    and who may not is not let in to ask. It is granted at once, so that no callback needs to be called."""
    intake_of(services.ingest, request.path_params["topic"])
    headers = {"allow": "POST, OPTIONS"}
    if (origin := request.headers.get(ORIGIN)) is not None:
        headers["webhook-allowed-origin"] = _checked(ORIGIN, origin, _ORIGIN, "the name of a host")
        if (rate := request.headers.get(RATE)) is not None:
            _checked(RATE, rate, _RATE, "a number of requests in a minute, or *")
            headers["webhook-allowed-rate"] = "*"
    return Response(headers=headers)


def _checked(name: str, value: str, pattern: re.Pattern[str], expected: str) -> str:
    if pattern.fullmatch(value) is None:
        raise BadRequest(f"the header {name}={value!r:.60} must be {expected}")
    return value


def _validated(body: bytes) -> bytes:
    """The answer by which this address wants to be delivered to. Raises ``InvalidEvent``."""
    events = read_events(body.removeprefix(BOM), delivered=True)
    if len(events) != 1:
        raise InvalidEvent(f"{VALIDATION} comes with one event; these are {len(events)}")
    (event,) = events
    if event.event_type != VALIDATION_TYPE:
        raise InvalidEvent(f"{VALIDATION} comes with the type {VALIDATION_TYPE}", row=0, field="eventType")
    try:
        question = msgspec.json.decode(event.data, type=_Question)
    except msgspec.DecodeError as error:
        raise InvalidEvent(str(error), row=0, field="data") from None
    return msgspec.json.encode({"validationResponse": question.validation_code})


def _mode(headers: RequestHeaders) -> cloudevents.Mode | None:
    """How CloudEvents are carried; None: it is Event Grid's schema. Raises ``UnsupportedMediaType``."""
    kind = media_type(headers.get(b"content-type", b""))
    mode = cloudevents.mode(kind, headers)
    if mode is None and kind != "application/json":
        raise UnsupportedMediaType(
            f"content type '{kind or 'none'}' is not one of application/json (Event Grid's schema), "
            "application/cloudevents+json, application/cloudevents-batch+json"
        )
    return mode


def _is_delivered(headers: RequestHeaders) -> bool:
    """Has Event Grid sent it to a webhook? Publishers do not say what it is."""
    return KIND in headers
