"""A request's events, as the doors that take them in share it: their topic, how the body is read, whole or in
pieces, and what is answered where it is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol, TypeAlias

import pyarrow as pa

from ..batch import DEAD, SYSTEM
from ..errors import Forbidden, TooLarge, UnsupportedMediaType
from ..schema.ingress.ignored import Ignored
from ..settings import Settings
from ..stages.ingest.group_commit import Ingest
from ..stages.ingest.intake import Envelope, Intake, Rows
from ..stages.interface import concat_promote
from ..telemetry.metrics import counter
from .wire.asgi import JSON_TYPE, Headers, Receive, Scope, Send, answer
from .wire.body import BOM, Body, Reservation, beside, breathe, read_body
from .wire.errors import Disconnected, problem, unknown

RequestHeaders: TypeAlias = dict[bytes, bytes]  # names in lower case, as ASGI gives them

REFUSED = counter("ingest_refused", "Requests refused at the door", "topic", "reason")  # ``reason``: the status


@dataclass(slots=True)
class DecodedBody:
    """``size``: bytes that came of the body, as ``Body.size`` counts them."""

    rows: Rows
    envelope: Envelope | None = None
    ignored: Ignored = field(default_factory=Ignored)
    size: int = 0


class BodyForms(Protocol):
    """What a door reads bodies as, by their content type."""

    def decode(self, intake: Intake, headers: RequestHeaders, body: bytes, limits: Settings) -> DecodedBody:
        """Raises ``UnsupportedMediaType``, ``InvalidEvent``, ``TooLarge``."""
        ...

    def decode_in_pieces(
        self, intake: Intake, headers: RequestHeaders, parts: Iterable[bytes], limits: Settings, ignored: Ignored
    ) -> Iterator[tuple[Rows, Envelope | None]]:
        """The same, some events at a time; ``ignored`` is filled on the way."""
        ...


async def respond(scope: Scope, send: Send, ingest: Ingest, topic: str, accepted: Awaitable[bytes]) -> None:
    """Answer what was made of a request, or why it is refused; nobody, if nobody is there any more."""
    try:
        body = await accepted
    except Disconnected:
        return
    except Exception as error:
        status, headers, body = problem(error, scope["path"])
        REFUSED.labels(topic if topic in ingest.topics else "", str(status)).inc()
        await answer(scope, send, status, headers, body)
    else:
        said: Headers = [JSON_TYPE] if body else []
        await answer(scope, send, 200, said, body)


def intake_of(ingest: Ingest, topic: str) -> Intake:
    """Raises ``NotFound``, and ``Forbidden`` for a topic of Penstock's own."""
    intake = ingest.topics.get(topic)
    if intake is None:
        if topic in (SYSTEM, DEAD) or topic.startswith("penstock."):
            raise Forbidden(f"'{topic}' is Penstock's own: it can be read, and not published to")
        raise unknown("topic", topic, sorted(ingest.topics))
    return intake


class EventReader:
    """Reads the bodies of one door. ``threads``: where large ones are read, one at a time."""

    def __init__(self, forms: BodyForms, limits: Settings, threads: Executor) -> None:
        self._forms, self._limits, self._threads = forms, limits, threads

    async def read(self, intake: Intake, receive: Receive, headers: RequestHeaders, room: Reservation) -> DecodedBody:
        """A request's events. Raises what ``read_body`` and the forms raise, and ``TooLarge`` for too many."""
        body = await read_body(receive, headers, room, self._limits)
        given = (self._forms, intake, headers)
        if body.is_large:
            found = await beside(self._threads, decoded_in_pieces, *given, body, self._limits)
        else:
            found = decoded(*given, b"".join(body.parts), self._limits)
        room.take(body.unpacked)
        found.size = body.size
        return found


def decoded(forms: BodyForms, intake: Intake, headers: RequestHeaders, body: bytes, limits: Settings) -> DecodedBody:
    """What a small body holds, if it is not too many. Raises what ``BodyForms.decode`` raises."""
    found = forms.decode(intake, headers, body.removeprefix(BOM), limits)  # no Arrow stream begins like that
    if (count := len(found.rows)) > limits.batch_limit:
        raise TooLarge(f"the request has {count} events, and the limit is {limits.batch_limit}: send several")
    return found


def decoded_in_pieces(
    forms: BodyForms, intake: Intake, headers: RequestHeaders, body: Body, limits: Settings
) -> DecodedBody:
    """The columns of a large body, made of some events at a time and counted on the way: of one that holds too many no
    more is unpacked than it takes to find out. Raises what the forms and the parts raise.

    Beside the event loop, and alone there: see ``GatewayServices.decoding``.
    """
    batches: list[pa.RecordBatch] = []
    ignored = Ignored()
    count = 0
    parts = chain((next(body.parts, b"").removeprefix(BOM),), body.parts)
    for rows, envelope in forms.decode_in_pieces(intake, headers, parts, limits, ignored):
        if (count := count + len(rows)) > limits.batch_limit:
            raise TooLarge(f"the request has more events than the limit, which is {limits.batch_limit}: send several")
        batches.append(rows if isinstance(rows, pa.RecordBatch) else intake.columns(rows, envelope))
        breathe()
    return DecodedBody(concat_promote(batches) if batches else intake.columns([], None), None, ignored)


def media_type(given: bytes) -> str:
    """A content type in lower case, without its parameters. Raises ``UnsupportedMediaType`` for another charset."""
    kind, _, rest = given.decode("latin-1").lower().partition(";")
    charset = next((p.partition("=")[2].strip(' "') for p in rest.split(";") if p.strip().startswith("charset=")), "")
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType(f"charset '{charset}' is not utf-8")
    return kind.strip()
