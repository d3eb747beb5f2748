"""Filters, and events of either kind of topic, at random, and so that they have to do with each other."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
from tests.filters.events import Row, as_json

from penstock.batch import TopicSpec
from penstock.filters.eventgrid import AdvancedFilter, Filter
from penstock.filters.eventgrid.filter import OPERATORS

UNTYPED = TopicSpec("notes")

TEXTS = ["", "a", "A", "ab", "AB", "b", "abc", "ß", "SS", "İ", "i", "é", "É", "5", "true", "Σ", "ς", "x.jpg"]
NUMBERS = [0, 1, -1, 5, 5.0, 2.5, -2.5, 1e9, 2**53, 0.1, 1e300, -(2**31)]
KEYS = ["data.x", "data.y", "data.s.z", "data.s.q.r", "subject", "EventType", "Topic", "ID", "ext", "specversion"]
SCALARS = [*TEXTS, *NUMBERS, True, False, None]


def some_filter(of: random.Random) -> Filter:
    advanced = [some_advanced(of) for _ in range(of.choice([0, 1, 1, 1, 1, 2, 3]))]
    return Filter(
        of.choice([None] * 8 + [["a", "ab"], ["All"], ["t", "É", "notes"]]),
        of.choice([""] * 12 + ["a", "A", "É"]),
        of.choice([""] * 12 + ["b", "B", "ß"]),
        of.random() < 0.3,
        advanced,
        of.random() < 0.5,
    )


def some_advanced(of: random.Random) -> AdvancedFilter:
    operator, key = of.choice(OPERATORS), of.choice(KEYS)
    if operator.startswith("Is"):
        return AdvancedFilter(operator, key)
    if operator == "BoolEquals":
        return AdvancedFilter(operator, key, value=of.random() < 0.5)
    if operator.startswith("String"):
        return AdvancedFilter(operator, key, of.choices(TEXTS, k=of.randint(1, 4)))
    if operator.endswith("Range"):
        ranges = [sorted(of.choices(NUMBERS, k=2)) for _ in range(of.randint(1, 3))]
        return AdvancedFilter(operator, key, ranges)
    if operator.endswith("In"):
        return AdvancedFilter(operator, key, of.choices(NUMBERS, k=of.randint(1, 4)))
    return AdvancedFilter(operator, key, value=of.choice(NUMBERS))


def some_json(of: random.Random, depth: int = 0) -> Any:
    kind = of.random()
    if kind < 0.25 and depth < 3:
        return [some_json(of, depth + 1) for _ in range(of.randint(0, 3))]
    if kind < 0.35 and depth < 3:
        return {name: some_json(of, depth + 1) for name in of.sample(["x", "z", "q", "r"], of.randint(0, 3))}
    return of.choice(SCALARS)


def some_envelope(of: random.Random) -> Row:
    found: Row = {}
    for name in ("_id", "_source", "_type", "_subject"):
        if of.random() < 0.6:
            found[name] = of.choice(TEXTS)
    if of.random() < 0.5:
        found["_extensions"] = msgspec.json.encode({"ext": of.choice([*TEXTS, 5, 0, True])}).decode()
    return found


def some_untyped(of: random.Random) -> Row:
    data = {name: some_json(of) for name in ("x", "y", "s") if of.random() < 0.8}
    if of.random() < 0.5:
        data["s"] = {"z": some_json(of), "q": {"r": some_json(of)}}
    return as_json(of.choice([data, data, data, data, 5, None, [data]]), **some_envelope(of))


TYPES: dict[pa.DataType, Callable[[random.Random], Any]] = {
    pa.int64(): lambda of: of.choice([0, 1, -1, 5, 2**53 + 1, 2**63 - 1, -(2**63)]),
    pa.float64(): lambda of: of.choice([*map(float, NUMBERS), math.nan, math.inf]),
    pa.bool_(): lambda of: of.random() < 0.5,
    pa.string(): lambda of: of.choice(TEXTS),
    pa.date32(): lambda of: date(2026, 11, of.randint(1, 30)),
    pa.list_(pa.int64()): lambda of: of.choices([0, 1, 5, None, 2**53 + 1], k=of.randint(0, 3)),
    pa.list_(pa.string()): lambda of: of.choices([*TEXTS, None], k=of.randint(0, 3)),
    pa.list_(pa.bool_()): lambda of: of.choices([True, False], k=of.randint(0, 3)),
    pa.list_(pa.list_(pa.string())): lambda of: of.choices([["a"], [], None], k=of.randint(0, 2)),
    pa.list_(pa.struct([("z", pa.int64())])): lambda of: of.choices([{"z": 1}, None], k=of.randint(0, 2)),
}


def some_topic(of: random.Random) -> tuple[TopicSpec, Callable[[], Row]]:
    """A topic with a type, and what makes a row of it."""
    x, y, z, r = of.choices(list(TYPES), k=4)
    struct = pa.struct([("z", z), ("q", pa.struct([("r", r)]))])

    def value(kind: pa.DataType) -> Any:
        return None if of.random() < 0.2 else TYPES[kind](of)

    def row() -> Row:
        s = None if of.random() < 0.2 else {"z": value(z), "q": None if of.random() < 0.2 else {"r": value(r)}}
        return {"x": value(x), "y": value(y), "s": s, **some_envelope(of)}

    return TopicSpec("t", pa.schema([("x", x), ("y", y), ("s", struct)])), row


def some_source(of: random.Random, typed: bool) -> tuple[TopicSpec, pa.Schema | None, Callable[[], Row]]:
    """A topic, its schema if it has a type, and what makes a row of it."""
    if not typed:
        return UNTYPED, None, partial(some_untyped, of)
    topic, row = some_topic(of)
    return topic, topic.schema, row
