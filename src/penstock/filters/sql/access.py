"""What an index can know of a condition: the atoms that each event which passes meets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..interface import Atom
from .tree import (
    Comparison,
    Conjunction,
    Constant,
    Disjunction,
    Kind,
    LikePattern,
    Membership,
    Negation,
    Reference,
    Term,
)

EXACT = 2**53  # whole numbers below it are floats without loss


def atoms_of(term: Term) -> tuple[tuple[Atom, ...], bool]:
    """The atoms of the terms that AND joins at the top, and whether they say all that the condition does."""
    found: list[Atom] = []
    exact = True
    for part in term.terms if isinstance(term, Conjunction) else (term,):
        atom, whole = _atom(part)
        exact = exact and whole
        if atom is not None:
            _add(found, atom)
    return tuple(found), exact


def _atom(term: Term) -> tuple[Atom | None, bool]:
    """What it demands of one value, if that can be said, and whether that is all of it."""
    match term:
        case Reference(key=key):
            return Atom(key, values=(True,)), True
        case Negation(Reference(key=key)):
            return Atom(key, values=(False,)), True
        case Comparison(sign, Reference(key=key), Constant() as constant):
            return _compared(sign, Atom(key), constant)
        case Membership(Reference(key=key), values) if all(map(_indexable, values)):
            return Atom(key, values=tuple(_value(v) for v in values)), True
        case LikePattern(Reference(key=key), (text,)):
            return Atom(key, values=(text,)), True
        case LikePattern(Reference(key=key), (text, *rest)) if text:
            return Atom(key, prefixes=(text,)), rest == ["%", ""]
        case Disjunction(terms):
            return _any_of([_atom(t) for t in terms])
    return None, False


def _compared(sign: str, atom: Atom, constant: Constant) -> tuple[Atom | None, bool]:
    if not _indexable(constant):
        return None, False
    value = _value(constant)
    if sign == "=":
        return replace(atom, values=(value,)), True
    if sign == "<>" or isinstance(value, str | bool):
        return None, False
    if sign in ("<", "<="):
        return replace(atom, high=value, high_in=sign == "<="), True
    return replace(atom, low=value, low_in=sign == ">="), True


def _any_of(parts: Sequence[tuple[Atom | None, bool]]) -> tuple[Atom | None, bool]:
    """One atom for several of which one is met: of values at one key, or of prefixes at one."""
    atoms = [atom for atom, _ in parts if atom is not None]
    first = atoms[0] if atoms else None
    if first is None or len(atoms) < len(parts) or any(a.key != first.key for a in atoms):
        return None, False
    values = tuple(v for a in atoms for v in a.values)
    prefixes = tuple(p for a in atoms for p in a.prefixes)
    if bool(values) == bool(prefixes) or not all(a.values or a.prefixes for a in atoms):
        return None, False
    return replace(first, values=values, prefixes=prefixes), all(exact for _, exact in parts)


def _add(found: list[Atom], atom: Atom) -> None:
    """A range is joined with another of the same value."""
    for i, other in enumerate(found):
        if other.key == atom.key and _is_range(other) and _is_range(atom):
            found[i] = _overlap(other, atom)
            return
    found.append(atom)


def _is_range(atom: Atom) -> bool:
    return not atom.values and not atom.prefixes


def _overlap(one: Atom, other: Atom) -> Atom:
    low, low_in = max((one.low, not one.low_in), (other.low, not other.low_in))
    high, high_in = min((one.high, one.high_in), (other.high, other.high_in))
    return replace(one, low=low, low_in=not low_in, high=high, high_in=high_in)


def _indexable(constant: Constant) -> bool:
    """A text or a boolean, or a number that means the same as a float."""
    if constant.kind is Kind.NUMBER:
        return isinstance(constant.value, int | float) and abs(constant.value) < EXACT
    return constant.kind in (Kind.TEXT, Kind.BOOLEAN)


def _value(constant: Constant) -> str | float | bool:
    value = constant.value
    return value if isinstance(value, str | bool) else float(value)  # type: ignore[arg-type]  # a number, else
