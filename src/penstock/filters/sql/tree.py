"""A condition as a tree of terms, each of one kind of value, and its one spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from ..columns import Key

RESERVED = frozenset("AND OR NOT IN BETWEEN LIKE IS NULL TRUE FALSE".split())
_BARE = re.compile(r"[^\W\d]\w*")


class Kind(StrEnum):
    """What a term's values are, as messages say it."""

    BOOLEAN = "a condition"
    NUMBER = "a number"
    TEXT = "text"
    TIME = "a time"
    NULL = "NULL"
    ANY = "of any type"  # a field of JSON, until what it is compared with says more
    OTHER = "neither a number, text, a time nor true or false"  # a column that can only be there or not


Value: TypeAlias = str | int | float | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Constant:
    kind: Kind
    value: Value


@dataclass(frozen=True, slots=True)
class Reference:
    """A column or an attribute: ``name`` as it is written, ``key`` as ``EventColumns`` knows it."""

    kind: Kind
    name: tuple[str, ...]
    key: Key


@dataclass(frozen=True, slots=True)
class Arithmetic:
    sign: str  # + - * / %
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Comparison:
    sign: str  # = <> < <= > >=
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Membership:
    """``IN``. The values are of the operand's kind."""

    operand: Term
    values: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class LikePattern:
    """``LIKE``. Every second piece is text as it stands; those between are wildcards, of ``%`` and ``_``."""

    operand: Term
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NullTest:
    operand: Term


@dataclass(frozen=True, slots=True)
class Negation:
    operand: Term


@dataclass(frozen=True, slots=True)
class Conjunction:
    """No term of one is a conjunction itself."""

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Disjunction:
    """No term of one is a disjunction itself."""

    terms: tuple[Term, ...]


Term: TypeAlias = (
    Constant
    | Reference
    | Arithmetic
    | Comparison
    | Membership
    | LikePattern
    | NullTest
    | Negation
    | Conjunction
    | Disjunction
)


def kind_of(term: Term) -> Kind:
    match term:
        case Constant() | Reference():
            return term.kind
        case Arithmetic():
            return Kind.NUMBER
    return Kind.BOOLEAN


def height(term: Term) -> int:
    """How deep the tree is: 1 for a name."""
    return 1 + max(map(height, _parts(term)), default=0)


def _parts(term: Term) -> Sequence[Term]:
    match term:
        case Arithmetic() | Comparison():
            return term.left, term.right
        case Conjunction() | Disjunction():
            return term.terms
        case Membership() | LikePattern() | NullTest() | Negation():
            return (term.operand,)
    return ()


def names(term: Term) -> Iterator[tuple[str, ...]]:
    """Of every column and attribute in it, by its parts, as often as it is there."""
    if isinstance(term, Reference):
        yield term.name
    for part in _parts(term):
        yield from names(part)


# -- the one spelling -----------------------------------------------------------

_OR, _AND, _NOT, _COMPARE, _ADD, _MULTIPLY, _ATOM = range(1, 8)  # how tightly each binds


def write(term: Term) -> str:
    """The term's canonical text: reading it gives the same term."""
    return _write(term, 0)


def write_name(parts: Sequence[str]) -> str:
    return ".".join(p if _BARE.fullmatch(p) and p.upper() not in RESERVED else _quoted(p, '"') for p in parts)


def _write(term: Term, binding: int) -> str:
    """In parentheses where the term binds less tightly than ``binding``."""
    text, own = _spelt(term)
    return text if own >= binding else f"({text})"


def _spelt(term: Term) -> tuple[str, int]:
    match term:
        case Constant():
            return _literal(term.value), _ATOM
        case Reference():
            return write_name(term.name), _ATOM
        case Arithmetic():
            own = _ADD if term.sign in "+-" else _MULTIPLY
            return f"{_write(term.left, own)} {term.sign} {_write(term.right, own + 1)}", own
        case Comparison():
            return f"{_write(term.left, _ADD)} {term.sign} {_write(term.right, _ADD)}", _COMPARE
        case Membership():
            values = ", ".join(_literal(c.value) for c in term.values)
            return f"{_write(term.operand, _ADD)} IN ({values})", _COMPARE
        case LikePattern():
            return f"{_write(term.operand, _ADD)} LIKE {_pattern(term.pieces)}", _COMPARE
        case NullTest():
            return f"{_write(term.operand, _ADD)} IS NULL", _COMPARE
        case Negation():
            return f"NOT {_write(term.operand, _NOT)}", _NOT
        case Conjunction():
            return " AND ".join(_write(t, _NOT) for t in term.terms), _AND
        case Disjunction():
            return " OR ".join(_write(t, _AND) for t in term.terms), _OR


def _literal(value: Value) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            return _quoted(value, "'")
        case datetime():
            return f"TIMESTAMP '{value.isoformat()}'"
    return repr(value)


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def _pattern(pieces: Sequence[str]) -> str:
    texts = pieces[::2]
    if not any("%" in t or "_" in t for t in texts):
        return _quoted("".join(pieces), "'")
    escaped = [re.sub(r"([%_\\])", r"\\\1", p) if i % 2 == 0 else p for i, p in enumerate(pieces)]
    return _quoted("".join(escaped), "'") + r" ESCAPE '\'"
