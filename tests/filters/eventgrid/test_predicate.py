"""Event Grid's filters over columns, against a table written by hand and an oracle that follows the page row by row."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.filters.atoms import meets
from tests.filters.eventgrid import oracle, table
from tests.filters.eventgrid.generated import UNTYPED, some_filter, some_source
from tests.filters.events import Row, as_json, as_read, batch_of, columns_of

from penstock.batch import TopicSpec
from penstock.filters.eventgrid import AdvancedFilter, Filter, elements, predicate
from penstock.filters.eventgrid.filter import OPERATORS
from penstock.filters.eventgrid.predicate import FilterPredicate
from penstock.filters.folding import fold

NOTHING: Row = {"json": "{}"}


def check(given: Filter, topic: TopicSpec, rows: Sequence[Row], expected: Sequence[bool], what: Any = None) -> None:
    """The whole batch and each event alone pass as expected."""
    batch = batch_of(topic, rows)
    schema = None if topic is UNTYPED else topic.schema
    found = FilterPredicate(given, schema).mask(columns_of(batch, topic)).tolist()
    for place, (got, wanted) in enumerate(zip(found, expected, strict=True)):
        said = rows[place] if what is None else what[place]
        assert got == wanted, f"{said} {'passes' if got else 'does not pass'} {given.advanced or given}"


def grouped() -> dict[tuple[str, str, bool], list[table.Row]]:
    found = defaultdict(list)
    for row in table.rows():
        found[row.operator, row.operand, row.arrays].append(row)
    return found


def arm(given: Filter) -> dict[str, Any]:
    """As a template of Azure's Resource Manager has it."""
    advanced = [
        {"operatorType": each.operator_type, "key": each.key, "value": each.value, "values": each.values}
        for each in given.advanced
    ]
    return {
        "includedEventTypes": given.included_event_types,
        "subjectBeginsWith": given.subject_begins_with,
        "subjectEndsWith": given.subject_ends_with,
        "isSubjectCaseSensitive": given.subject_case_sensitive,
        "advancedFilters": advanced,
        "enableAdvancedFilteringOnArrays": given.arrays,
    }


def one(operator: Any, operand: str, arrays: bool, key: str = "data.x") -> Filter:
    return Filter(advanced=[AdvancedFilter(operator, key, **table.arguments(operand))], arrays=arrays)


def untyped(rows: Sequence[table.Row]) -> list[Row]:
    return [NOTHING if row.value == "missing" else {"json": f'{{"x":{row.value}}}'} for row in rows]


def check_table() -> None:
    """On a topic without a type."""
    for (operator, operand, arrays), rows in grouped().items():
        check(one(operator, operand, arrays), UNTYPED, untyped(rows), [row.passes for row in rows], rows)


def check_table_in_columns() -> int:
    """On topics with a type, for each type that values of a line have; null is in each. How many were compared."""
    compared = 0
    for (operator, operand, arrays), rows in grouped().items():
        by_type = defaultdict(list)
        for row in rows:
            value = None if row.value == "missing" else msgspec.json.decode(row.value)
            try:
                by_type[pa.array([value]).type].append((row, value))
            except (pa.ArrowInvalid, pa.ArrowTypeError):  # a list of several types is in no column
                continue
        nothing = by_type.pop(pa.null(), [])
        for kind, found in by_type.items():
            values = [*found, *nothing]
            topic = TopicSpec("t", pa.schema([("x", kind)]))
            said = [row for row, _ in values]
            check(one(operator, operand, arrays), topic, [{"x": v} for _, v in values], [r.passes for r in said], said)
            compared += len(values)
    return compared


def test_the_table_is_whole() -> None:
    rows = list(table.rows())
    assert len(set(rows)) == len(rows) >= 400
    assert {row.operator for row in rows} == set(OPERATORS)
    for operator in OPERATORS:
        of_it = [row for row in rows if row.operator == operator]
        for arrays in (False, True):
            assert {row.passes for row in of_it if row.arrays == arrays} == {True, False}
            assert {"missing", "null"} <= {row.value for row in of_it if row.arrays == arrays}


