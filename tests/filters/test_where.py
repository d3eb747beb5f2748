"""Conditions over batches: as SQLite has it, and what SQL leaves open."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from penstock.batch import JSON_SCHEMA, TopicSpec
from penstock.errors import FilterInvalid
from penstock.filters.columns import EventColumns, Key
from penstock.filters.interface import Atom, Predicate
from penstock.filters.sql.patterns import regex_of
from penstock.filters.where import parse

from .conditions import SCHEMA, TYPED, columns_of, conditions, judged, rows, typed, untyped


def passing(text: str, **columns: Any) -> list[bool]:
    """Which rows of a topic with these columns pass."""
    batch = pa.RecordBatch.from_pydict(columns)
    return list(parse(text, batch.schema).mask(columns_of(TopicSpec("t", batch.schema), batch)).tolist())


def passing_json(text: str, *texts: str) -> list[bool]:
    events = columns_of(TopicSpec("t"), pa.RecordBatch.from_pydict({"json": list(texts)}))
    return list(parse(text, None).mask(events).tolist())


@settings(max_examples=150, deadline=None)
@given(conditions, rows)
def test_columns_are_judged_as_by_sqlite(condition: str, found: list[dict[str, Any]]) -> None:
    try:
        where = parse(condition, SCHEMA)
    except FilterInvalid as error:
        assert any(
            bound in str(error) for bound in ("which needs no ESCAPE", "nothing equals NULL", "nested too deeply")
        )
        assume(False)
    events, expected = typed(found), judged(condition, found)
    assert where.mask(events).tolist() == expected
    assert parse(where.text, SCHEMA) == where
    some = np.arange(len(found), dtype=np.int64)[::-2]
    assert where.mask(events.take(some)).tolist() == [expected[i] for i in some.tolist()]


@settings(max_examples=100, deadline=None)
@given(conditions, rows)
def test_json_is_judged_as_columns_are(condition: str, found: list[dict[str, Any]]) -> None:
    """Where a literal, an operator or a place says of which type each field is."""
    within = columns_to_paths(condition)
    try:
        where = parse(within, JSON_SCHEMA)
    except FilterInvalid:
        assume(False)
    finite = [{**row, "x": None if row["x"] is None or not math.isfinite(row["x"]) else row["x"]} for row in found]
    assert where.mask(untyped(finite)).tolist() == judged(condition, finite)


def columns_to_paths(condition: str) -> str:
    """The same condition over ``data.…``; what stands in quotes stays."""
    parts = condition.split("'")
    for i in range(0, len(parts), 2):
        parts[i] = " ".join(f"data.{w}" if w in SCHEMA.names else w for w in _words(parts[i]))
    return "'".join(parts)


def _words(text: str) -> list[str]:
    return text.replace("(", " ( ").replace(")", " ) ").replace("-", " - ").replace(",", " , ").split(" ")


@settings(max_examples=150, deadline=None)
@given(conditions, rows)
def test_what_passes_meets_every_atom(condition: str, found: list[dict[str, Any]]) -> None:
    try:
        where = parse(condition, SCHEMA)
    except FilterInvalid:
        assume(False)
    events = typed(found)
    met = np.logical_and.reduce([meets(atom, events) for atom in where.atoms] or [np.ones(len(found), np.bool_)])
    mask = where.mask(events)
    assert not (mask & ~met).any()
    if where.exact:
        assert (mask == met).all()


def meets(atom: Atom, events: EventColumns) -> np.ndarray[Any, Any]:
    """Which events meet it, by its words."""
    views = [events.texts, events.numbers, events.booleans]
    columns = [(view, found.to_pylist()) for view in views if (found := view(atom.key)) is not None]
    return np.array([any(_meets(atom, values[i]) for _, values in columns) for i in range(len(events))], np.bool_)


def _meets(atom: Atom, value: Any) -> bool:
    if value is None:
        return False
    if atom.values:
        return any(type(v) is type(value) and v == value for v in _as_floats(atom.values, value))
    if atom.prefixes:
        return isinstance(value, str) and value.startswith(atom.prefixes)
    above = value > atom.low or (atom.low_in and value == atom.low)
    return above and (value < atom.high or (atom.high_in and value == atom.high))


def _as_floats(values: tuple[Any, ...], value: Any) -> list[Any]:
    return [int(v) if type(value) is int and type(v) is float and v.is_integer() else v for v in values]


# -- what SQL leaves open --------------------------------------------------------------

LEAST, MOST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    "term", ["n + 1", "n - -1", "n * 2", "n * n", "0 - m", "-m", "m * -1", "m - 1", "n - m", "m + m"]
)
def test_a_whole_number_beyond_64_bits_is_null(term: str) -> None:
    assert passing(f"{term} IS NULL", n=[MOST, 1], m=[LEAST, 1]) == [True, False]


def test_whole_numbers_up_to_64_bits_are_exact() -> None:
    assert passing(f"n + 0 = {MOST} AND m - 0 = {LEAST} AND n * -1 = {-MOST}", n=[MOST], m=[LEAST]) == [True]
    assert passing("n = 9007199254740993", n=[2**53, 2**53 + 1, 2**53 + 2]) == [False, True, False]
    assert passing("3037000499 * n = 9223372030926249001", n=[3037000499, 3037000500]) == [True, False]


@given(st.integers(LEAST, MOST), st.integers(LEAST, MOST), st.sampled_from("+-*%"))
def test_whole_numbers_are_calculated_as_by_python(a: int, b: int, sign: str) -> None:
    if sign == "%":
        exact = (abs(a) % abs(b)) * (-1 if a < 0 else 1) if b else MOST + 1
    else:
        exact = {"+": a + b, "-": a - b, "*": a * b}[sign]
    fits = LEAST <= exact <= MOST
    expected = f"n {sign} m = {exact}" if fits else f"n {sign} m IS NULL"
    assert passing(expected, n=[a], m=[b]) == [True]


@pytest.mark.parametrize(
    "term",
    ["n / 0", "n % 0", "n / 0.0", "n % 0.0", "x / 0", "x % 0", "x / n", "x % n", "n % n", "1 / 0", "1 % 0", "1.5 % 0"],
)
def test_division_by_zero_is_null(term: str) -> None:
    assert passing(f"{term} IS NULL", n=[0, 0], x=[0.0, 1.0]) == [True, True]


def test_division_gives_fractions_and_the_remainder_has_the_sign_of_the_dividend() -> None:
    assert passing("n / 2 = 3.5", n=[7]) == [True]
    assert passing("n % 4 = 3 AND -n % 4 = -3 AND n % -4 = 3", n=[7]) == [True]
    assert passing("x % 4 = 3.5 AND -x % 4 = -3.5 AND x % -4 = 3.5", x=[7.5]) == [True]
    assert passing("n % -1 = 0", n=[LEAST]) == [True]


def test_what_is_no_number_is_null() -> None:
    x = [math.nan, math.inf, -math.inf, 1.0, None]
    assert passing("x IS NULL", x=x) == [True, False, False, False, True]
    assert passing("x <> 1", x=x) == [False, True, True, False, False]
    assert passing("x > 1", x=x) == [False, True, False, False, False]
    assert passing("x - x IS NULL", x=x) == [True, True, True, False, True]
    assert passing("x * 0 IS NULL", x=x) == [True, True, True, False, True]
    assert passing("x IN (1.0)", x=x) == [False, False, False, True, False]
    assert passing("x % 2 IS NULL", x=x) == [True, True, True, False, True]


def test_whole_numbers_and_fractions_are_compared_as_floats() -> None:
    assert passing("n = 2.0", n=[2, 3]) == [True, False]
    assert passing("n > x", n=[2**53 + 1, 2], x=[2.0**53, 1.5]) == [False, True]
    assert passing("n IN (1.5, 2)", n=[1, 2]) == [False, True]
    assert passing("x IN (1, 2)", x=[1.0, 2.5]) == [True, False]
    assert passing("n < 99999999999999999999", n=[MOST]) == [True]


def test_zero_has_no_sign() -> None:
    assert passing("x = 0 AND x IN (0) AND x IN (-0.0, 1) AND NOT x < 0.0", x=[0.0, -0.0]) == [True, True]


def test_texts_are_compared_by_code_points_and_with_case() -> None:
    s = ["a", "A", "é", "😀", "\uffff"]
    assert passing("s = 'a'", s=s) == [True, False, False, False, False]
    assert passing("s > '\uffff'", s=s) == [False, False, False, True, False]
    assert passing("s LIKE '_'", s=[*s, "ab", ""]) == [True] * 5 + [False] * 2
    assert passing("s LIKE 'A%'", s=["ab", "Ab"]) == [False, True]


LIKE = {
    "": [""],
    "%": ["", "a", "b", "ab", "axb", "a\nb", "a.b", "a^$b", "a\\b", "xaby"],
    "a%": ["a", "ab", "axb", "a\nb", "a.b", "a^$b", "a\\b"],
    "%b": ["b", "ab", "axb", "a\nb", "a.b", "a^$b", "a\\b"],
    "%ab%": ["ab", "xaby"],
    "a_b": ["axb", "a\nb", "a.b", "a\\b"],
    "a%b": ["ab", "axb", "a\nb", "a.b", "a^$b", "a\\b"],
    "%_a_%": ["xaby"],
    "_": ["a", "b"],
    "a.b": ["a.b"],
    "a^$b": ["a^$b"],
    "a^$_": ["a^$b"],
    "a\\b": ["a\\b"],
    "%\\_": ["a\\b"],
}


@pytest.mark.parametrize(("pattern", "texts"), LIKE.items())
def test_like(pattern: str, texts: list[str]) -> None:
    found = passing(f"s LIKE '{pattern}'", s=[*LIKE["%"], None])
    assert [t for t, passes in zip(LIKE["%"], found, strict=False) if passes] == texts
    assert not found[-1]


def test_times_and_days() -> None:
    day = pa.array([0, 1], pa.date32())
    at = pa.array([86_400_000_000_000, 86_399_999_999_999], pa.timestamp("ns"))
    assert passing("day > TIMESTAMP '1970-01-01'", day=day) == [False, True]
    assert passing("at >= TIMESTAMP '1970-01-02T01:00:00+01:00'", at=at) == [True, False]
    assert passing("at <> day", at=at, day=day) == [True, True]


def test_json_of_another_type_is_null() -> None:
    texts = [f'{{"v": {v}}}' for v in ("5", '"5"', "true", "null", "[5]", '{"w": 5}')] + ["{}", "[]", "5"]
    assert passing_json("data.v = 5", *texts) == [True] + [False] * 8
    assert passing_json("data.v <> 6", *texts) == [True] + [False] * 8
    assert passing_json("data.v = '5'", *texts) == [False, True] + [False] * 7
    assert passing_json("data.v", *texts) == [False, False, True] + [False] * 6
    assert passing_json("data.v.w = 5", *texts) == [False] * 5 + [True] + [False] * 3
    assert passing_json("data.v IS NULL", *texts) == [False] * 3 + [True] + [False] * 2 + [True] * 3
    assert passing_json("data.v = 5 OR data.v = '5'", *texts) == [True, True] + [False] * 7
    assert passing_json("data.t > TIMESTAMP '2024-01-01'", '{"t": "2024-01-01T00:00:01Z"}', '{"t": "x"}') == [
        True,
        False,
    ]


def test_the_envelope() -> None:
    batch = pa.RecordBatch.from_pydict({"n": [1, 2], "_type": ["a", None], "_subject": ["x/y", None]})
    events = columns_of(TopicSpec("t", pa.schema([("n", pa.int64())])), batch)

    def mask(text: str) -> list[bool]:
        return list(parse(text, pa.schema([("n", pa.int64())])).mask(events).tolist())

    assert mask("_type = 'a'") == [True, False]
    assert mask("_type = 't' AND _source = '/app/t' AND _id = 't/0/1'") == [False, True]
    assert mask("_subject IS NULL") == [False, True]
    assert mask("_subject LIKE 'x/%'") == [True, False]
    assert mask("_time >= TIMESTAMP '1970-01-01' AND _time < TIMESTAMP '1970-01-02'") == [True, True]


@pytest.mark.parametrize(
    ("text", "passes"), {"TRUE": True, "FALSE": False, "NULL": False, "1 = 1": True, "1 IN (2)": False}.items()
)
def test_a_condition_without_a_column(text: str, passes: bool) -> None:
    assert passing(text, n=[1, 2]) == [passes, passes]


def test_columns_that_the_rows_lack_are_null() -> None:
    events = columns_of(TYPED, pa.RecordBatch.from_pydict({"n": [1, 2]}))
    conditions = [
        "s IS NULL",
        "NOT s = 'a' OR n = 1",
        "s LIKE 'a_b' OR n = 1",
        "x + 1 IS NULL",
        "x % 2 IS NULL AND m % 2 IS NULL",
    ]
    conditions += ["NOT s IN ('a') OR n = 1", "ok OR n = 1", "at > TIMESTAMP '2024-01-01' OR n = 1", "m * m IS NULL"]
    for condition in conditions:
        expected = [True, "n = 1" not in condition]
        assert parse(condition, SCHEMA).mask(events).tolist() == expected, condition


def test_no_rows() -> None:
    assert passing("n = 1 OR n % 2 = 0", n=pa.array([], pa.int64())) == []


def test_columns_of_every_width() -> None:
    kinds = [pa.int8(), pa.uint8(), pa.int32(), pa.uint64(), pa.float32(), pa.decimal128(5, 2)]
    for kind in kinds:
        assert passing("n * 2 + 1 = 7 AND n < 300 AND n IN (3, 1000)", n=pa.array([3, 4], kind)) == [True, False]
    for kind in (pa.large_string(), pa.string_view()):
        assert passing("s LIKE '%b' AND s > 'a'", s=pa.array(["ab", "aa"], kind)) == [True, False]


# -- what an index knows -------------------------------------------------------------

N: Key = ("data", "n")


@pytest.mark.parametrize(
    ("text", "atoms", "exact"),
    [
        ("n = 1", [Atom(N, (1.0,))], True),
        ("n IN (1, 2)", [Atom(N, (1.0, 2.0))], True),
        ("n = 1 OR n IN (2)", [Atom(N, (1.0, 2.0))], True),
        ("s LIKE 'a%' OR s LIKE 'b%'", [Atom(("data", "s"), prefixes=("a", "b"))], True),
        ("s LIKE 'a%' OR s = 'b'", [], False),
        ("n = 1 OR m = 2", [], False),
        ("n = 1 OR n > 2", [], False),
        ("n = 1 OR n <> 2", [], False),
        ("n > 1 AND 5 >= n", [Atom(N, low=1.0, high=5.0, low_in=False)], True),
        ("n > 1 AND n >= 1 AND n < 5 AND n <= 5", [Atom(N, low=1.0, high=5.0, low_in=False, high_in=False)], True),
        ("n BETWEEN 1 AND 5 AND s = 'a'", [Atom(N, low=1.0, high=5.0), Atom(("data", "s"), ("a",))], True),
        ("n <> 1 AND s = 'a'", [Atom(("data", "s"), ("a",))], False),
        ("s LIKE 'a%b'", [Atom(("data", "s"), prefixes=("a",))], False),
        ("s LIKE 'a_'", [Atom(("data", "s"), prefixes=("a",))], False),
        ("s LIKE '%a'", [], False),
        ("s LIKE 'a'", [Atom(("data", "s"), ("a",))], True),
        ("s > 'a'", [], False),
        ("ok", [Atom(("data", "ok"), (True,))], True),
        ("NOT ok AND _type = 'x'", [Atom(("data", "ok"), (False,)), Atom(("type",), ("x",))], True),
        ("ok = FALSE", [Atom(("data", "ok"), (False,))], True),
        ("n = 9007199254740992", [], False),
        ("n > -9007199254740992", [], False),
        ("n < 9007199254740991", [Atom(N, high=9007199254740991.0, high_in=False)], True),
        ("at = TIMESTAMP '2024-01-01'", [], False),
        ("n + 1 = 2", [], False),
        ("n IS NULL", [], False),
        ("TRUE", [], False),
        ("NOT (n = 1)", [], False),
    ],
)
def test_atoms(text: str, atoms: list[Atom], exact: bool) -> None:
    where: Predicate = parse(text, SCHEMA)
    assert (list(where.atoms), where.exact) == (atoms, exact)


def test_mutant_atoms_of_numbers_that_floats_cannot_tell_apart_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.filters.sql.access.EXACT", 2**63)
    where = parse("n > 9007199254740992", SCHEMA)
    events = columns_of(TYPED, pa.RecordBatch.from_pydict({"n": [2**53 + 1]}))
    with pytest.raises(AssertionError, match="passes without its atom"):
        assert not where.mask(events)[0] or _meets(where.atoms[0], float(2**53 + 1)), "passes without its atom"


def test_mutant_arithmetic_that_wraps_around_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.filters.sql.evaluation._HALF_TURN", math.inf)
    with pytest.raises(AssertionError, match=r"\[False, False\] == \[True, False\]"):
        test_a_whole_number_beyond_64_bits_is_null("n + 1")


def test_mutant_a_pattern_that_is_no_text_to_its_ends_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.filters.sql.evaluation.regex_of", lambda pieces: regex_of(pieces).replace(r"\z", ""))
    with pytest.raises(AssertionError, match="xaby"):
        test_like("%_a_", [])
