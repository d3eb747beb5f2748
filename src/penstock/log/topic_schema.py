"""What fits a topic: how its type may grow, which rows it takes, and older rows read as its present type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from ..batch import DOMAIN_TOPIC, ENVELOPE, TopicSpec, column, concat_same
from ..errors import DeclarationError, PartitionsChanged, SchemaChanged
from ..schema.evolution import conform, evolved, fits, may_lack

PARTITION_LIMIT = 4_096  # of one topic; a topic asking for more has mistaken a partition for a key


def check_spec(spec: TopicSpec) -> None:
    """Raises ``DeclarationError`` for a topic that no log could hold."""
    if not spec.name or not spec.name.isprintable():
        raise DeclarationError(f"a topic's name must be printable text, not {spec.name!r}")
    if not 1 <= spec.partitions <= PARTITION_LIMIT:
        raise DeclarationError(f"topic '{spec.name}': partitions={spec.partitions} is not from 1 to {PARTITION_LIMIT}")
    if len(set(spec.schema.names)) != len(spec.schema.names):
        raise DeclarationError(f"topic '{spec.name}': two columns have one name")
    for field in spec.schema:
        if field.name.startswith("_"):
            raise DeclarationError(
                f"topic '{spec.name}': column '{field.name}' begins with '_', which marks the envelope"
            )
        if _has_dictionary(field.type):
            raise DeclarationError(
                f"topic '{spec.name}': column '{field.name}' is dictionary-encoded; declare its value type instead"
            )


def grown(old: TopicSpec, new: TopicSpec, *, grow: bool) -> TopicSpec:
    """The topic after ``new`` was declared over ``old``; fields that ``new`` leaves out stay.

    Raises ``SchemaChanged`` naming the field, and ``PartitionsChanged`` for another number of partitions, unless it is
    a growth that was asked for.
    """
    name = old.name
    if new.domain != old.domain:
        kinds = ("a domain", "a topic") if old.domain else ("a topic", "a domain")
        raise SchemaChanged(
            f"'{name}' is {kinds[0]} of this log and cannot become {kinds[1]}: its events "
            f"{'are each of a domain topic' if old.domain else 'say no domain topic'}; use another name"
        )
    try:
        fits(old.schema, new.schema)
    except SchemaChanged as error:
        raise SchemaChanged(f"topic '{name}': {error}") from None
    if new.partitions < old.partitions:
        raise PartitionsChanged(
            f"topic '{name}' has {old.partitions} partitions and cannot shrink to {new.partitions}: use a new topic"
        )
    if new.partitions > old.partitions and not grow:
        raise PartitionsChanged(
            f"topic '{name}' has {old.partitions} partitions, not {new.partitions}; growing moves keys to other "
            "partitions, so it must be asked for"
        )
    return replace(new, schema=evolved(old.schema, new.schema))


class RowChecks:
    """Checks rows against their topic, and remembers which schema last did fit, as most batches have the same."""

    def __init__(self) -> None:
        self._fitted: dict[str, tuple[TopicSpec, pa.Schema, list[int]]] = {}

    def check(self, spec: TopicSpec, rows: pa.RecordBatch) -> None:
        """Raises ``SchemaChanged`` naming the first column that does not fit the topic."""
        known, fitted, required = self._fitted.get(spec.name, (None, None, []))
        schema = rows.schema
        if known is not spec or not schema.equals(fitted):
            required = _fit(spec, schema)
            self._fitted[spec.name] = spec, schema, required
        for index in required:
            if rows.column(index).null_count:
                name = schema.names[index]
                raise SchemaChanged(f"topic '{spec.name}': column '{name}' is required and has nulls")
        check_domain_topics(spec, rows)


def check_domain_topics(spec: TopicSpec, rows: pa.RecordBatch) -> None:
    """Each row of a domain says its domain topic, and no other row says one. Raises ``SchemaChanged``."""
    if not spec.domain and rows.schema.get_field_index("_topic") < 0:
        return
    topics = column(rows, "_topic")
    if not spec.domain:
        if topics.null_count < len(topics):
            raise SchemaChanged(f"topic '{spec.name}' is no domain, and a row says a domain topic")
        return
    if topics.null_count:
        raise SchemaChanged(f"domain '{spec.name}': a row says no domain topic")
    if not pc.all(pc.match_substring_regex(topics, f"^{DOMAIN_TOPIC}$"), min_count=0).as_py():
        raise SchemaChanged(f"domain '{spec.name}': a row says a domain topic whose name cannot be")


def _fit(spec: TopicSpec, schema: pa.Schema) -> list[int]:
    """The indices of the columns that may not have nulls."""
    names = schema.names
    for field in schema:
        expected = _expected(spec, field.name)
        if field.type != expected:
            raise SchemaChanged(f"topic '{spec.name}': column '{field.name}' is {field.type}, expected {expected}")
    if len(set(names)) != len(names):
        raise SchemaChanged(f"topic '{spec.name}': two columns have one name")
    for field in spec.schema:
        if field.name not in names and not may_lack(field):
            raise SchemaChanged(f"topic '{spec.name}': the required column '{field.name}' is missing")
    return [names.index(field.name) for field in spec.schema if not field.nullable and field.name in names]


def as_declared(stored: pa.Schema, declared: pa.Schema) -> pa.Schema | None:
    """``stored`` with the topic's own fields in place of the writer's, so that its rows need no more than decoding.

    ``None`` where names, types or their order differ, and rows must be brought over by ``concat_evolved``.
    """
    count = len(declared)
    if stored.names[:count] != declared.names or stored.types[:count] != declared.types:
        return None
    envelope = [stored.field(i) for i in range(count, len(stored))]
    if any(field.name not in ENVELOPE for field in envelope):
        return None
    return pa.schema([*declared, *envelope], metadata=declared.metadata)


def concat_evolved(schema: pa.Schema, stored: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Stored batches as one, in order: the topic's columns as ``schema`` has them now, then the envelope found.

    Columns that an older batch lacks have their default, else null.
    """
    runs = [conform(concat_same(run), schema) for run in _runs(stored)]
    if len(runs) == 1:
        return runs[0]
    present = {name for rows in runs for name in rows.schema.names}
    envelope = [pa.field(name, kind) for name, kind in ENVELOPE.items() if name in present]
    target = pa.schema([*schema, *envelope], metadata=schema.metadata)
    return concat_same([_with_envelope(rows, target) for rows in runs])


def empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)


def _runs(stored: Iterable[pa.RecordBatch]) -> list[list[pa.RecordBatch]]:
    runs: list[list[pa.RecordBatch]] = []
    for rows in stored:
        if runs and runs[-1][0].schema.equals(rows.schema):
            runs[-1].append(rows)
        else:
            runs.append([rows])
    return runs


def _with_envelope(rows: pa.RecordBatch, target: pa.Schema) -> pa.RecordBatch:
    columns = [
        rows.column(index)
        if (index := rows.schema.get_field_index(field.name)) >= 0
        else pa.nulls(rows.num_rows, field.type)
        for field in target
    ]
    return pa.RecordBatch.from_arrays(columns, schema=target)


def _expected(spec: TopicSpec, name: str) -> pa.DataType:
    if name.startswith("_"):
        if name in ENVELOPE:
            return ENVELOPE[name]
        raise SchemaChanged(f"topic '{spec.name}': '{name}' is not a column of the envelope")
    place = spec.schema.get_field_index(name)
    if place < 0:
        raise SchemaChanged(f"topic '{spec.name}' has no column '{name}'; it has {', '.join(spec.schema.names)}")
    return spec.schema.field(place).type


def _has_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(i).type) for i in range(kind.num_fields))