def test_the_oracle_says_what_the_table_says() -> None:
    for row in table.rows():
        data = {} if row.value == "missing" else {"x": msgspec.json.decode(row.value)}
        case = arm(one(row.operator, row.operand, row.arrays))
        assert oracle.passes(case, {"type": "t", "data": data}) == row.passes, row


def test_the_table_without_a_type() -> None:
    check_table()


def test_the_table_in_columns() -> None:
    assert check_table_in_columns() >= 700


def test_an_attribute_is_addressed_by_either_schema() -> None:
    row = as_json({"Key1": "v"}, _id="i", _source="/s", _type="t", _subject="/S/x.JPG", _extensions='{"tenant":"acme"}')
    for key, value in {
        "ID": "i",
        "Id": "i",
        "id": "I",
        "Topic": "/s",
        "source": "/S",
        "Subject": "/s/x.jpg",
        "EventType": "T",
        "type": "t",
        "specversion": "1.0",
        "tenant": "ACME",
        "Data.Key1": "V",
        "data.Key1": "v",
    }.items():
        given = Filter(advanced=[AdvancedFilter("StringIn", key, [value])])
        check(given, UNTYPED, [row, as_json({}, _type="z", _source="z", _subject="z")], [True, key == "specversion"])
    for key in ("DataVersion", "other", "data.key1", "data.Key1.x"):
        check(Filter(advanced=[AdvancedFilter("IsNullOrUndefined", key)]), UNTYPED, [row], [True])


def test_an_extension_that_json_has_as_a_number_is_a_text_too() -> None:
    """As in the page's example of extension attributes: ``StringBeginsWith`` of 5 with "5" and "1"."""
    row = as_json({}, _extensions='{"comexampleothervalue":5,"flag":true}')
    for advanced in (
        AdvancedFilter("StringBeginsWith", "comexampleothervalue", ["5", "1"]),
        AdvancedFilter("StringIn", "comexampleothervalue", ["5"]),
        AdvancedFilter("NumberIn", "comexampleothervalue", [5]),
        AdvancedFilter("StringIn", "flag", ["true"]),
        AdvancedFilter("BoolEquals", "flag", value=True),
    ):
        check(Filter(advanced=[advanced]), UNTYPED, [row, NOTHING], [True, False])


def test_types_and_subjects() -> None:
    rows = [as_json(1, _type="a.B", _subject="/x/y.JPG"), as_json(1, _type="c"), as_json(1, _subject="/X/y.jpg")]
    for given, expected in (
        (Filter(), [True, True, True]),
        (Filter(["A.b"]), [True, False, False]),
        (Filter(["c", "notes"]), [False, True, True]),
        (Filter(["a.B", "All"]), [True, True, True]),
        (Filter(subject_begins_with="/x"), [True, False, True]),
        (Filter(subject_ends_with=".jpg"), [True, False, True]),
        (Filter(subject_ends_with=".jpg", subject_case_sensitive=True), [False, False, True]),
        (Filter(subject_begins_with="/x", subject_case_sensitive=True), [True, False, False]),
        (Filter(["a.b"], "/x", ".jpg"), [True, False, False]),
        (Filter(["c"], "/x"), [False, False, False]),
        (Filter(subject_begins_with="/x.*"), [False, False, False]),
    ):
        check(given, UNTYPED, rows, expected)


def test_several_filters_must_all_pass() -> None:
    rows = [as_json({"x": x, "y": y}) for x in (1, 2) for y in ("a", "b")]
    both = [AdvancedFilter("NumberIn", "data.x", [1]), AdvancedFilter("StringIn", "data.y", ["a"])]
    check(Filter(advanced=both), UNTYPED, rows, [True, False, False, False])
    same = [AdvancedFilter("NumberIn", "data.x", [1, 2]), AdvancedFilter("NumberNotIn", "data.x", [1])]
    check(Filter(advanced=same), UNTYPED, rows, [False, False, True, True])


