"""A batch as filters see it: each attribute and each field of the data as a column, found by its key.

Keys are tuples of names: ``("type",)`` for a CloudEvents attribute or an extension, ``("data", "a", "b")`` for a field
of the data. Attributes that an event was published without are derived as readers see them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from math import inf
from typing import Any, TypeAlias, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..batch import JSON_SCHEMA, Batch, Indices, TopicSpec, column, event_ids

Key: TypeAlias = tuple[str, ...]
Objects: TypeAlias = npt.NDArray[np.object_]
T = TypeVar("T")

TIME = pa.timestamp("us", tz="UTC")
_EXTENSIONS = ("_extensions",)
DOMAIN_TOPIC = "domaintopic"  # the attribute that says of a domain's event its topic
_DATE_CHARS = 10  # characters of YYYY-MM-DD
_MOMENT_CHARS = 64  # characters of a time, however fine
_JSON = msgspec.json.Decoder()


class EventColumns:
    """What a predicate sees of a batch; each column is made once, when it is first asked for. One thread's."""

    def __init__(self, batch: Batch, topic: TopicSpec, app: str) -> None:
        """``topic``: the batch's. ``app``: whose topic it is if it says none, for the source of its events."""
        self._batch, self._topic, self._app = batch, topic, app
        self._whole: EventColumns | None = None  # of which this holds some rows
        self._rows: Indices = np.zeros(0, np.int64)
        self._seen: dict[tuple[str, Key], Any] = {}
        self._made: dict[Hashable, object] = {}

    def __len__(self) -> int:
        return len(self._batch) if self._whole is None else len(self._rows)

    @property
    def typed(self) -> bool:
        """Is the data columns, and not JSON text?"""
        return not is_json(self._topic.schema)

    def take(self, rows: Indices) -> EventColumns:
        """These rows, by their places, in this order. What was found for all of them is not looked for again."""
        taken = EventColumns(self._batch, self._topic, self._app)
        taken._whole, taken._rows = self, rows
        return taken

    def get(self, key: Key) -> pa.Array | None:
        """The column as the topic holds it: text for attributes, a timestamp for ``("time",)``, any type for data.

        None: no event has it. Also for what has no one type, extensions and data of a topic without a type: see
        ``objects``.
        """
        return self._cached("get", key, self._column)

    def objects(self, key: Key) -> Objects | None:
        """Each event's value as JSON has it, of any type, and None for null and where it is absent.

        None: no event has it, or it is a column: see ``get``.
        """
        return cast("Objects | None", self._cached("objects", key, self._looked_up))

    def texts(self, key: Key) -> pa.Array | None:
        """The texts among the values, as ``string``, null for the others; None: there are none."""
        return self._cached("texts", key, lambda at: self._of_kind(at, texts_of, _text, pa.string()))

    def numbers(self, key: Key) -> pa.Array | None:
        """The numbers among the values, null for the others; None: there are none.

        ``int64`` for a column of integers of up to 63 bits, ``float64`` for other columns of numbers and for JSON:
        whole numbers there are exact up to 2**53. NaN is null, as readers of JSON see it.
        """
        return self._cached("numbers", key, lambda at: self._of_kind(at, numbers_of, _number, pa.float64()))

    def booleans(self, key: Key) -> pa.Array | None:
        """The booleans among the values, null for the others; None: there are none."""
        return self._cached("booleans", key, lambda at: self._of_kind(at, booleans_of, _boolean, pa.bool_()))

    def times(self, key: Key) -> pa.Array | None:
        """The times among the values as ``timestamp[us, UTC]``, null for the others; None: there are none.

        Timestamps and dates (without a zone they are UTC), and in JSON the texts that are RFC 3339.
        """
        return self._cached("times", key, lambda at: self._of_kind(at, times_of, _moment, TIME))

    def present(self, key: Key) -> npt.NDArray[np.bool_]:
        """Which events have a value there that is not null, whatever its type; NaN is, as readers of JSON see it."""
        if (found := self.get(key)) is not None:
            found = self.numbers(key) if pa.types.is_floating(found.type) else found
            return np.asarray(pc.is_valid(found).to_numpy(zero_copy_only=False))
        objects = self.objects(key)
        if objects is None:
            return np.zeros(len(self), np.bool_)
        return np.array([value is not None for value in objects], np.bool_)

    def made(self, name: Hashable, make: Callable[[], T]) -> T:
        """What one kind of filter makes of these events for all of its own, once; ``name`` begins with the kind."""
        if name not in self._made:
            self._made[name] = make()
        return cast("T", self._made[name])

    def _cached(self, view: str, key: Key, find: Callable[[Key], Any]) -> Any:
        if (view, key) not in self._seen:
            if self._whole is None:
                found = find(key)
            elif (found := getattr(self._whole, view)(key)) is not None:
                found = found.take(self._rows)
            self._seen[view, key] = found
        return self._seen[view, key]

    def _column(self, key: Key) -> pa.Array | None:
        if key[0] == "data":
            return _field(self._batch.rows, key[1:]) if self.typed else None
        attribute = _ATTRIBUTES.get(key[0]) if len(key) == 1 else None
        return None if attribute is None else attribute(self._batch, self._topic, self._app)

    def _looked_up(self, key: Key) -> Objects | None:
        if key == ("data",):
            return None if self.typed else _decoded(self._batch.rows, JSON_SCHEMA.names[0])
        if key == _EXTENSIONS:
            return _decoded(self._batch.rows, "_extensions")
        if key[0] == "data" or (len(key) == 1 and key[0] not in _ATTRIBUTES):
            within = self.objects(key[:-1] if key[0] == "data" else _EXTENSIONS)
            return None if within is None else _objects([_member(value, key[-1]) for value in within])
        return None

    def _of_kind(
        self,
        key: Key,
        of_column: Callable[[pa.Array], pa.Array | None],
        of_value: Callable[[Any], Any],
        kind: pa.DataType,
    ) -> pa.Array | None:
        if (found := self.get(key)) is not None:
            return of_column(found)
        objects = self.objects(key)
        return None if objects is None else pa.array([of_value(value) for value in objects], kind)


