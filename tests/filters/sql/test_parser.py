"""What can be written, and what is said of what cannot."""

from __future__ import annotations

import time
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import FilterInvalid
from penstock.filters.sql.parser import DEPTH_LIMIT, TERMS_LIMIT, TEXT_LIMIT_CHARS, tree_of
from penstock.filters.sql.tree import height, write

SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("amount", pa.float64()),
        ("name", pa.string()),
        ("ok", pa.bool_()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("place", pa.struct([("city", pa.string()), ("in", pa.int64())])),
        ("tags", pa.list_(pa.string())),
        ("odd name", pa.int64()),
        ("timestamp", pa.int64()),
    ]
)
SPELT = {
    "n>5 and  name like 'a%'": "n > 5 AND name LIKE 'a%'",
    "5 < n": "n > 5",
    "n != 1": "n <> 1",
    "(((n))) = (1)": "n = 1",
    "n = -5 or n = - 5 or n = -n": "n = -5 OR n = -5 OR n = 0 - n",
    "n = .5 or n = 5. or n = 1e3": "n = 0.5 OR n = 5.0 OR n = 1000.0",
    "n = -9223372036854775808 or n = 9223372036854775808": "n = -9223372036854775808 OR n = 9.223372036854776e+18",
    "(ok or ok) or (ok and (ok and ok))": "ok OR ok OR ok AND ok AND ok",
    "(ok or ok) and ok": "(ok OR ok) AND ok",
    "not ok and not (ok or ok)": "NOT ok AND NOT (ok OR ok)",
    "not n = 1": "NOT n = 1",
    "(not ok) = ok": "(NOT ok) = ok",
    "n - (1 - n) - 1 = n * (n + 1) % 2": "n - (1 - n) - 1 = n * (n + 1) % 2",
    "n between 1 and 2 and ok": "n >= 1 AND n <= 2 AND ok",
    "n not between 1 and 2": "NOT (n >= 1 AND n <= 2)",
    "name in('a','b''c')": "name IN ('a', 'b''c')",
    "n not in (1, -2)": "NOT n IN (1, -2)",
    "n is null or n + 1 is not null": "n IS NULL OR NOT n + 1 IS NULL",
    "tags is null and place is not null": "tags IS NULL AND NOT place IS NULL",
    "place.city = 'x' and place.in = 1": "place.city = 'x' AND place.\"in\" = 1",
    '"n" = 1 and "odd name" = 2 and "place"."city" = \'y\'': "n = 1 AND \"odd name\" = 2 AND place.city = 'y'",
    "name like 'a!%b_' escape '!'": r"name LIKE 'a\%b_' ESCAPE '\'",
    r"name like 'a\b%%'": r"name LIKE 'a\b%'",
    "name like 'a%_%_b'": "name LIKE 'a__%b'",
    "at > Timestamp '2024-01-01T01:00:00+01:00'": "at > TIMESTAMP '2024-01-01T00:00:00+00:00'",
    "day >= TIMESTAMP '2024-01-01' and timestamp = 5": "day >= TIMESTAMP '2024-01-01T00:00:00+00:00' AND timestamp = 5",
    "_type = 'x' and _time < at and _id = _subject and _source = ''": (
        "_type = 'x' AND _time < at AND _id = _subject AND _source = ''"
    ),
    "true or false or null": "TRUE OR FALSE OR NULL",
    "ok = true": "ok = TRUE",
    "n\n=\t1": "n = 1",
    "1 = 2": "1 = 2",
}


@pytest.mark.parametrize(("text", "spelt"), SPELT.items())
def test_a_condition_has_one_spelling(text: str, spelt: str) -> None:
    tree = tree_of(text, SCHEMA)
    assert write(tree) == spelt
    assert tree_of(spelt, SCHEMA) == tree