def test_integers_of_a_column_are_compared_exactly() -> None:
    topic = TopicSpec("t", pa.schema([("x", pa.int64())]))
    big, rows = 2**53, [{"x": 2**53 - 1}, {"x": 2**53}, {"x": 2**53 + 1}]
    for operator, expected in {
        "NumberLessThan": [True, False, False],
        "NumberLessThanOrEquals": [True, True, False],
        "NumberGreaterThan": [False, False, True],
        "NumberGreaterThanOrEquals": [False, True, True],
    }.items():
        check(one(operator, str(big), False), topic, rows, expected)
    check(one("NumberIn", f"[{big}]", False), topic, rows, [False, True, False])
    check(one("NumberInRange", "[[0.5, 1.5], [-1e300, -1e299], [1e299, 1e300]]", False), topic, [{"x": 1}], [True])
    check(one("NumberLessThan", "1e300", False), topic, rows, [True, True, True])
    check(one("NumberGreaterThan", "1e300", False), topic, rows, [False, False, False])


def test_columns_are_compared_as_the_json_that_readers_get() -> None:
    moment, day = datetime(2026, 11, 29, 10, 0, 0, 500_000, UTC), date(2026, 11, 29)
    fields = {"at": pa.timestamp("us", tz="UTC"), "day": pa.date32(), "raw": pa.binary(), "f": pa.float64()}
    topic = TopicSpec("t", pa.schema(list(fields.items())))
    rows: list[Row] = [{"at": moment, "day": day, "raw": b"abc", "f": math.nan}, {"f": math.inf}]
    for advanced, expected in (
        (AdvancedFilter("StringBeginsWith", "data.at", ["2026-11-29T10:00:00.5"]), [True, False]),
        (AdvancedFilter("StringIn", "data.day", ["2026-11-29"]), [True, False]),
        (AdvancedFilter("StringIn", "data.raw", ["YWJj"]), [True, False]),
        (AdvancedFilter("IsNullOrUndefined", "data.f"), [True, True]),
        (AdvancedFilter("NumberGreaterThan", "data.f", value=1), [False, False]),
        (AdvancedFilter("NumberNotIn", "data.f", [1]), [True, True]),
    ):
        check(Filter(advanced=[advanced]), topic, rows, expected)
        events = as_read(batch_of(topic, rows), topic)
        assert [oracle.passes(arm(Filter(advanced=[advanced])), event) for event in events] == expected


def test_texts_without_case_are_those_of_unicode_character_by_character() -> None:
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    found = fold(pa.array(every)).to_pylist()
    assert [len(text) for text in found] == [1] * len(every)
    other = {c for c, lower in zip(every, found, strict=True) if lower != c.lower() and lower != oracle.lower(c)}
    # what differs is newer than Python's Unicode or Arrow's
    assert all(ord(c) >= 0x1C89 for c in other)
    assert len(other) < 200


# -- generated ------------------------------------------------------------------


def compare(seed: int, batches: int, filters: int) -> tuple[int, int]:
    """Every event of each batch with every filter, by columns and by the oracle: how many, and how many passed."""
    of, compared, passed = random.Random(seed), 0, 0
    for number in range(batches):
        topic, schema, row = some_source(of, typed=number % 2 == 0)
        batch = batch_of(topic, [row() for _ in range(of.choice([1, 50, 100]))])
        events, read = columns_of(batch, topic), as_read(batch, topic)
        for _ in range(filters):
            given = some_filter(of)
            found = FilterPredicate(given, schema).mask(events).tolist()
            case = arm(given)
            for place, event in enumerate(read):
                expected = oracle.passes(case, event)
                assert found[place] == expected, f"{given}\n{event}"
            compared, passed = compared + len(read), passed + sum(found)
    return compared, passed


def test_a_hundred_thousand_generated_comparisons() -> None:
    compared, passed = compare(14, 60, 45)
    assert compared >= 100_000
    assert compared / 10 < passed < compared / 2


# -- what an index makes of it ---------------------------------------------------


