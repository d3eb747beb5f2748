"""polars expressions as text: the same events pass, and what has no counterpart is refused with its reason."""

from __future__ import annotations

import json
import operator
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.batch import Batch, TopicSpec
from penstock.declare.planning.expressions import term_of, text_of
from penstock.errors import FilterInvalid
from penstock.filters.columns import EventColumns
from penstock.filters.sql.tree import write
from penstock.filters.where import parse

a, b, s, t, ok = (pl.col(name) for name in ("a", "b", "s", "t", "ok"))
MORNING = datetime(2024, 1, 1, 6, tzinfo=UTC)

FIT = [
    (a > 5, "a > 5"),
    (a >= -2.5, "a >= -2.5"),
    (a == 2**63 - 1, "a = 9223372036854775807"),
    (s != "it's", "s <> 'it''s'"),
    ((a == 1) & (b < 2) & (s <= "x") | ~ok, "a = 1 AND b < 2 AND s <= 'x' OR NOT ok"),
    ((ok | (a > 1)) & ok, "(ok OR a > 1) AND ok"),
    (ok == True, "ok = TRUE"),  # noqa: E712
    (ok & pl.lit(False), "ok AND FALSE"),
    (ok.not_() == (a > 1), "(NOT ok) = (a > 1)"),
    (a.is_in([1, 2]), "a IN (1, 2)"),
    (~s.is_in({"x"}), "NOT s IN ('x')"),
    (a.is_in(pl.Series([1.5])), "a IN (1.5)"),
    (t.is_in([MORNING]), "t IN (TIMESTAMP '2024-01-01T06:00:00+00:00')"),
    (a.is_null() | s.is_not_null(), "a IS NULL OR NOT s IS NULL"),
    (a.is_between(1, b), "a >= 1 AND a <= b"),
    (~a.is_between(1, 2, closed="none"), "NOT (a > 1 AND a < 2)"),
    (a.is_between(1, 2, closed="left"), "a >= 1 AND a < 2"),
    (a.is_between(1, 2, closed="right"), "a > 1 AND a <= 2"),
    (s.str.starts_with("x%"), r"s LIKE 'x\%%' ESCAPE '\'"),
    (s.str.ends_with("x"), "s LIKE '%x'"),
    (s.str.contains("a_b", literal=True), r"s LIKE '%a\_b%' ESCAPE '\'"),
    ((a + 1) * 2 - b / (3 - b) > -a, "(a + 1) * 2 - b / (3 - b) > 0 - a"),
    (t > MORNING, "t > TIMESTAMP '2024-01-01T06:00:00+00:00'"),
    (t > datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam")), "t > TIMESTAMP '2023-12-31T23:00:00+00:00'"),
    (t > date(2024, 1, 1), "t > TIMESTAMP '2024-01-01T00:00:00+00:00'"),
    (pl.col("place").struct.field("at").struct.field("lat") > 1, "place.at.lat > 1"),
    (pl.col("odd name") == pl.col("_type"), '"odd name" = _type'),
    (pl.lit(5, dtype=pl.Int8) < a, "5 < a"),
]


@pytest.mark.parametrize(("expression", "text"), FIT, ids=[text for _, text in FIT])
def test_what_fits_is_written_as_text(expression: pl.Expr, text: str) -> None:
    assert text_of(expression) == text


MISFIT = [
    (a // 2 == 1, "divide with /"),
    (a % 2 == 1, "the sign of the dividend"),
    (ok ^ (a > 1), "write != between the two"),
    (a.eq_missing(1), "write == and is_null"),
    (a.ne_missing(1), "write != and is_null"),
    ((a > 1).alias("z"), "leave the alias out"),
    (a.cast(pl.Int8) > 1, "the column's own type"),
    (a.sum() > 1, "one event at a time"),
    (a.shift(1) > 1, "there are columns"),
    (a.sum().over("b") > 1, "one event at a time"),
    (s.str.contains("x"), "literal=True"),
    (s.str.contains("x", literal=True) & s.str.contains("^x$"), r"contains.*\^x.*literal=True"),
    (s.str.to_lowercase() == "x", "lowercase.*there are columns"),
    (s.str.starts_with(pl.col("b")), "the text to look for is a literal"),
    (a.is_in(b), "there are columns"),
    (a.is_in([]), "nothing is in it"),
    (a.is_in([1, None]), "is_null"),
    (a.is_in(["x"], nulls_equal=True) if "nulls_equal" in str(pl.Expr.is_in.__annotations__) else a.abs(), "there are"),
    (a.fill_null(0) > 1, "there are columns"),
    (a.is_nan(), "there are columns"),
    (pl.all() > 1, "name one column"),
    (pl.col("a", "b") > 1, "name one column"),
    (pl.col("^a.*$") > 1, "name one column"),
    (pl.nth(0) > 1, "name one column"),
    (pl.when(ok).then(True).otherwise(False), "with & and |"),
    (a == float("inf"), "not finite: compare with one"),
    (a == float("nan"), "not finite: compare with one"),
    (t > datetime(2024, 1, 1), "say the time's zone"),
    (a == b"x", "a literal is one number"),
    (a == [1, 2], "a literal is one number"),
    (a == pl.Series([1, 2]), "a literal is one number"),
    (a == pl.lit(None), "is_null"),
    (5, "not int"),
    (None, "not NoneType"),
    (reduce(operator.add, [a] * 3_000) > 1, "nested too deeply|cannot be read"),
]


@pytest.mark.parametrize(("expression", "says"), MISFIT, ids=range(len(MISFIT)))
def test_what_does_not_fit_is_refused_with_its_reason(expression: object, says: str) -> None:
    with pytest.raises(FilterInvalid, match=says) as error:
        text_of(expression)
    assert len(str(error.value)) < 400


def test_a_long_chain_is_not_deep() -> None:
    text = text_of(reduce(operator.and_, [a > n for n in range(60)]))
    assert text == " AND ".join(f"a > {n}" for n in range(60))
    assert parse(text, pa.schema([("a", pa.int64())])).text == text


# -- the forms that are relied on: of polars 1.20, and of 2.1 -----------------------------

A = {"Column": "a"}
OPTIONS = {"options": {"collect_groups": "ElementWise", "check_lengths": True, "flags": "ALLOW_GROUP_AWARE"}}


def function(name: Any, *inputs: Any) -> Any:
    return {"Function": {"input": list(inputs), "function": name}}


def both(literal: Any) -> list[Any]:
    """A literal in the earlier form and in the later."""
    (kind, value) = next(iter(literal.items()))
    return [{"Literal": literal}, {"Literal": {"Dyn" if kind in ("Int", "Float") else "Scalar": {kind: value}}}]


FORMS = [
    *(({"BinaryExpr": {"left": A, "op": "Gt", "right": five}}, "a > 5") for five in both({"Int": 5})),
    *(({"BinaryExpr": {"left": A, "op": "Eq", "right": half}}, "a = 0.5") for half in both({"Float": 0.5})),
    *((function({"StringExpr": "StartsWith"}, A, x), "a LIKE 'x%'") for x in both({"String": "x"})),
    *(({"BinaryExpr": {"left": A, "op": "NotEq", "right": yes}}, "a <> TRUE") for yes in both({"Boolean": True})),
    (function({"Boolean": "Not"}, function({"Boolean": "IsNull"}, A)), "NOT a IS NULL"),
    ({"Function": {"input": [A], "function": {"Boolean": "IsNotNull"}, **OPTIONS}}, "NOT a IS NULL"),
    (function({"StructExpr": {"FieldByName": "x"}}, A), "a.x"),
]


@pytest.mark.parametrize(("form", "text"), FORMS, ids=[json.dumps(form)[:60] for form, _ in FORMS])
def test_the_forms_of_the_oldest_and_the_newest_polars(form: Any, text: str) -> None:
    try:
        found = write(term_of(form))
    except FilterInvalid:  # a literal that another version wrote: never read as something else
        assert "Literal" in json.dumps(form)
    else:
        assert found == text


UNKNOWN = [
    {"Column": "a", "negated": True},
    {"Column": 5},
    {"Column": "a", "Literal": {"Int": 5}},
    {"BinaryExpr": {"left": A, "op": "Eq", "right": A, "nulls": "equal"}},
    {"BinaryExpr": {"left": A, "op": {"Eq": "nulls"}, "right": A}},
    {"BinaryExpr": {"left": A, "op": "Almost", "right": A}},
    {"BinaryExpr": {"left": A, "op": "And", "right": A, "lazy": True}},
    {"Function": {"input": [A], "function": {"Boolean": "IsNull"}, "negated": True}},
    function({"Boolean": "IsNull", "String": "Upper"}, A),
    function({"Boolean": {"IsNull": {"deep": True}}}, A),
    function({"Boolean": "IsNull"}, A, A),
    function({"Boolean": "IsNull"}),
    function({"Boolean": {"IsIn": {"nulls_equal": True}}}, A, A),
    function({"Boolean": {"IsBetween": {"closed": "Ajar"}}}, A, A, A),
    function({"StringExpr": {"StartsWith": {"ignore_case": True}}}, A, A),
    function({"StringExpr": {"Contains": {"literal": True, "strict": False, "ignore_case": True}}}, A, A),
    function("Negate", A, A),
    {"Cast": {"expr": A, "dtype": "Int8", "options": "Strict"}},
    {"Cast": {"expr": {"Literal": {"Int": 5}}, "dtype": "Int8", "options": "Strict", "wrap": True}},
    {},
    [],
    "Wildcard",
    None,
    5,
]


@pytest.mark.parametrize("form", UNKNOWN, ids=[json.dumps(form)[:60] for form in UNKNOWN])
def test_a_form_that_is_not_known_is_refused(form: Any) -> None:
    with pytest.raises(FilterInvalid, match="no counterpart"):
        term_of(form)


def test_a_later_members_meaning_is_not_passed_over_in_a_chain() -> None:
    inner = {"BinaryExpr": {"left": A, "op": "And", "right": A, "lazy": True}}
    with pytest.raises(FilterInvalid, match="no counterpart"):
        term_of({"BinaryExpr": {"left": inner, "op": "And", "right": A}})


# -- the same events pass ------------------------------------------------------------------

SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.float64()), ("s", pa.string()), ("ok", pa.bool_())])
_numbers = st.recursive(
    st.sampled_from([a, b]) | st.integers(-3, 3).map(pl.lit) | st.integers(-6, 6).map(lambda n: pl.lit(n / 2)),
    lambda inner: st.builds(
        lambda op, x, y: op(x, y), st.sampled_from([operator.add, operator.sub, operator.mul]), inner, inner
    ),
    max_leaves=3,
)
_ORDER = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
_words = st.text("ab%_", max_size=2)
_tests = st.one_of(
    st.builds(lambda op, x, y: op(x, y), st.sampled_from(_ORDER), _numbers, _numbers),
    st.builds(
        lambda x, y, z, ends: x.is_between(y, z, closed=ends),
        *[_numbers] * 3,
        st.sampled_from(["both", "left", "right", "none"]),
    ),
    st.builds(lambda op, text: op(s, pl.lit(text)), st.sampled_from(_ORDER), _words),
    st.builds(lambda texts: s.is_in(texts), st.lists(_words, min_size=1)),
    st.builds(lambda numbers: a.is_in(numbers), st.lists(st.integers(-3, 3), min_size=1)),
    _words.map(s.str.starts_with),
    _words.map(s.str.ends_with),
    _words.map(lambda text: s.str.contains(text, literal=True)),
    st.sampled_from([ok, a.is_null(), s.is_not_null(), ok == True, ok != pl.lit(False)]),  # noqa: E712
)
_conditions = st.recursive(
    _tests,
    lambda inner: st.one_of(
        st.builds(lambda op, x, y: op(x, y), st.sampled_from([operator.and_, operator.or_, operator.eq]), inner, inner),
        inner.map(operator.invert),
    ),
    max_leaves=5,
)
_rows = st.lists(
    st.fixed_dictionaries(
        {
            "a": st.none() | st.integers(-3, 3),
            "b": st.none() | st.integers(-6, 6).map(lambda n: n / 2),
            "s": st.none() | _words,
            "ok": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(_conditions, _rows)
def test_the_same_events_pass_as_in_polars(condition: pl.Expr, rows: list[dict[str, Any]]) -> None:
    batch = pa.RecordBatch.from_pylist(rows, SCHEMA)
    places = np.arange(len(rows), dtype=np.int64)
    events = EventColumns(Batch("t", 0, places, places, batch), TopicSpec("t", SCHEMA), "app")
    answer = pl.DataFrame(pa.Table.from_batches([batch])).with_columns(condition.alias("passes"))["passes"]
    assert parse(text_of(condition), SCHEMA).mask(events).tolist() == answer.fill_null(False).to_list()
