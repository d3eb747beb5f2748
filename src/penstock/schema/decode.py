"""JSON bytes to columns, in two steps: each body to rows (its errors stay its own), then many bodies' rows to columns.

Made from an Arrow schema alone; see ``rows`` for how a type's rules travel. The rules of the door:

- Unknown fields are ignored, or counted, or refused, as the topic says. Counting costs nothing where there are none: a
  type that refuses them is as fast as one that does not look. Those that came once are taught to it.
- Of a key that comes twice the last counts. An integer will do for a float; nothing else is converted: ``"1400"``,
  ``1400.0`` and ``true`` are no integers.
- NaN, Infinity, numbers beyond a double, integers beyond 64 bits, bytes that are not UTF-8, lone surrogates, and
  nesting beyond the depth limit are refused.
- An empty array, and NDJSON without lines, are accepted and hold no rows. ``row`` in an error counts events from 0;
  blank lines are not counted.
- In a topic without a type each event's text is kept, without the white space between its parts: no number is read, so
  none loses a digit, and of a key that comes twice both are kept (and readers take the last).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from ..errors import InvalidEvent, TooLarge
from .ingress.depth import exceeds, opened
from .ingress.faults import explain, is_unknown_field, unfit, with_hint
from .ingress.ignored import Ignored, unknown_fields
from .ingress.numbers import unreadable
from .ingress.pieces import WHOLE, PieceStart, array_pieces, is_array, line_pieces, only_one
from .ingress.readers import Readers, taught
from .ingress.text import Text
from .ingress.values import check_rows
from .rows import NATIVE, children, is_json, plain

Kind: TypeAlias = Literal["json", "ndjson", "one"]
Unknown: TypeAlias = Literal["ignore", "count", "reject"]
Row: TypeAlias = Any  # a struct of the decoder's own making; in a topic without a type, a JSON text

DEPTH_LIMIT = 64
_UNLIMITED_BYTES = 1 << 60  # bytes
_CHUNK = 1_000  # structs turned at once: beyond it they fall out of the processor's cache
_BLANK = b" \t\r\n"
_ARRAY = re.compile(rb"[ \t\r\n]*+\[")
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_NUMPY: dict[pa.DataType, Any] = {pa.int64(): np.int64, pa.float64(): np.float64}


class Decoder:
    """Reads events of one type. Compiled once, used for any number of bodies, from any thread."""

    def __init__(
        self,
        schema: pa.Schema,
        *,
        depth_limit: int = DEPTH_LIMIT,
        event_limit: int | None = None,
        unknown: Unknown = "ignore",
        domain: bool = False,
    ) -> None:
        """``event_limit``: bytes of one event; ``unknown``: what becomes of fields that the type lacks; ``domain``: the
        events are of one, so what is around them may say which topic of it.

        Raises ``TypeError`` for a column that has no JSON form.
        """
        self.schema = schema
        self.domain = domain
        self._depth_limit = depth_limit
        self._event_limit = event_limit
        self._is_json = is_json(schema)
        self._counts = unknown == "count" and not self._is_json
        self._readers = Readers(schema, strict=unknown != "ignore")
        self._has_time = not self._is_json and any(_holds(f, pa.types.is_temporal) for f in schema)
        self._columns = [_maker(f) for f in schema]
        self._values: Callable[[Row], tuple[Any, ...]] = msgspec.structs.astuple

    def decode(
        self, body: bytes, kind: Kind = "json", *, start: PieceStart = WHOLE, ignored: Ignored | None = None
    ) -> list[Row]:
        """The events of one body.

        ``json``: one object or an array of them; ``ndjson``: one a line; ``one``: one, even if it is an array.
        ``start``: where the body begins, of which this is a piece. ``ignored`` is told of fields that the type lacks
        where they are counted; of a body that is refused it is told nothing.

        Raises ``InvalidEvent`` naming row (of the piece), field and reason, and ``TooLarge`` for an event over the
        limit.
        """
        readers = self._readers
        try:
            rows = _read(readers, body, kind, start)
            found = readers.ignored(rows) if readers.others else None
        except InvalidEvent as error:
            if not (self._counts and is_unknown_field(error)):
                raise with_hint(error, self.schema) from None
            rows = _read(self._lenient, body, kind, start)
            found = unknown_fields(_texts(body, kind), self.schema)
            self._teach(found)
        self._check_limits(body, kind, rows, start)
        if self._has_time and _near_the_ends_of_the_calendar(body):
            check_rows(self.columns(rows))
        if found and ignored is not None:
            ignored.add(found)
        return _kept(rows) if self._is_json else rows

    def decode_pieces(
        self, parts: Iterable[bytes], kind: Literal["json", "ndjson"] = "json", *, ignored: Ignored | None = None
    ) -> Iterator[list[Row]]:
        """The events of a large body, some at a time: never more than a piece of it is held as objects. The body may
        come in parts, of which no more is taken than a piece needs.

        Raises what ``decode`` and the parts raise, after the pieces before the fault. An event is refused for its
        length before it is read, and the white space around it counts.
        """
        body, limit = Text(parts), _UNLIMITED_BYTES if self._event_limit is None else self._event_limit

        def decode(text: bytes, start: PieceStart) -> list[Row]:
            return self.decode(text, kind, start=start, ignored=ignored)

        if kind == "ndjson":
            yield from line_pieces(body, decode, len, limit)
        elif is_array(body, limit):
            yield from array_pieces(body, decode, len, limit)
        else:
            yield decode(only_one(body, limit), PieceStart(body.at))

    def decode_each(self, texts: Sequence[bytes]) -> list[Row]:
        """One event a text. Raises ``InvalidEvent`` naming the place of the first text that is none, and its field."""
        together = b"\n".join(texts)
        shallow = opened(together) < len(texts) + self._depth_limit
        if shallow and not (self._has_time and _near_the_ends_of_the_calendar(together)):
            try:
                if not together.isascii():
                    together.decode()
                rows = [self._readers.one.decode(text) for text in texts]
                return _kept(rows) if self._is_json else rows
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidEvent):
                pass  # the slow way finds out which it was
        found: list[Row] = []
        for text in texts:
            try:
                found += self.decode(text, "one")
            except InvalidEvent as error:
                raise InvalidEvent(error.reason, row=len(found), field=error.field) from None
        return found

    def convert(self, values: list[Any]) -> list[Row]:
        """Rows of plain Python values, checked as JSON is but for NaN and infinity. Raises ``InvalidEvent``."""
        try:
            rows: list[Row] = msgspec.convert(values, self._readers.kind, builtin_types=NATIVE)
        except msgspec.ValidationError as error:
            raise unfit(str(error), many=True) from None
        return rows

    def columns(self, rows: Sequence[Row]) -> pa.RecordBatch:
        """One batch of all the rows, of the decoder's schema. The rows are from ``decode`` of this decoder."""
        if self._is_json:
            return pa.RecordBatch.from_arrays([pa.array(rows, pa.string())], schema=self.schema)
        chunks = [self._chunk(rows[i : i + _CHUNK]) for i in range(0, len(rows), _CHUNK)]
        if not chunks:
            return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in self.schema], schema=self.schema)
        return chunks[0] if len(chunks) == 1 else pa.concat_batches(chunks)

    def _chunk(self, rows: Sequence[Row]) -> pa.RecordBatch:
        values = zip(*map(self._values, rows), strict=True)
        columns = [make(column) for make, column in zip(self._columns, values, strict=False)]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    @cached_property
    def _lenient(self) -> Readers:
        return Readers(self.schema, strict=False)

    def _teach(self, found: Iterable[str]) -> None:
        """From now on these names are read in one go. Rows of both kinds may then come together as columns: of the
        new ones the values that the type has are taken by name."""
        others = taught(self._readers.others, found)
        if len(others) > len(self._readers.others):
            first = [f"f{place}" for place in range(len(self.schema))]
            self._values = attrgetter(*first, first[-1])  # two names or more, or it makes no tuple
            self._readers = Readers(self.schema, strict=True, others=others)

    def _check_limits(self, body: bytes, kind: Kind, rows: list[Row], start: PieceStart) -> None:
        """Looks at single events only when the body as a whole holds one that is too large or too deep."""
        limit = self._depth_limit
        too_deep = opened(body) > len(rows) + limit - 1 and exceeds(body, limit + _is_array(body, kind))
        too_large = self._event_limit is not None and len(body) > self._event_limit
        if not (too_deep or too_large):
            return
        for row, text in enumerate(_texts(body, kind)):
            if self._event_limit is not None and len(text) > self._event_limit:
                size = f"an event of {len(text)} bytes; the limit is {self._event_limit}"
                raise TooLarge(f"row {row + start.row}: {size}")
            if too_deep and opened(text) > limit and exceeds(text, limit):
                raise InvalidEvent(f"nested deeper than {limit} levels", row=row)