WRONG = {
    "": ("the end in place of a value", "write a name", 0),
    "amout > 5": ("no column amout", "did you mean amount?", 0),
    "ok AND place.citty = 'x'": ("no column place.citty", "place.city", 7),
    "data.n = 1": ("no column data.n", "did you mean n?", 0),
    "zzz = 1": ("no column zzz", "there are n, amount, name", 0),
    "n.x = 1": ("no column n.x", "there are", 0),
    "_key = 'a'": ("no column _key", "_subject", 0),
    "n = 'x'": ("n is a number and 'x' is text", "write the number without quotes", 2),
    "name = 5": ("name is text and 5 is a number", "write '5'", 5),
    "at > '2024-01-01'": ("at is a time and '2024-01-01' is text", "write TIMESTAMP '2024-01-01'", 3),
    "at > 5": ("at is a time and 5 is a number", "write TIMESTAMP '2024-", 3),
    "ok = 1": ("ok is true or false and 1 is a number", "write TRUE or FALSE", 3),
    "ok = 'true'": ("ok is true or false and 'true' is text", "write TRUE or FALSE", 3),
    "n = name": ("n is a number and name is text", "compare values of one kind", 2),
    "n BETWEEN 1 AND 'x'": ("n is a number and 'x' is text", "without quotes", 2),
    "n IN (1, 'x')": ("n is a number and 'x' is text", "without quotes", 9),
    "ok > TRUE": ("what is true or false has no order", "= or <>", 3),
    "n = NULL": ("nothing equals NULL", "IS NULL", 2),
    "tags = 'x'": ("tags is neither", "IS NULL", 5),
    "place = 1": ("place is neither", "name a field within it", 6),
    "n": ("n is a number, not a condition", "compare it", 0),
    "ok AND n": ("n is a number, not a condition", "compare it", 7),
    "NOT name": ("name is text, not a condition", "compare it", 4),
    "name + 1 = 2": ("name is text, not a number", "write what is a number", 0),
    "1 + ok = 2": ("ok is true or false, not a number", "write what is a number", 4),
    "-name = 2": ("name is text, not a number", "write what is a number", 1),
    "n LIKE 'x'": ("n is a number, not text", "write what is text", 0),
    "n +": ("the end in place of a value", "write a name", 3),
    "n = = 1": ("'=' in place of a value", "write a name", 4),
    "n = AND": ("'AND' in place of a value", 'or "AND" if that is a column', 4),
    "ok = NOT ok": ("'NOT' in place of a value", "write a name", 5),
    "n = 1 = 2": ("a comparison of a comparison", "parentheses", 6),
    "n = 5 'x'": ("'x' follows a whole condition", "AND or OR", 6),
    "(n = 1": ("the end in place of )", "close", 6),
    "lower(name) = 'x'": ("'lower' is called", "no functions", 0),
    "ok IS TRUE": ("'TRUE' in place of NULL", "IS NULL and IS NOT NULL", 6),
    "n NOT 5": ("NOT after a value", "NOT IN", 2),
    "n IN 5": ("'5' in place of (", "IN (value, value)", 5),
    "n IN ()": ("')' in place of a value", "write", 6),
    "n IN (1": ("the end in place of )", "IN (value, value)", 7),
    "n IN (n)": ("IN takes literals", "OR between comparisons", 6),
    "n IN (1, NULL)": ("IN takes literals, and no NULL", "IS NULL", 9),
    "n BETWEEN 1 OR 2": ("'OR' in place of AND", "BETWEEN low AND high", 12),
    "name LIKE name": ("'name' after LIKE", "single quotes", 10),
    "name LIKE 'x' ESCAPE 5": ("'5' after ESCAPE", "single quotes", 21),
    "name LIKE 'x' ESCAPE '!!'": ("ESCAPE '!!'", "one character", 21),
    "name LIKE 'a!b' ESCAPE '!'": ("'!' stands before b", "ESCAPE", 10),
    "name LIKE 'a!' ESCAPE '!'": ("'!' stands before nothing", "ESCAPE", 10),
    "place.5 = 1": ("'.5' follows a whole condition", "AND or OR", 5),
    "place.'city' = 1": ("'city' after a dot", "a field's name", 6),
    "at = TIMESTAMP 'noon'": ("'noon' is no time", "2024-12-31T23:59:59Z", 15),
    "n = 1e999": ("a number beyond 64 bits", "1.7e308", 4),
    "n = 'x": ("cannot be read here", "not closed", 4),
    'n = "x': ("cannot be read here", "not closed", 4),
    "n = 1;": ("';' cannot be read here", "leave it out", 5),
    "n = 1 & n = 2": ("'&' cannot be read here", "write AND", 6),
    "n = 1 || n = 2": ("'|' cannot be read here", "write OR", 6),
    "n --1 = 2": ("'-' cannot be read here", "a comment", 2),
    "!ok": ("'!' cannot be read here", "write NOT", 0),
    "tags[0] = 'x'": ("'[' cannot be read here", "a list", 4),
    "n = ‘x’": ("cannot be read here", "straight quotes", 4),
    "n = 1 \ud800": ("half a character", "itself", 6),
}


