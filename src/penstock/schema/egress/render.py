"""Events as requests, each rendered once, and many rendered ones joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from ...batch import Batch, Indices, TopicSpec
from . import cloudevents, eventgrid
from .rendered import Rendered

Format: TypeAlias = Literal[
    "cloudevents", "cloudevents-structured", "cloudevents-batch", "cloudevents-kafka", "eventgrid"
]

_RENDERERS = {
    "cloudevents": cloudevents.binary,
    "cloudevents-structured": cloudevents.structured,
    "cloudevents-batch": cloudevents.batched,
    "cloudevents-kafka": cloudevents.kafka_binary,
    "eventgrid": eventgrid.alone,
}
_HEADERS_OF_MANY = {"cloudevents-batch": cloudevents.BATCH_HEADERS, "eventgrid": eventgrid.HEADERS}


def render(format: Format, batch: Batch, rows: Indices, topic: TopicSpec, app: str) -> list[Rendered]:
    """A request for each of these rows, by their places in the batch; what it carries is as every reader gets it
    (``encode``). ``app``: whose topic it is, if that says no source.

    ``cloudevents`` is the binary mode of the HTTP binding of CloudEvents 1.0.2, ``cloudevents-structured`` its
    structured and ``cloudevents-batch`` its batched mode in the JSON event format; ``cloudevents-kafka`` is the binary
    mode of the Kafka binding; ``eventgrid`` is Azure Event Grid's schema. Batches and it are arrays of one event, which
    ``join`` puts together.

    What a request says of the subscription and of the attempt (``aeg-subscription-name``, ``aeg-delivery-count``, a
    signature) is not here: it differs between requests of the same event.
    """
    whole = len(rows) == len(batch) and bool((rows == np.arange(len(batch))).all())
    return _RENDERERS[format](batch if whole else batch.take(rows), topic, app)


def join(format: Format, parts: Sequence[Rendered]) -> Rendered:
    """One request of what was rendered in this format, in order; without parts that of an empty array.

    Raises ``ValueError`` for several parts of a format whose requests carry one event: a batch is sent to nobody who
    has not asked for it (HTTP binding §3.3).
    """
    if len(parts) == 1:
        return parts[0]
    if format not in _HEADERS_OF_MANY:
        raise ValueError(f"a request of the format {format!r} carries one event, not {len(parts)}")
    return Rendered(b"[" + b",".join([part.body[1:-1] for part in parts]) + b"]", _HEADERS_OF_MANY[format])
