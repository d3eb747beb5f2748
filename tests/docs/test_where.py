"""The page about ``where``: its conditions are read, and its errors are those that come."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.errors import FilterInvalid
from penstock.filters.sql.parser import DEPTH_LIMIT, TERMS_LIMIT, TEXT_LIMIT_CHARS
from penstock.filters.sql.patterns import WILDCARDS_LIMIT
from penstock.filters.sql.tree import RESERVED
from penstock.filters.where import parse

PAGE = (Path(__file__).parents[2] / "docs" / "where.md").read_text()
SCHEMA = pa.schema(
    [
        *((name, pa.float64()) for name in ("amount", "price", "cost")),
        *((name, pa.string()) for name in ("country", "opening hours")),
        ("test", pa.bool_()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("place", pa.struct([("city", pa.string())])),
        ("tags", pa.list_(pa.string())),
    ]
)
CONDITIONS = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0].splitlines()
ERRORS = [e for e in re.findall(r"^```\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL) if e.endswith("^")]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_conditions_of_the_page(condition: str) -> None:
    assert parse(parse(condition, SCHEMA).text, SCHEMA) == parse(condition, SCHEMA)


@pytest.mark.parametrize("shown", ERRORS)
def test_the_errors_of_the_page(shown: str) -> None:
    with pytest.raises(FilterInvalid) as error:
        parse(shown.splitlines()[1].strip(), SCHEMA)
    assert str(error.value) == shown


def test_the_conditions_within_its_sentences() -> None:
    for condition in ("country <> 'NL' OR country IS NULL", "country = 'NL'"):
        assert f"`{condition}`" in PAGE
        parse(condition, SCHEMA)
    for condition in ("data.amount > 5", "data.paid", "data.a - data.b = 0", "data.x IS NULL"):
        assert f"`{condition}`" in PAGE
        parse(condition, None)


def test_its_keywords_and_limits_are_those_of_the_parser() -> None:
    grammar = PAGE.partition("## Grammar")[2].partition("## Names")[0]
    assert set(re.findall(r"\b[A-Z]{2,}\b", grammar.partition("Keywords")[0])) == RESERVED | {"ESCAPE", "TIMESTAMP"}
    for limit in (TEXT_LIMIT_CHARS, TERMS_LIMIT, DEPTH_LIMIT, WILDCARDS_LIMIT):
        assert f"| {limit:,} |" in PAGE


def test_there_are_conditions_and_errors() -> None:
    assert len(CONDITIONS) == 6
    assert len(ERRORS) == 3