@pytest.mark.parametrize(("text", "said"), WRONG.items())
def test_what_is_wrong_is_said_and_shown(text: str, said: tuple[str, str, int]) -> None:
    wrong, instead, at = said
    with pytest.raises(FilterInvalid) as error:
        tree_of(text, SCHEMA)
    message, line, caret = str(error.value).split("\n")
    assert wrong in message
    assert instead in message
    assert line == "  " + text.replace("\ud800", " ")
    assert caret == "  " + " " * at + "^"


def test_the_caret_is_below_the_line_that_is_wrong() -> None:
    with pytest.raises(FilterInvalid) as error:
        tree_of("n = 1\n  AND\tnme = 'x'\nOR ok", SCHEMA)
    assert str(error.value).split("\n")[1:] == ["    AND nme = 'x'", "        ^"]


def test_a_long_line_is_shown_around_its_fault() -> None:
    with pytest.raises(FilterInvalid) as error:
        tree_of("n = 1 AND " * 100 + "nme = 1 AND " + "n = 1 AND " * 100 + "ok", SCHEMA)
    message, line, caret = str(error.value).split("\n")
    assert line[len(caret) - 1 :].startswith("nme = 1")
    assert len(line) < 130 > len(message)


UNTYPED = {
    "data.x > 5": "data.x > 5",
    "data.x": "data.x",
    "data.\"a b\".c = 'x'": "data.\"a b\".c = 'x'",
    "data.x IN ('a', 'b') OR data.x LIKE 'c%'": "data.x IN ('a', 'b') OR data.x LIKE 'c%'",
    "data.x + data.y > data.z": "data.x + data.y > data.z",
    "data.x IS NULL OR 5 > data.x": "data.x IS NULL OR data.x < 5",
    "data.x > TIMESTAMP '2024-01-01'": "data.x > TIMESTAMP '2024-01-01T00:00:00+00:00'",
    "_subject = data.x": "_subject = data.x",
}


@pytest.mark.parametrize(("text", "spelt"), UNTYPED.items())
def test_fields_of_json_are_paths(text: str, spelt: str) -> None:
    assert write(tree_of(text, None)) == spelt
    assert tree_of(spelt, None) == tree_of(text, None)


@pytest.mark.parametrize(
    ("text", "says"),
    {
        "amount > 5": "did you mean data.amount",
        "data = 5": "data",
        "_typ = 'x'": "did you mean _type",
        "data.x = data.y": "neither says of which type",
        "data.x BETWEEN 1 AND 'a'": "1 is a number and 'a' is text",
        "data.x BETWEEN 1 AND data.y": "neither says of which type",
        "data.x IN (1, 'a')": "data.x is a number and 'a' is text",
        "data.x > TRUE": "has no order",
    }.items(),
)
def test_what_cannot_be_said_of_json(text: str, says: str) -> None:
    with pytest.raises(FilterInvalid, match=says):
        tree_of(text, None)


# -- bounds -------------------------------------------------------------------------


def test_the_length_is_bounded() -> None:
    assert tree_of("ok".ljust(TEXT_LIMIT_CHARS), SCHEMA)
    with pytest.raises(FilterInvalid, match=f"{TEXT_LIMIT_CHARS} at most"):
        tree_of("ok".ljust(TEXT_LIMIT_CHARS + 1), SCHEMA)


