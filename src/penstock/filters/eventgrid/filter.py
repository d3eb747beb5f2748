"""A filter as it is declared: plain data, which travels with the plan, checked when it is made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, get_args

from ...errors import FilterInvalid
from ..columns import Key

FILTERS_MAX = 25  # advanced ones of a subscription
VALUES_MAX = 25  # of all advanced filters of a subscription; a range is one
VALUE_CHARS = 512  # characters of a text that is compared with

Operator: TypeAlias = Literal[
    "NumberIn",
    "NumberNotIn",
    "NumberLessThan",
    "NumberGreaterThan",
    "NumberLessThanOrEquals",
    "NumberGreaterThanOrEquals",
    "NumberInRange",
    "NumberNotInRange",
    "BoolEquals",
    "StringContains",
    "StringNotContains",
    "StringBeginsWith",
    "StringNotBeginsWith",
    "StringEndsWith",
    "StringNotEndsWith",
    "StringIn",
    "StringNotIn",
    "IsNullOrUndefined",
    "IsNotNull",
]
OPERATORS: tuple[Operator, ...] = get_args(Operator)

_ALL = "all"
_ATTRIBUTES = {"eventtype": "type", "topic": "source"}  # Event Grid's names of what CloudEvents calls otherwise
_KNOWN = {"id", "source", "type", "subject", "specversion", "time", "dataversion", *_ATTRIBUTES}
_ATTRIBUTE = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class AdvancedFilter:
    """A comparison of the value at ``key`` with ``value``, one number or boolean, or with several ``values``.

    ``operator_type`` is one of Event Grid's 19. ``key`` is ``id``, ``source``, ``type``, ``subject``, ``specversion``
    or the name of an extension, as CloudEvents calls them; ``ID``, ``Topic``, ``Subject``, ``EventType`` or
    ``DataVersion``, as Event Grid does; or ``data.a.b``. ``values`` are numbers for ``NumberIn`` and ``NumberNotIn``,
    pairs of them for ``NumberInRange`` and ``NumberNotInRange``, else texts. Texts are compared without case.
    Raises ``FilterInvalid``.

    >>> ps.eventgrid.AdvancedFilter("NumberInRange", "data.delay", [[15, 60], [90, 120]]).values
    ((15.0, 60.0), (90.0, 120.0))
    """

    operator_type: Operator
    key: str
    values: Sequence[str | float | Sequence[float]] = ()
    value: bool | float | None = None

    def __post_init__(self) -> None:
        if self.operator_type not in OPERATORS:
            near = get_close_matches(str(self.operator_type), OPERATORS, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(OPERATORS)}"
            raise FilterInvalid(f"{self.operator_type!r} is no operator of Event Grid; {meant}")
        address(self.key)
        takes = _TAKES[self.operator_type]
        given = {"value": [] if self.value is None else [self.value], "values": _listed(self.values, self)}
        compared = given.pop(takes.option, [])
        for option in (option for option, values in given.items() if values):
            raise _refused(self, f"takes {takes.says}, not {option}=")
        if takes.option and not compared:
            raise _refused(self, f"takes {takes.says}, and is given none")
        for each in compared:
            _check(each, takes, self)
        object.__setattr__(self, "values", tuple(map(_plain, self.values)))
        object.__setattr__(self, "value", _plain(self.value))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a subscription is given, as Azure Event Grid filters: all parts must pass.

    ``included_event_types``: one of these types (None, or ``"All"`` among them: any). ``subject_begins_with`` and
    ``subject_ends_with`` know no wildcards, and no case unless ``subject_case_sensitive``. ``advanced``: at most 25
    comparisons, with 25 values and ranges together. ``arrays``: does a comparison look into arrays, where any element
    may pass it (Event Grid's ``enableAdvancedFilteringOnArrays``)? Else an array passes none.
    Raises ``FilterInvalid``.

    >>> late = ps.eventgrid.AdvancedFilter("NumberGreaterThan", "data.delay", value=60)
    >>> ps.eventgrid.Filter(["airports.delay"], subject_begins_with="/flights/", advanced=[late]).arrays
    False
    """

    included_event_types: Sequence[str] | None = None
    subject_begins_with: str = ""
    subject_ends_with: str = ""
    subject_case_sensitive: bool = False
    advanced: Sequence[AdvancedFilter] = ()
    arrays: bool = False

    def __post_init__(self) -> None:
        for name in ("subject_begins_with", "subject_ends_with"):
            if not isinstance(text := getattr(self, name), str):
                raise FilterInvalid(f"{name}={text!r} must be a text")
        for name in ("subject_case_sensitive", "arrays"):
            if not isinstance(said := getattr(self, name), bool):
                raise FilterInvalid(f"{name}={said!r} must be True or False")
        object.__setattr__(self, "included_event_types", _types(self.included_event_types))
        object.__setattr__(self, "advanced", _advanced(self.advanced))


