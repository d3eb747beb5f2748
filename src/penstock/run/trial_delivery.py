"""One made-up event, sent straight to a subscription's endpoint, to see what that answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from uuid import uuid4

import numpy as np
import pyarrow as pa

from ..batch import JSON_SCHEMA, SYSTEM, Batch, TopicSpec
from ..clock import Clock
from ..declare.checking.samples import sample_rows
from ..destinations.interface import Answer, Destination, Parcel
from ..destinations.redaction import REDACTED, redact
from ..destinations.webhook.courier import Courier
from ..destinations.webhook.endpoint import Endpoint
from ..errors import BadRequest, Uncertain
from ..gateway.wire.errors import unknown
from ..plan.plan import Plan, SubscriptionSpec
from ..schema.egress.render import render
from ..schema.rows import is_json
from ..settings import Settings
from .compose.bootstrap import SYSTEM_TOPIC
from .compose.deliveries import endpoint_of, origin_of
from .compose.destinations import kind_of

WAIT_S = 60.0  # seconds for an answer: twice of what a request may take


@dataclass(frozen=True, slots=True)
class TrialDelivery:
    """What was sent and its answer, without secrets: of a URL there is the scheme, the host and the port."""

    endpoint: str
    headers: tuple[tuple[str, str], ...]
    body: str
    answer: Answer
    seconds: float
    verb: str = "POST to"


def deliver_trial(
    plan: Plan, name: str, environ: Mapping[str, str], clock: Clock, settings: Settings | None = None
) -> TrialDelivery:
    """Whatever the subscription's condition; the ids begin with ``test-``, so that no event has them.

    Raises ``NotFound`` for a name that is not the plan's, ``BadRequest`` for a subscription to a topic,
    ``DeclarationError`` where a reference has no value here or the endpoint cannot be, and ``Uncertain`` where nothing
    is known of the request after ``WAIT_S``.
    """
    specs = {spec.name: spec for spec in plan.subscriptions}
    if name not in specs:
        raise unknown("subscription", name, sorted(specs))
    spec = specs[name]
    if not spec.is_delivered:
        raise BadRequest(f"subscription '{name}' goes to the topic '{spec.topic}', which is in the log: no endpoint")
    topic = SYSTEM_TOPIC if spec.source == SYSTEM else plan.topic(spec.source)
    id = f"test-{uuid4().hex}"
    format = spec.format if spec.destination is None else kind_of(spec).format(spec)
    request = render(format, _batch(topic, id, clock.now()), np.zeros(1, np.int64), topic, plan.app)[0]
    parcel = Parcel(id, request.body, request.headers, 1)
    if spec.destination is not None:
        return _to_destination(spec, environ, parcel, clock)
    return _to_webhook(endpoint_of(spec, environ, origin_of(plan, settings or Settings())), parcel, clock)


def _to_destination(spec: SubscriptionSpec, environ: Mapping[str, str], parcel: Parcel, clock: Clock) -> TrialDelivery:
    opened, began = kind_of(spec).open(spec, environ, clock), clock.monotonic()
    try:
        answer = _answer_of(opened, parcel, spec.receiver)
    finally:
        opened.close()
    body = parcel.body.decode(errors="replace")
    return TrialDelivery(spec.receiver, tuple(parcel.headers), body, answer, clock.monotonic() - began, "Sent to")


def _to_webhook(endpoint: Endpoint, parcel: Parcel, clock: Clock) -> TrialDelivery:
    id, began = parcel.id, clock.monotonic()
    courier = Courier(clock)
    try:
        answer = _answer_of(courier.open(endpoint), parcel, endpoint.place)
    finally:
        courier.close()
    own = [(header, REDACTED) for header, _ in endpoint.headers]
    if endpoint.handshake == "cloudevents":
        own.append(("webhook-request-origin", endpoint.origin))
    signed = [("webhook-signature", REDACTED)] if endpoint.secrets else []
    return TrialDelivery(
        endpoint.place,
        (*parcel.headers, ("webhook-id", id), ("idempotency-key", id), ("penstock-attempt", "1"), *signed, *own),
        redact(parcel.body.decode(errors="replace"), endpoint.hidden()),
        answer,
        clock.monotonic() - began,
    )


def _batch(topic: TopicSpec, id: str, now: int) -> Batch:
    if is_json(topic.schema):
        rows = pa.RecordBatch.from_arrays([pa.array(['{"test":true}'])], schema=JSON_SCHEMA)
    else:
        rows = sample_rows(topic.schema, 1, key=topic.key)
    rows = rows.append_column(pa.field("_id", pa.string()), pa.array([id]))
    return Batch(topic.name, 0, np.zeros(1, np.int64), np.full(1, now, np.int64), rows)


def _answer_of(destination: Destination, parcel: Parcel, place: str) -> Answer:
    over = Event()
    destination.send([parcel], lambda _: over.set())
    if not over.wait(WAIT_S):
        raise Uncertain(f"nothing is known of what was sent to {place} after {WAIT_S:g} s")
    assert parcel.answer is not None
    return parcel.answer
