"""A filter compiled for columns: each comparison is made once over all events of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Literal, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..columns import EventColumns, Key, is_number, is_text
from ..folding import folded
from ..interface import Atom
from ..intervals import MOST, Interval
from .elements import Mask, elements, true
from .filter import AdvancedFilter, Filter, Operator, address

_Sense = Literal["any", "none of some", "none", "absent", "present"]
"""When an event passes: any element meets it; there are comparable elements, or a list, and none does; none does; there
is nothing; there is something."""

_SENSES: Mapping[Operator, _Sense] = {
    "NumberNotIn": "none",
    "NumberNotInRange": "none of some",
    "StringNotContains": "none of some",
    "StringNotBeginsWith": "none of some",
    "StringNotEndsWith": "none of some",
    "StringNotIn": "none",
    "IsNullOrUndefined": "absent",
    "IsNotNull": "present",
}
"""Of all others: any. An absent key passes NumberNotIn and StringNotIn, and no other negated operator: so says Event
Grid's page of all but NumberNotInRange, of which it says nothing."""

_Kind = Literal["texts", "cased", "numbers", "booleans"]

_TEXT_ATTRIBUTES = {("id",), ("source",), ("type",), ("subject",)}  # texts in each event that has them


class FilterPredicate:
    """A ``Predicate``. Immutable; any thread may use it."""

    def __init__(self, given: Filter, schema: pa.Schema | None) -> None:
        """``schema``: of the topic whose events it is for; None for one without a type. Raises nothing: a filter was
        checked when it was made."""
        self.text = f"Event Grid: {msgspec.json.encode(given).decode()}"
        self._comparisons = tuple(_comparisons(given))
        indexable = [each for each in self._comparisons if _is_indexable(each, schema)]
        self.atoms = tuple(cast("Atom", each.atom) for each in indexable)
        self.exact = len(indexable) == len(self._comparisons) and all(each.exact for each in indexable)

    def mask(self, events: EventColumns) -> Mask:
        """Which events pass, one value an event. Raises nothing."""
        passed = np.ones(len(events), np.bool_)
        for each in self._comparisons:
            passed &= each.mask(events)
            if not passed.any():
                break
        return passed


@dataclass(frozen=True, slots=True)
class _Comparison:
    """``meets`` tells of the elements of one kind which meet it. ``atom`` is necessary, and if ``exact`` sufficient."""

    key: Key
    arrays: bool
    sense: _Sense
    kind: _Kind = "texts"
    meets: Callable[[pa.Array], Mask] | None = None
    atom: Atom | None = None
    exact: bool = False

    def mask(self, events: EventColumns) -> Mask:
        found = events.made(("eventgrid", self.key, self.arrays), lambda: elements(events, self.key, self.arrays))
        if self.meets is None:
            return found.present if self.sense == "present" else ~found.present
        values = getattr(found, self.kind)
        met = found.any(self.meets(values))
        if self.sense == "any":
            return met & ~found.unfit
        if self.sense == "none":
            return ~met & ~found.unfit
        return (found.any(true(values.is_valid())) | found.listed) & ~met & ~found.unfit


def _is_indexable(given: _Comparison, schema: pa.Schema | None) -> bool:
    """Has it an atom, and does that see the same values? To an atom no element of a list is the value at the key, and
    only a text is a text: no time, and no number of an extension."""
    key = given.key
    if given.atom is None:
        return False
    if key in _TEXT_ATTRIBUTES:
        return True
    if key[0] != "data" or schema is None:
        return not given.arrays and (key[0] == "data" or given.kind != "texts")
    kind = _type_of(schema, key[1:])
    if pa.types.is_nested(kind):
        return not given.arrays
    return given.kind != "texts" or is_text(kind) or is_number(kind) or kind in (pa.bool_(), pa.null())


def _type_of(schema: pa.Schema, path: Key) -> pa.DataType:
    """Of the field there; null, if there is none."""
    found: pa.DataType = pa.struct(schema)
    for name in path:
        at = found.get_field_index(name) if pa.types.is_struct(found) else -1
        if at < 0:
            return pa.null()
        found = found.field(at).type
    return found


def _comparisons(given: Filter) -> Iterator[_Comparison]:
    if given.included_event_types is not None:
        yield _of_texts("StringIn", ("type",), given.included_event_types)
    cased = given.subject_case_sensitive
    if given.subject_begins_with:
        yield _of_texts("StringBeginsWith", ("subject",), [given.subject_begins_with], cased=cased)
    if given.subject_ends_with:
        yield _of_texts("StringEndsWith", ("subject",), [given.subject_ends_with], cased=cased)
    for each in given.advanced:
        yield _comparison(each, address(each.key), given.arrays)