def is_json(schema: pa.Schema) -> bool:
    """Is this the schema of a topic without a type?"""
    return bool((schema.metadata or {}).get(b"penstock") == JSON_SCHEMA.metadata[b"penstock"])


def moment(text: str) -> datetime:
    """A time as RFC 3339 writes it, in UTC; without a zone it is in UTC already, and a date is its first moment.

    Raises ``ValueError`` for anything else, and for what in UTC is before year 1 or after year 9999.
    """
    if len(text) > _MOMENT_CHARS:
        raise ValueError("a text that is too long for a time")
    try:
        found = msgspec.convert(f"{text}T00:00:00Z" if len(text) == _DATE_CHARS else text, datetime)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time as RFC 3339 writes it") from error


def texts_of(found: pa.Array) -> pa.Array | None:
    """A column of text as ``string``; None for another."""
    return found.cast(pa.string()) if is_text(found.type) else None


def numbers_of(found: pa.Array) -> pa.Array | None:
    """A column of numbers as ``int64`` or ``float64``, NaN as null; None for another."""
    if pa.types.is_integer(found.type) and found.type != pa.uint64():
        return found.cast(pa.int64())
    if not is_number(found.type):
        return None
    numbers = found.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)


def booleans_of(found: pa.Array) -> pa.Array | None:
    """A column of booleans as it is; None for another."""
    return found if pa.types.is_boolean(found.type) else None


def times_of(found: pa.Array) -> pa.Array | None:
    """A column of timestamps or dates as ``timestamp[us, UTC]``; None for another."""
    return found.cast(TIME, safe=False) if is_time(found.type) else None


def is_text(kind: pa.DataType) -> bool:
    """Is a column of this type text?"""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Are a column's values of this type numbers?"""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_time(kind: pa.DataType) -> bool:
    """Are a column's values of this type moments or days?"""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _given(name: str) -> Callable[[Batch, TopicSpec, str], pa.Array | None]:
    return lambda batch, _topic, _app: _column_or_none(batch.rows, name)


def _filled(name: str, filling: Callable[[Batch, TopicSpec, str], Any]) -> Callable[[Batch, TopicSpec, str], pa.Array]:
    return lambda batch, topic, app: column(batch.rows, name).fill_null(filling(batch, topic, app))


def _own_source(batch: Batch, topic: TopicSpec, app: str) -> Any:
    """Of events without one, as ``schema.encode.sources`` says it."""
    own = topic.source or f"/{app}/{topic.name}"
    return pc.binary_join_element_wise(own, column(batch.rows, "_topic"), "/") if topic.domain else own


_ATTRIBUTES: dict[str, Callable[[Batch, TopicSpec, str], pa.Array | None]] = {
    "id": lambda batch, _topic, _app: event_ids(batch),
    "source": lambda batch, topic, app: pc.coalesce(column(batch.rows, "_source"), _own_source(batch, topic, app)),
    "type": _filled("_type", lambda batch, _topic, _app: batch.topic),
    "subject": _given("_subject"),
    "time": _filled("_time", lambda batch, _topic, _app: pa.array(batch.appended).cast(TIME)),
    "specversion": lambda batch, _topic, _app: pa.repeat("1.0", len(batch)),
    "partitionkey": _given("_key"),
    DOMAIN_TOPIC: _given("_topic"),
}


def _column_or_none(rows: pa.RecordBatch, name: str) -> pa.Array | None:
    index = rows.schema.get_field_index(name)
    return rows.column(index) if index >= 0 and rows.column(index).null_count < rows.num_rows else None


def _field(rows: pa.RecordBatch, path: Key) -> pa.Array | None:
    found = _column_or_none(rows, path[0]) if path and not path[0].startswith("_") else None
    for name in path[1:]:
        if found is None or not pa.types.is_struct(found.type) or found.type.get_field_index(name) < 0:
            return None
        found = pc.struct_field(found, name)
    return found


def _decoded(rows: pa.RecordBatch, name: str) -> Objects | None:
    texts = _column_or_none(rows, name)
    return None if texts is None else _objects([None if text is None else _value(text) for text in texts.to_pylist()])


def _value(text: str) -> Any:
    try:
        return _JSON.decode(text)
    except (msgspec.DecodeError, RecursionError):  # what the log holds was checked, unless others wrote it
        return None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if type(value) is dict else None


def _objects(values: list[Any]) -> Objects:
    """One object a value: numpy would make a second dimension of lists."""
    return np.fromiter(values, np.object_, len(values))


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def _number(value: Any) -> float | None:
    try:
        return float(value) if type(value) in (int, float) else None
    except OverflowError:  # of a whole number that no float comes near
        return inf if value > 0 else -inf


def _boolean(value: Any) -> bool | None:
    return value if type(value) is bool else None


def _moment(value: Any) -> datetime | None:
    try:
        return moment(value) if type(value) is str else None
    except ValueError:
        return None
