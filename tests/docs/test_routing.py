"""The page about filters: its table is what they do, its example is made, its errors are those that come."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.filters.eventgrid import table
from tests.filters.events import as_json, batch_of, columns_of

import penstock as ps
from penstock.batch import TopicSpec
from penstock.errors import FilterInvalid
from penstock.filters.eventgrid import AdvancedFilter, Filter
from penstock.filters.eventgrid.filter import FILTERS_MAX, OPERATORS, VALUE_CHARS, VALUES_MAX
from penstock.filters.eventgrid.predicate import FilterPredicate

PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()
ROWS = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (passes|fails)( \(\*\*ours\*\*\))? \|$", PAGE, re.MULTILINE)
NOTES = TopicSpec("notes")


def test_the_table_has_every_operator() -> None:
    assert [row[0] for row in ROWS] == list(OPERATORS)


@pytest.mark.parametrize(("operator", "operands", "said"), [(row[0], row[1], row[3]) for row in ROWS])
def test_what_a_missing_key_does_and_what_it_takes(operator: Any, operands: str, said: str) -> None:
    operand = next(row.operand for row in table.rows() if row.operator == operator)
    arguments = table.arguments(operand) if operand else {}
    assert (f"`{next(iter(arguments))}`" if operand else "–") in operands
    given = Filter(advanced=[AdvancedFilter(operator, "data.text", **arguments)])
    events = columns_of(batch_of(NOTES, [as_json({}), as_json({"text": None})]), NOTES)
    assert FilterPredicate(given, None).mask(events).tolist() == [said == "passes"] * 2


def test_the_example_is_a_filter() -> None:
    found: dict[str, Any] = {}
    exec(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0], found)
    rows = [
        as_json({"delay": 60, "airport": "ams", "stand": 10}, _type="airports.delay", _subject="/flights/KL1007"),
        as_json({"delay": 60, "airport": "ams"}, _type="airports.delay", _subject="/flights/KL1007"),
    ]
    assert FilterPredicate(found["late"], None).mask(columns_of(batch_of(NOTES, rows), NOTES)).tolist() == [True, False]


def test_the_errors_of_the_page() -> None:
    with pytest.raises(FilterInvalid) as operator:
        ps.eventgrid.AdvancedFilter("StringContain", "data.x", ["a"])  # type: ignore[arg-type]
    with pytest.raises(FilterInvalid) as upside_down:
        ps.eventgrid.AdvancedFilter("NumberInRange", "data.delay", [[60, 15]])
    assert f"```\n{operator.value}\n{upside_down.value}\n```" in PAGE


def test_the_limits_are_those_of_the_filters() -> None:
    limits = [int(limit) for limit in re.findall(r"^\| .* \| (\d+) \|$", PAGE, re.MULTILINE)]
    assert limits == [FILTERS_MAX, VALUES_MAX, VALUE_CHARS]