def _kept(values: Sequence[msgspec.Raw]) -> list[str]:
    """Each value's text, compacted. Raises ``InvalidEvent`` for one with a number that no reader could hold."""
    together = b"[" + b",".join(values) + b"]"
    if (reason := unreadable(together)) is not None:
        row = next(row for row, value in enumerate(values) if unreadable(bytes(value)) is not None)
        raise InvalidEvent(reason, row=row)
    return [str(value, "utf-8") for value in _RAWS.decode(msgspec.json.format(together, indent=-1))]


def _read(readers: Readers, body: bytes, kind: Kind, start: PieceStart) -> list[Row]:
    if kind == "ndjson":
        return _read_lines(readers, body, start)
    many = _is_array(body, kind)
    rows = _parse(readers.many if many else readers.one, body, many=many, before=start.byte)
    return rows if many else [rows]


def _read_lines(readers: Readers, body: bytes, start: PieceStart) -> list[Row]:
    """The fast parser takes a stream of values; the counts tell whether there is one a line."""
    lines = body.count(b"\n") + (not body.endswith(b"\n"))
    try:
        if body.isascii() and len(rows := readers.one.decode_lines(body)) == lines:
            return rows
    except (msgspec.DecodeError, RecursionError):
        pass  # the slow way finds out which line it was
    found: list[Row] = []
    for line in _lines(body):
        try:
            found.append(_parse(readers.one, line, many=False, before=start.byte))
        except InvalidEvent as error:
            raise InvalidEvent(error.reason, row=len(found), field=error.field) from None
    return found


