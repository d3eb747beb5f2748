"""Events made up from a topic's type alone, the same at every call: for trying a function before any event is there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from ...schema.rows import rules_of

WORDS = ("ash", "birch", "cedar", "elm", "oak")  # few, so that groups have several rows
KEYS = 5  # values of a key column
NULLS = 7  # every so many values of an optional field are null


def sample_rows(schema: pa.Schema, count: int, *, key: str | None = None, seed: int = 0) -> pa.RecordBatch:
    """``count`` events of the columns, in no order; texts and the ``key`` column repeat.

    Enums, bounds and lengths are kept to; a pattern is not. Raises ``ValueError`` for a column of no known type.
    """
    random = np.random.default_rng(seed)
    columns = [pa.array(_values(field, count, random, few=field.name == key), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _values(field: pa.Field, count: int, random: np.random.Generator, *, few: bool = False) -> list[Any]:
    made = [_value(field, random, few) for _ in range(count)]
    if field.nullable and not few:
        return [None if n % NULLS == NULLS - 1 else value for n, value in enumerate(made)]
    return made


def _value(field: pa.Field, random: np.random.Generator, few: bool) -> Any:
    kind, rules = field.type, rules_of(field)
    if "enum" in rules:
        return rules["enum"][int(random.integers(len(rules["enum"])))]
    if pa.types.is_boolean(kind):
        return bool(random.integers(2))
    if pa.types.is_integer(kind):
        return _whole(rules, random, few)
    if pa.types.is_floating(kind):
        low, high = _bounds(rules, 0.0, 100.0)
        return float(low + (high - low) * (0.05 + 0.9 * random.random()))
    if pa.types.is_string(kind):
        return _text(rules, WORDS[int(random.integers(len(WORDS)))])
    if pa.types.is_binary(kind):
        return _text(rules, WORDS[int(random.integers(len(WORDS)))]).encode()
    if pa.types.is_timestamp(kind):
        return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=int(random.integers(86_400)))
    if pa.types.is_date(kind):
        return date(2024, 1, 1) + timedelta(days=int(random.integers(28)))
    if pa.types.is_list(kind):
        least = rules.get("min_length", 1)
        return [
            _value(kind.value_field, random, few) for _ in range(min(rules.get("max_length", least + 2), least + 2))
        ]
    if pa.types.is_struct(kind):
        return {inner.name: _value(inner, random, few) for inner in kind.fields}
    raise ValueError(f"no sample of {kind}")


def _whole(rules: dict[str, Any], random: np.random.Generator, few: bool) -> int:
    low, high = (int(end) for end in _bounds(rules, 0, 100))
    step = int(rules.get("multiple_of", 1)) or 1
    first = -(-(low + ("gt" in rules)) // step)
    last = max((high - ("lt" in rules)) // step, first)
    return step * int(random.integers(first, min(last, first + KEYS - 1) + 1 if few else last + 1))


def _bounds(rules: dict[str, Any], low: float, high: float) -> tuple[float, float]:
    """Of the rules; where they give one end, the other lies as far from it as it would."""
    least, most = rules.get("ge", rules.get("gt")), rules.get("le", rules.get("lt"))
    if least is not None and most is not None:
        return least, most
    if least is not None:
        return least, least + (high - low)
    return (low, high) if most is None else (most - (high - low), most)


def _text(rules: dict[str, Any], word: str) -> str:
    return word.ljust(rules.get("min_length", 0), "x")[: rules.get("max_length")]