def _comparison(given: AdvancedFilter, key: Key, arrays: bool) -> _Comparison:
    operator = given.operator_type
    if operator.startswith("Is"):
        return _Comparison(key, arrays, _SENSES[operator])
    if operator.startswith("String"):
        return _of_texts(operator, key, cast("Sequence[str]", given.values), arrays)
    if operator == "BoolEquals":
        wanted = bool(given.value)
        met = partial(_equal, wanted=wanted)
        return _Comparison(key, arrays, "any", "booleans", met, Atom(key, values=(wanted,)), exact=True)
    return _of_numbers(operator, key, _intervals(given), arrays)


def _of_texts(
    operator: Operator, key: Key, values: Sequence[str], arrays: bool = False, *, cased: bool = False
) -> _Comparison:
    sense = _SENSES.get(operator, "any")
    wanted = tuple(dict.fromkeys(values if cased else map(folded, values)))
    atom, meets = None, _MEETS[operator.removeprefix("String").removeprefix("Not")]
    if operator == "StringIn":
        atom = Atom(key, values=wanted, folded=not cased)
    elif operator == "StringBeginsWith":
        atom = Atom(key, prefixes=wanted, folded=not cased)
    elif operator == "StringEndsWith":
        atom = Atom(key, suffixes=wanted, folded=not cased)
    kind: _Kind = "cased" if cased else "texts"
    return _Comparison(key, arrays, sense, kind, partial(meets, wanted=wanted), atom, exact=atom is not None)


def _of_numbers(operator: Operator, key: Key, intervals: Sequence[Interval], arrays: bool) -> _Comparison:
    sense = _SENSES.get(operator, "any")
    atom, exact = None, False
    if sense == "any":
        if operator == "NumberIn":
            atom, exact = Atom(key, values=tuple(each.low for each in intervals)), True
        elif len(intervals) == 1:
            atom, exact = _between(key, *intervals), True
        else:
            atom = _between(key, Interval(min(each.low for each in intervals), max(each.high for each in intervals)))
    return _Comparison(key, arrays, sense, "numbers", partial(_within, intervals=intervals), atom, exact)


def _between(key: Key, given: Interval) -> Atom:
    low, high, low_in, high_in = given
    return Atom(key, low=low, high=high, low_in=low_in, high_in=high_in)


def _intervals(given: AdvancedFilter) -> list[Interval]:
    """None of them goes on for ever: infinity is no number in JSON."""
    value = cast("float", given.value)
    match given.operator_type:
        case "NumberLessThan":
            return [Interval(-MOST, value, high_in=False)]
        case "NumberLessThanOrEquals":
            return [Interval(-MOST, value)]
        case "NumberGreaterThan":
            return [Interval(value, MOST, low_in=False)]
        case "NumberGreaterThanOrEquals":
            return [Interval(value, MOST)]
        case "NumberIn" | "NumberNotIn":
            return [Interval(each, each) for each in cast("Sequence[float]", given.values)]
        case _:
            return [Interval(*each) for each in cast("Sequence[tuple[float, float]]", given.values)]


def _within(numbers: pa.Array, intervals: Sequence[Interval]) -> Mask:
    """In any of them."""
    whole = pa.types.is_integer(numbers.type)
    values = numbers.fill_null(0).to_numpy(zero_copy_only=False)
    ends = [each.integers if whole else each.floats for each in intervals]
    found = reduce(np.logical_or, ((values >= low) & (values <= high) for low, high in ends))
    return cast("Mask", found) & true(numbers.is_valid())


def _equal(booleans: pa.Array, wanted: bool) -> Mask:
    return true(pc.equal(booleans, wanted))


def _one_of(texts: pa.Array, wanted: Sequence[str]) -> Mask:
    return true(pc.is_in(texts, value_set=pa.array(wanted, pa.string())))


def _any_of(texts: pa.Array, wanted: Sequence[str], test: Callable[[pa.Array, str], pa.Array]) -> Mask:
    return true(reduce(pc.or_, (test(texts, each) for each in wanted)))


_MEETS: Mapping[str, Callable[..., Mask]] = {
    "In": _one_of,
    "Contains": partial(_any_of, test=pc.match_substring),
    "BeginsWith": partial(_any_of, test=pc.starts_with),
    "EndsWith": partial(_any_of, test=pc.ends_with),
}
