"""A filter as it is declared: what is refused, with what words, and what is just within Event Grid's limits."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from tests.filters.eventgrid import table

import penstock as ps
from penstock.errors import FilterInvalid
from penstock.filters.eventgrid import AdvancedFilter, Filter, filter
from penstock.filters.eventgrid.filter import OPERATORS, address

ADVANCED: Any = AdvancedFilter  # for what a type checker refuses
FILTER: Any = Filter


def advanced(operator: str, key: str, values: Any = (), value: Any = None) -> AdvancedFilter:
    found: AdvancedFilter = ADVANCED(operator, key, values, value)
    return found


def texts(count: int, operator: str = "StringIn", length: int = 3) -> AdvancedFilter:
    return advanced(operator, "data.x", ["v" * length] * count)


def number(operator: str, value: object) -> AdvancedFilter:
    return advanced(operator, "data.x", value=value)


def several(operator: str, *values: object, key: str = "data.x") -> AdvancedFilter:
    return advanced(operator, key, list(values))


def test_it_is_public() -> None:
    from penstock import eventgrid

    assert eventgrid is ps.eventgrid
    assert ps.eventgrid.Filter is Filter
    assert ps.eventgrid.AdvancedFilter is AdvancedFilter


def test_there_are_the_operators_of_the_sdk() -> None:
    assert len(set(OPERATORS)) == 19
    for row in table.rows():
        made = advanced(row.operator, "data.x", **table.arguments(row.operand))
        assert made.operator_type == row.operator


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            lambda: several("StringContain", "a"),
            "'StringContain' is no operator of Event Grid; did you mean StringContains?",
        ),
        (lambda: several("numberin", 1), "did you mean NumberIn?"),
        (lambda: several("Like", "a"), "there are NumberIn, NumberNotIn,"),
        (lambda: several("NumberIn", "5"), "NumberIn of 'data.x': takes values=, a list of numbers"),
        (lambda: several("NumberIn", 1, True), "not True"),
        (lambda: several("NumberIn", float("nan")), "not nan"),
        (lambda: several("NumberIn", float("inf")), "not inf"),
        (lambda: several("NumberIn", 2**53 + 1), "no integer that a double cannot hold), not 9007199254740993"),
        (lambda: several("NumberNotIn", 10**400), "takes values=, a list of numbers"),
        (lambda: several("NumberIn"), "takes values=, a list of numbers .*, and is given none"),
        (lambda: several("StringIn"), "takes values=, a list of texts, and is given none"),
        (
            lambda: several("StringNotContains", 5),
            "StringNotContains of 'data.x': takes values=, a list of texts, not 5",
        ),
        (lambda: several("StringIn", None), "not None"),
        (lambda: ADVANCED("StringIn", "data.x", "abc"), "values='abc' must be a list"),
        (lambda: ADVANCED("StringIn", "data.x", {"a"}), "must be a list"),
        (lambda: number("StringIn", "a"), "takes values=, a list of texts, not value="),
        (lambda: number("NumberLessThan", "5"), "takes value=, a number (finite"),
        (lambda: number("NumberLessThan", None), "and is given none"),
        (lambda: number("NumberGreaterThan", True), "not True"),
        (lambda: several("NumberLessThanOrEquals", 5), "takes value=, a number .*, not values="),
        (lambda: number("BoolEquals", 1), "takes value=, True or False, not 1"),
        (lambda: number("BoolEquals", "true"), "takes value=, True or False, not 'true'"),
        (lambda: several("BoolEquals", True), "takes value=, True or False, not values="),
        (lambda: several("NumberInRange", [5, 1]), "the range [5, 1] is upside down and holds nothing"),
        (lambda: several("NumberNotInRange", [1, 2], [3, 2]), "the range [3, 2] is upside down"),
        (lambda: several("NumberInRange", 5), "a list of pairs of numbers such as [[1, 5]]"),
        (lambda: several("NumberInRange", [1, 2, 3]), "not [1, 2, 3]"),
        (lambda: several("NumberInRange", ["a", "b"]), "not ['a', 'b']"),
        (lambda: several("NumberInRange"), "and is given none"),
        (lambda: several("IsNotNull", 1), "takes neither value= nor values=, not values="),
        (lambda: number("IsNullOrUndefined", 1), "takes neither value= nor values=, not value="),
        (
            lambda: several("StringIn", "v" * 513),
            "a value has 513 characters, 'vvvvvvvvvvvvvvvvvvvv…'; Event Grid allows 512",
        ),
        (lambda: FILTER(advanced=[texts(1)] * 26), "26 advanced filters; Event Grid allows 25 of a subscription"),
        (
            lambda: FILTER(advanced=[texts(20), texts(6)]),
            "have 26 values together; Event Grid allows 25 of a subscription",
        ),
        (lambda: FILTER(advanced=[several("NumberInRange", *[[1, 2]] * 25), number("BoolEquals", True)]), "26 values"),
        (lambda: FILTER(advanced=[{"key": "data.x"}]), "must be a list of AdvancedFilter"),
        (lambda: FILTER(advanced=texts(1)), "must be a list of AdvancedFilter"),
        (lambda: FILTER([]), "included_event_types=[] would let no event pass; leave it out for any type"),
        (lambda: FILTER("All"), "included_event_types='All' must be a list of types, or None for any"),
        (lambda: FILTER([""]), "must be a list of types"),
        (lambda: FILTER([5]), "must be a list of types"),
        (lambda: FILTER(subject_begins_with=None), "subject_begins_with=None must be a text"),
        (lambda: FILTER(subject_ends_with=5), "subject_ends_with=5 must be a text"),
        (lambda: FILTER(subject_case_sensitive="no"), "subject_case_sensitive='no' must be True or False"),
        (lambda: FILTER(arrays=1), "arrays=1 must be True or False"),
    ],
)
def test_what_is_wrong_is_said(given: Any, said: str) -> None:
    with pytest.raises(FilterInvalid, match=re.escape(said).replace(r"\.\*", ".*")):
        given()


@pytest.mark.parametrize(
    "key",
    ["", "data", "data.", "data..a", ".a", "a.b", "Subject.x", "Foo", "my key", "ext-1", "http://schemas.a.b/c",
     "john.doe@contoso.com", "data.a.", "größe", None, 5],
)  # fmt: skip
def test_a_key_that_cannot_be_addressed_is_refused(key: Any) -> None:
    with pytest.raises(
        FilterInvalid, match=re.escape(f"the key {key!r} cannot be addressed; write ID, Topic, Subject")
    ):
        AdvancedFilter("IsNotNull", key)


def test_keys_of_both_schemas() -> None:
    found = {
        key: address(key) for key in ("ID", "Topic", "Subject", "EventType", "DataVersion", "Data.A.b", "id", "ext1")
    }
    assert found == {
        "ID": ("id",),
        "Topic": ("source",),
        "Subject": ("subject",),
        "EventType": ("type",),
        "DataVersion": ("dataversion",),
        "Data.A.b": ("data", "A", "b"),
        "id": ("id",),
        "ext1": ("ext1",),
    }


def check_limits() -> None:
    Filter(advanced=[texts(1, length=512)] * 25)
    Filter(advanced=[texts(25)])
    Filter(advanced=[number("NumberLessThan", 5)] * 24 + [AdvancedFilter("IsNotNull", "id")])
    for count, values, length in ((26, 1, 3), (1, 26, 3), (1, 1, 513)):
        try:
            Filter(advanced=[texts(values, length=length)] * count)
        except FilterInvalid:
            continue
        raise AssertionError(f"{count} filters of {values} values of {length} characters are accepted")


def test_what_is_just_within_the_limits_is_accepted() -> None:
    check_limits()
    assert (filter.FILTERS_MAX, filter.VALUES_MAX, filter.VALUE_CHARS) == (25, 25, 512)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (("FILTERS_MAX", "VALUES_MAX"), "26 filters of 1 values"),  # as many filters have as many values
        (("VALUES_MAX",), "1 filters of 26 values"),
        (("VALUE_CHARS",), "513 characters"),
    ],
)
def test_mutant_a_limit_of_one_more_is_caught(
    limits: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in limits:
        monkeypatch.setattr(filter, name, getattr(filter, name) + 1)
    with pytest.raises(AssertionError, match=f"{said}.* are accepted"):
        check_limits()


def test_it_goes_into_the_plan_as_json_and_comes_back() -> None:
    given = Filter(
        ["a.b"],
        "/x",
        subject_case_sensitive=True,
        advanced=[
            several("NumberInRange", [1, 2.5], (3, 4)),
            number("BoolEquals", False),
            number("NumberLessThan", 5),
            texts(2),
            AdvancedFilter("IsNotNull", "tenant"),
        ],
        arrays=True,
    )
    text = msgspec.json.encode(given)
    assert msgspec.json.decode(text, type=Filter) == given
    assert msgspec.json.encode(msgspec.json.decode(text, type=Filter)) == text
    assert msgspec.convert(msgspec.to_builtins(given), Filter) == given
    assert hash(given) == hash(msgspec.json.decode(text, type=Filter))


def test_what_the_plan_holds_is_checked_when_it_is_read() -> None:
    text = msgspec.json.encode(Filter(advanced=[texts(1)])).replace(b"vvv", b"v" * 513)
    with pytest.raises(FilterInvalid, match="513 characters"):
        msgspec.json.decode(text, type=Filter)