def address(key: str) -> Key:
    """The key of a column that a filter's key means. Raises ``FilterInvalid`` where there can be none."""
    first, *path = key.split(".") if isinstance(key, str) else ("",)
    if first.lower() == "data" and path and all(path):
        return ("data", *path)
    name = first.lower() if first.lower() in _KNOWN else first
    if not path and name != "data" and _ATTRIBUTE.fullmatch(name):
        return (_ATTRIBUTES.get(name, name),)
    raise FilterInvalid(
        f"the key {key!r} cannot be addressed; write ID, Topic, Subject, EventType or DataVersion, or id, source, "
        "type, subject, specversion or the name of an extension (a-z, 0-9), or a field of the data as data.a.b (names "
        "that have a dot themselves cannot be)"
    )


@dataclass(frozen=True, slots=True)
class _Takes:
    """What an operator compares with: in ``value=``, in ``values=``, or nothing."""

    option: Literal["value", "values", ""]
    says: str
    kind: Literal["number", "range", "boolean", "text", ""]

    def fits(self, value: object) -> bool:
        match self.kind:
            case "number":
                return _is_number(value)
            case "range":
                return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))
            case "boolean":
                return isinstance(value, bool)
            case _:
                return isinstance(value, str)


def _is_number(value: object) -> bool:
    """Event Grid's numbers are doubles: what none is would be another number there, or none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and float(value) == value
    except OverflowError:
        return False


def _plain(value: Any) -> Any:
    """So that equal filters are equal as JSON too, hashable, and changed by nobody later."""
    if isinstance(value, list | tuple):
        return tuple(map(float, value))
    return float(value) if _is_number(value) else value


_DOUBLE = "(finite, and no integer that a double cannot hold)"
_NUMBER = _Takes("value", f"value=, a number {_DOUBLE}", "number")
_NUMBERS = _Takes("values", f"values=, a list of numbers {_DOUBLE}", "number")
_RANGES = _Takes("values", f"values=, a list of pairs of numbers such as [[1, 5]] {_DOUBLE}", "range")
_BOOLEAN = _Takes("value", "value=, True or False", "boolean")
_TEXTS = _Takes("values", "values=, a list of texts", "text")
_NOTHING = _Takes("", "neither value= nor values=", "")

_TAKES: Mapping[Operator, _Takes] = {
    "NumberIn": _NUMBERS,
    "NumberNotIn": _NUMBERS,
    "NumberLessThan": _NUMBER,
    "NumberGreaterThan": _NUMBER,
    "NumberLessThanOrEquals": _NUMBER,
    "NumberGreaterThanOrEquals": _NUMBER,
    "NumberInRange": _RANGES,
    "NumberNotInRange": _RANGES,
    "BoolEquals": _BOOLEAN,
    "StringContains": _TEXTS,
    "StringNotContains": _TEXTS,
    "StringBeginsWith": _TEXTS,
    "StringNotBeginsWith": _TEXTS,
    "StringEndsWith": _TEXTS,
    "StringNotEndsWith": _TEXTS,
    "StringIn": _TEXTS,
    "StringNotIn": _TEXTS,
    "IsNullOrUndefined": _NOTHING,
    "IsNotNull": _NOTHING,
}


def _refused(given: AdvancedFilter, why: str) -> FilterInvalid:
    return FilterInvalid(f"{given.operator_type} of {given.key!r}: {why}")


def _check(value: Any, takes: _Takes, given: AdvancedFilter) -> None:
    if not takes.fits(value):
        raise _refused(given, f"takes {takes.says}, not {value!r}")
    if isinstance(value, str) and len(value) > VALUE_CHARS:
        raise _refused(given, f"a value has {len(value)} characters, '{value[:20]}…'; Event Grid allows {VALUE_CHARS}")
    if takes.kind == "range" and value[0] > value[1]:
        raise _refused(
            given, f"the range {list(value)} is upside down and holds nothing; write the smaller number first"
        )


def _listed(values: Any, given: AdvancedFilter) -> list[Any]:
    if not isinstance(values, list | tuple):
        raise _refused(given, f"values={values!r} must be a list")
    return list(values)


def _types(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) and each for each in given):
        raise FilterInvalid(f"included_event_types={given!r} must be a list of types, or None for any")
    if not given:
        raise FilterInvalid("included_event_types=[] would let no event pass; leave it out for any type")
    return None if any(each.lower() == _ALL for each in given) else tuple(given)


def _advanced(given: Any) -> tuple[AdvancedFilter, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(each, AdvancedFilter) for each in given):
        raise FilterInvalid(f"advanced={given!r} must be a list of AdvancedFilter")
    if len(given) > FILTERS_MAX:
        raise FilterInvalid(f"{len(given)} advanced filters; Event Grid allows {FILTERS_MAX} of a subscription")
    values = sum(len(each.values) + (each.value is not None) for each in given)
    if values > VALUES_MAX:
        raise FilterInvalid(
            f"the advanced filters have {values} values together; Event Grid allows {VALUES_MAX} of a subscription"
        )
    return tuple(given)