def _parse(parser: msgspec.json.Decoder[Any], body: bytes, *, many: bool, before: int) -> Any:
    try:
        if not body.isascii():
            body.decode()  # msgspec looks only at the text that it keeps
        return parser.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(body, error, many=many, before=before) from None


def _is_array(body: bytes, kind: Kind) -> bool:
    return kind == "json" and _ARRAY.match(body) is not None


def _lines(body: bytes) -> Iterator[bytes]:
    return (line for line in body.split(b"\n") if line.strip(_BLANK))


def _texts(body: bytes, kind: Kind) -> Iterator[bytes]:
    """Each event's bytes, of a body that has been parsed."""
    if kind == "ndjson":
        yield from _lines(body)
    elif _is_array(body, kind):
        yield from (bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw]))
    else:
        yield body


def _near_the_ends_of_the_calendar(body: bytes) -> bool:
    """Could a zone move a time out of the years 1 to 9999, which Python's datetime cannot hold?"""
    return b'"0001-' in body or b'"9999-' in body or b"\\u" in body


def _maker(field: pa.Field) -> Callable[[Sequence[Any]], pa.Array]:
    """What turns a column's values to Arrow; numpy is the faster reader of numbers, but knows no nulls."""
    kind, number = field.type, _NUMPY.get(field.type)
    if number is not None and not field.nullable:
        return lambda values: pa.array(np.fromiter(values, number, len(values)))
    if _holds(field, pa.types.is_struct):
        return lambda values: pa.array(plain(values), kind)
    return lambda values: pa.array(values, kind)


def _holds(field: pa.Field, is_one: Callable[[pa.DataType], bool]) -> bool:
    return is_one(field.type) or any(_holds(inner, is_one) for inner in children(field))
