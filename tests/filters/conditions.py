"""Conditions and rows as hypothesis draws them, and SQLite as the judge of both."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from penstock.batch import Batch, TopicSpec
from penstock.filters.columns import TIME, EventColumns

SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("m", pa.int64()),
        ("x", pa.float64()),
        ("s", pa.string()),
        ("t", pa.string()),
        ("ok", pa.bool_()),
        ("at", TIME),
    ]
)
TYPED, UNTYPED = TopicSpec("typed", SCHEMA), TopicSpec("untyped")
MOMENTS = [f"2024-01-0{day}T00:00:00+00:00" for day in (1, 2, 3)]

_FRACTIONS = st.integers(-8, 8).map(lambda quarters: quarters / 4)
_TEXTS = st.text("ab%_\\é😀'", max_size=4)
_ROW = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-3, 3),
        "m": st.none() | st.integers(-3, 3),
        "x": st.none() | _FRACTIONS | st.sampled_from([math.nan, math.inf, -math.inf]),
        "s": st.none() | _TEXTS,
        "t": st.none() | _TEXTS,
        "ok": st.none() | st.booleans(),
        "at": st.none() | st.sampled_from(MOMENTS),
    }
)
rows = st.lists(_ROW, min_size=1, max_size=8)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_WHOLE_LITERALS = st.integers(-3, 3).map(str)
_TEXT_LITERALS = _TEXTS.map(_quoted)
_wholes = st.recursive(
    st.sampled_from(["n", "m"]) | _WHOLE_LITERALS,
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*%"), inner) | inner.map("(- {})".format),
    max_leaves=4,
)
# SQLite divides whole numbers to whole numbers, and takes % of whole numbers only
_numbers = st.recursive(
    _wholes | st.just("x") | _FRACTIONS.map(str),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "* 1.0 /"]), inner),
    max_leaves=4,
)
_texts = st.sampled_from(["s", "t"]) | _TEXT_LITERALS
_times = st.just("at") | st.sampled_from([f"TIMESTAMP '{moment}'" for moment in MOMENTS])
_NOT = st.sampled_from(["", "NOT "])


def _ordered(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])
    return st.builds("{} {} {}".format, values, signs, values) | st.builds(
        "{} {}BETWEEN {} AND {}".format, values, _NOT, values, values
    )


def _among(values: st.SearchStrategy[str], literals: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    listed = st.lists(literals, min_size=1, max_size=3).map(", ".join)
    return st.builds("{} {}IN ({})".format, values, _NOT, listed)


_likes = st.builds(
    "{} {}LIKE {}{}".format,
    st.sampled_from(["s", "t"]),
    _NOT,
    st.text("ab%_é😀'", max_size=5).map(_quoted),
    st.sampled_from(["", " ESCAPE '!'"]),
)
_nulls = st.builds("{} IS {}NULL".format, _numbers | _texts | st.sampled_from(["ok", "at"]), _NOT)
_tests = st.one_of(
    _ordered(_numbers),
    _ordered(_texts),
    _ordered(_times),
    _among(_numbers, _WHOLE_LITERALS | _FRACTIONS.map(str)),
    _among(_texts, _TEXT_LITERALS),
    _likes,
    _nulls,
    st.sampled_from(["ok", "NOT ok", "ok = TRUE", "ok <> FALSE", "TRUE", "FALSE", "NULL"]),
)
conditions = st.recursive(
    _tests,
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(["AND", "OR"]), inner),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["AND", "OR", "=", "<>"]), inner),
        inner.map("NOT ({})".format),
    ),
    max_leaves=6,
)


def typed(found: list[dict[str, Any]]) -> EventColumns:
    """The rows as columns."""
    moments = [{**row, "at": None if row["at"] is None else datetime.fromisoformat(row["at"])} for row in found]
    return columns_of(TYPED, pa.RecordBatch.from_pylist(moments, SCHEMA))


def untyped(found: list[dict[str, Any]]) -> EventColumns:
    """The rows as JSON; what is null is absent from every second."""
    texts = [
        json.dumps({k: v for k, v in row.items() if v is not None or place % 2}) for place, row in enumerate(found)
    ]
    return columns_of(UNTYPED, pa.RecordBatch.from_pydict({"json": texts}))


def columns_of(topic: TopicSpec, batch: pa.RecordBatch) -> EventColumns:
    places = np.arange(batch.num_rows, dtype=np.int64)
    return EventColumns(Batch(topic.name, 0, places, places, batch), topic, "app")


def judged(condition: str, found: list[dict[str, Any]]) -> list[bool]:
    """Which rows pass, as SQLite has it. It has no times: as texts of one form they have the same order."""
    judge = apsw.Connection(":memory:")
    judge.execute("PRAGMA case_sensitive_like = 1")
    judge.execute("CREATE TABLE events (n INTEGER, m INTEGER, x REAL, s TEXT, t TEXT, ok INTEGER, at TEXT)")
    judge.executemany("INSERT INTO events VALUES (:n, :m, :x, :s, :t, :ok, :at)", found)
    text = condition.replace("TIMESTAMP ", "")
    return [bool(passes) for (passes,) in judge.execute(f"SELECT ({text}) FROM events ORDER BY rowid")]