def test_the_number_of_terms_is_bounded() -> None:
    assert tree_of(" OR ".join(["ok"] * TERMS_LIMIT), SCHEMA)
    with pytest.raises(FilterInvalid, match=f"{TERMS_LIMIT} at most"):
        tree_of(" OR ".join(["ok"] * (TERMS_LIMIT + 1)), SCHEMA)
    with pytest.raises(FilterInvalid, match=f"{TERMS_LIMIT} at most"):
        tree_of(f"n IN ({', '.join(['1'] * TERMS_LIMIT)})", SCHEMA)


DEEP: dict[str, Callable[[int], str]] = {
    "parentheses": lambda n: "(" * n + "ok" + ")" * n,
    "parentheses that are not closed": lambda n: "(" * n,
    "NOT": lambda n: "NOT " * n + "ok",
    "signs": lambda n: "- " * n + "n = 1",
    "sums": lambda n: "n" + " + 1" * n + " = 1",
    "mixed": lambda n: "(NOT ok AND (ok OR " * n + "ok" + "))" * n,
    "to the left": lambda n: "(" * n + "ok" + " IS NULL AND ok OR ok)" * n,
    "differences": lambda n: "n - (" * n + "n" + ")" * n + "= 1",
}


@pytest.mark.parametrize("kind", DEEP)
def test_the_depth_is_bounded(kind: str) -> None:
    for n in (DEPTH_LIMIT + 1, 600):
        with pytest.raises(FilterInvalid, match="nested too deeply"):
            tree_of(DEEP[kind](n), SCHEMA)


def test_no_tree_is_higher_than_twice_its_bound() -> None:
    for n in range(1, DEPTH_LIMIT + 2):
        for deep in DEEP.values():
            try:
                assert height(tree_of(deep(n), SCHEMA)) <= 2 * DEPTH_LIMIT
            except FilterInvalid:
                pass


def test_mutant_a_parser_without_its_bound_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.filters.sql.parser.DEPTH_LIMIT", 10**9)
    with pytest.raises(RecursionError, match="recursion"):
        tree_of("(" * 5_000 + "ok" + ")" * 5_000, SCHEMA)


_WORDS = st.sampled_from(
    "n amount name ok at place . city tags _type data x AND OR NOT IN BETWEEN LIKE ESCAPE IS NULL TRUE FALSE TIMESTAMP "
    "= != <> < <= > >= + - * / % ( ) , 1 2.5 'a' 'a%_' '!' '2024-01-01' \" ' ! ; [ 1e9 99999999999999999999".split()
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.lists(_WORDS, max_size=40).map(" ".join), st.lists(_WORDS, max_size=40).map("".join)))
def test_junk_is_refused_and_raises_nothing_else(text: str) -> None:
    for schema in (SCHEMA, None):
        try:
            tree = tree_of(text, schema)
        except FilterInvalid:
            continue
        assert tree_of(write(tree), schema) == tree


@pytest.mark.parametrize(
    "text",
    [
        "'" * TEXT_LIMIT_CHARS,
        '"' * TEXT_LIMIT_CHARS,
        "'" * (TEXT_LIMIT_CHARS - 1),
        " " * TEXT_LIMIT_CHARS,
        "9" * TEXT_LIMIT_CHARS,
        "n = 0." + "0" * 30_000 + "1",
        "a" * TEXT_LIMIT_CHARS,
        "a." * (TEXT_LIMIT_CHARS // 2),
        "n IN (" + "1," * 10_000,
        "name LIKE '" + "%a" * 15_000 + "'",
        "name LIKE '" + "_" * 30_000 + "'",
        "name LIKE '" + "_%" * 15_000 + "x'",
        "(ok AND ok) OR " * 1_000 + "ok",
        "(" * 31 + " OR ".join(["ok AND ok"] * 1_000) + ")" * 31,
    ],
    ids=str.__len__,
)
def test_a_large_text_takes_a_moment(text: str) -> None:
    begin = time.process_time()
    try:
        tree_of(text, SCHEMA)
    except FilterInvalid:
        pass
    assert time.process_time() - begin < 2.0
