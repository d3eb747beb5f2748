"""Event Grid's rules, event by event, as its page writes them: the pseudo-code of each operator, word by word.

It shares nothing with the package. An event is the JSON object that a reader of CloudEvents gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Case = Mapping[str, Any]  # of ``includedEventTypes``, ``subjectBeginsWith`` and so on, as ARM templates have them

MISSING = object()
EVENT_GRID_NAMES = {"id": "id", "topic": "source", "subject": "subject", "eventtype": "type"}
# "If the event JSON doesn't contain the advanced filter key, filter is evaluated as matched for": and else not
MATCHED_WITHOUT_KEY = ("NumberNotIn", "StringNotIn", "IsNullOrUndefined")
BIGGEST_DOUBLE = 1.7976931348623157e308


def passes(given: Case, event: Mapping[str, Any]) -> bool:
    types = given.get("includedEventTypes")
    if types is not None and "all" not in map(lower, types) and lower(event["type"]) not in map(lower, types):
        return False
    case = str if given.get("isSubjectCaseSensitive") else lower
    subject = event.get("subject")
    for limit, method in (("subjectBeginsWith", "startswith"), ("subjectEndsWith", "endswith")):
        wanted = given.get(limit, "")
        if wanted and (subject is None or not getattr(case(subject), method)(case(wanted))):
            return False
    arrays = given.get("enableAdvancedFilteringOnArrays", False)
    return all(matches(each, event, arrays) for each in given.get("advancedFilters", ()))


def matches(advanced: Case, event: Mapping[str, Any], arrays: bool) -> bool:
    operator, found = advanced["operatorType"], value_at(advanced["key"], event)
    if found is None:  # as in a column, where nobody knows null from nothing
        found = MISSING
    if operator == "IsNullOrUndefined":
        return found is MISSING
    if operator == "IsNotNull":
        return found is not MISSING
    if found is MISSING:
        return operator in MATCHED_WITHOUT_KEY
    if isinstance(found, dict) or (isinstance(found, list) and not arrays):
        return False
    if isinstance(found, list) and any(isinstance(each, list | dict) for each in found):
        return False
    if isinstance(found, Attribute):
        found = found.text if operator.startswith("String") else found.value
    keys = [key for key in (found if isinstance(found, list) else [found]) if is_of_the_type(operator, key)]
    if not isinstance(found, list) and not keys:
        return operator in MATCHED_WITHOUT_KEY
    for verdict in verdicts(operator, advanced, keys):
        return verdict == "MATCH"
    return "Not" in operator


def verdicts(operator: str, advanced: Case, keys: list[Any]) -> Iterator[str]:
    """``MATCH`` or ``FAIL_MATCH``, whenever the pseudo-code says so; the first one decides."""
    if operator in ("NumberLessThan", "NumberGreaterThan", "NumberLessThanOrEquals", "NumberGreaterThanOrEquals"):
        filter = advanced["value"]
        for key in keys:
            if operator == "NumberLessThan" and key < filter:
                yield "MATCH"
            if operator == "NumberGreaterThan" and key > filter:
                yield "MATCH"
            if operator == "NumberLessThanOrEquals" and key <= filter:
                yield "MATCH"
            if operator == "NumberGreaterThanOrEquals" and key >= filter:
                yield "MATCH"
        return
    if operator == "BoolEquals":
        for key in keys:
            if advanced["value"] is key:
                yield "MATCH"
        return
    for filter in advanced["values"]:
        for key in keys:
            if operator in ("NumberIn", "NumberNotIn") and filter == key:
                yield "MATCH" if operator == "NumberIn" else "FAIL_MATCH"
            if operator in ("NumberInRange", "NumberNotInRange"):
                a, b = filter
                if key >= a and key <= b:
                    yield "MATCH" if operator == "NumberInRange" else "FAIL_MATCH"
            if operator.startswith("String"):
                text, wanted = lower(key), lower(filter)
                met = {
                    "Contains": wanted in text,
                    "BeginsWith": text.startswith(wanted),
                    "EndsWith": text.endswith(wanted),
                    "In": text == wanted,
                }[operator.removeprefix("String").removeprefix("Not")]
                if met:
                    yield "FAIL_MATCH" if "Not" in operator else "MATCH"


def is_of_the_type(operator: str, key: Any) -> bool:
    if operator.startswith("Number"):
        return isinstance(key, int | float) and not isinstance(key, bool)
    if operator == "BoolEquals":
        return isinstance(key, bool)
    return isinstance(key, str)


class Attribute:
    """A CloudEvent's attribute that JSON has as a boolean or an integer: it is a text in every other binding."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.text = str(value).lower()


def value_at(key: str, event: Mapping[str, Any]) -> Any:
    if "." not in key:
        found = event.get(EVENT_GRID_NAMES.get(key.lower(), key), MISSING)
        return Attribute(found) if isinstance(found, int) else found
    found = event
    for name in ("data", *key.split(".")[1:]):
        if not isinstance(found, Mapping) or name not in found:
            return MISSING
        found = found[name]
    return found


def lower(text: str) -> str:
    """Each character by itself; the one that Python makes two of has an ``i`` in Unicode's simple mapping."""
    return "".join("i" if c == "\u0130" else c.lower() if len(c.lower()) == 1 else c for c in text)
