"""Which kind of value a term is, and what can be compared with what."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from ..columns import is_number, is_text, is_time
from .lexemes import Unfit, shortened
from .tree import Constant, Kind, Reference, Term, kind_of, write

_COLUMNS = (
    (is_number, Kind.NUMBER),
    (is_text, Kind.TEXT),
    (pa.types.is_boolean, Kind.BOOLEAN),
    (is_time, Kind.TIME),
)


def kind_of_column(column: pa.DataType) -> Kind:
    return next((kind for fits, kind in _COLUMNS if fits(column)), Kind.OTHER)


def as_kind(kind: Kind, term: Term) -> Term:
    """The term where only ``kind`` will do: a field of JSON becomes that. Raises ``Unfit`` for another."""
    own = kind_of(term)
    if own is kind or (own is Kind.NULL and kind is Kind.BOOLEAN):
        return term
    if own is Kind.ANY and isinstance(term, Reference):
        return replace(term, kind=kind)
    instead = "compare it with something" if kind is Kind.BOOLEAN else f"write what is {kind} here"
    raise Unfit(f"{_described(term)}, not {kind}", instead)


def alike(left: Term, right: Term) -> tuple[Term, Term]:
    """The two as terms of one kind, whose values can be compared. Raises ``Unfit`` where they cannot be."""
    kinds = kind_of(left), kind_of(right)
    if Kind.NULL in kinds:
        raise Unfit("nothing equals NULL, and nothing differs from it", "write … IS NULL or … IS NOT NULL")
    if Kind.OTHER in kinds:
        other = left if kinds[0] is Kind.OTHER else right
        raise Unfit(_described(other), "ask whether it IS NULL, or name a field within it")
    if kinds == (Kind.ANY, Kind.ANY):
        raise Unfit("two fields of JSON, and neither says of which type", "compare each with a literal")
    if isinstance(left, Reference) and kinds[0] is Kind.ANY:
        return replace(left, kind=kinds[1]), right
    if isinstance(right, Reference) and kinds[1] is Kind.ANY:
        return left, replace(right, kind=kinds[0])
    if kinds[0] is not kinds[1]:
        instead = _instead(left, right) or _instead(right, left) or "compare values of one kind"
        raise Unfit(f"{_described(left)} and {_described(right)}", instead)
    return left, right


def _described(term: Term) -> str:
    kind = kind_of(term)
    if kind is Kind.BOOLEAN and isinstance(term, Constant | Reference):
        return f"{shortened(write(term))} is true or false"
    return f"{shortened(write(term))} is {kind}"


def _instead(term: Term, other: Term) -> str:
    """What would make a literal one of the other's kind; empty for what is none, and for what cannot be."""
    match term, kind_of(other):
        case Constant(Kind.TEXT), Kind.TIME:
            return f"write TIMESTAMP {shortened(write(term))}"
        case Constant(Kind.TEXT), Kind.NUMBER:
            return "write the number without quotes"
        case Constant(Kind.NUMBER), Kind.TEXT:
            return f"write '{shortened(write(term))}'"
        case Constant(), Kind.TIME:
            return "write TIMESTAMP '2024-12-31T23:59:59Z'"
        case Constant(), Kind.BOOLEAN:
            return "write TRUE or FALSE"
    return ""