def test_atoms_are_necessary_and_where_exact_sufficient() -> None:
    of, seen = random.Random(7), {True: 0, False: 0}
    for number in range(60):
        topic, schema, row = some_source(of, typed=number % 2 == 0)
        events = columns_of(batch_of(topic, [row() for _ in range(40)]), topic)
        for _ in range(30):
            made = FilterPredicate(some_filter(of), schema)
            met = reduce(np.logical_and, (meets(atom, events) for atom in made.atoms), np.ones(40, np.bool_))
            passed = made.mask(events)
            assert not (passed & ~met).any(), made.text
            if made.exact:
                assert (passed == met).all(), made.text
            seen[made.exact] += bool(made.atoms)
    assert min(seen.values()) > 100


def test_the_texts_of_filters_are_equal_when_they_are() -> None:
    one = Filter(["a"], advanced=[AdvancedFilter("NumberIn", "data.x", [5])])
    same = Filter(("a",), advanced=(AdvancedFilter("NumberIn", "data.x", (5.0,)),))
    other = Filter(["a"], advanced=[AdvancedFilter("NumberIn", "data.x", [6])])
    assert FilterPredicate(one, None).text == FilterPredicate(same, None).text != FilterPredicate(other, None).text


# -- mutants ---------------------------------------------------------------------

SENSES = {
    "StringNotContains": ("none", "StringNotContains.*missing.* passes"),
    "StringNotBeginsWith": ("none", "StringNotBeginsWith.*missing.* passes"),
    "StringNotEndsWith": ("none", "StringNotEndsWith.*missing.* passes"),
    "NumberNotInRange": ("none", "NumberNotInRange.*missing.* passes"),
    "StringNotIn": ("none of some", "StringNotIn.*missing.* does not pass"),
    "NumberNotIn": ("none of some", "NumberNotIn.*missing.* does not pass"),
    "IsNotNull": ("absent", "IsNotNull.* does not pass"),
}


@pytest.mark.parametrize("operator", SENSES)
def test_mutant_another_rule_for_a_missing_key_is_caught(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sense, said = SENSES[operator]
    monkeypatch.setattr(predicate, "_SENSES", dict(predicate._SENSES) | {operator: sense})
    with pytest.raises(AssertionError, match=said):
        check_table()
    with pytest.raises(AssertionError, match=said):
        check_table_in_columns()


def mutants() -> Iterator[tuple[str, Any, str, Any, str]]:
    whole = elements.Elements.any
    yield "case", elements, "fold", lambda texts: texts, "AZURE.*does not pass"
    yield "arrays always", predicate, "elements", lambda e, k, _: elements.elements(e, k, True), r"\[.* passes"
    yield "arrays never", predicate, "elements", lambda e, k, _: elements.elements(e, k, False), "does not pass"
    yield "objects in lists", elements.Elements, "unfit", property(lambda at: np.zeros(at.events, np.bool_)), " passes"
    yield "every element", elements.Elements, "any", lambda at, met: whole(at, met) & ~whole(at, ~met), "does not pass"
    yield "ends out", predicate, "_within", ends_out, "5.*does not pass"
    yield "every value", predicate, "reduce", lambda _, found: reduce(lambda a, b: a & b, found), "does not pass"
    yield "true is 1", elements, "_number", lambda v: float(v) if isinstance(v, int | float) else None, "true.* passes"
    yield "numbers as texts", elements, "_text", lambda v, _: None if v is None else str(v), "5.* passes"


def ends_out(numbers: pa.Array, intervals: Any) -> Any:
    values = numbers.fill_null(math.nan).to_numpy(zero_copy_only=False)
    return reduce(np.logical_or, ((values > each.low) & (values < each.high) for each in intervals))


@pytest.mark.parametrize(("owner", "name", "other", "said"), [m[1:] for m in mutants()], ids=[m[0] for m in mutants()])
def test_mutant_another_comparison_is_caught(
    owner: Any, name: str, other: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, other)
    if name == "reduce":
        monkeypatch.setattr(pc, "or_", pc.and_)
    with pytest.raises(AssertionError, match=said):
        check_table()


def test_mutant_an_atom_of_what_a_list_holds_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicate, "_is_indexable", lambda given, _: given.atom is not None)
    with pytest.raises(AssertionError, match="Event Grid"):
        test_atoms_are_necessary_and_where_exact_sufficient()
