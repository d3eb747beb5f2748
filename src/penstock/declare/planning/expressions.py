"""A polars expression as the text of a ``where``, as far as the two say the same.

polars writes its expressions as JSON, in a form that changes between versions. This reads the forms of 1.20 to 2.1, and
refuses what it does not know to the last member, so that no other condition comes of it than was written. Literals are
left to polars itself: it reads its own and gives their values.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, NoReturn

import polars as pl

from ...errors import FilterInvalid
from ...filters.sql.tree import (
    Arithmetic,
    Comparison,
    Conjunction,
    Constant,
    Disjunction,
    Kind,
    LikePattern,
    Membership,
    Negation,
    NullTest,
    Reference,
    Term,
    write,
)

SHOWN_CHARS = 80  # characters of a part that a message repeats

_COMPARED = {"Eq": "=", "NotEq": "<>", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
_CALCULATED = {"Plus": "+", "Minus": "-", "Multiply": "*", "TrueDivide": "/"}
_ENDS = {"Both": (">=", "<="), "Left": (">=", "<"), "Right": (">", "<="), "None": (">", "<")}
_LITERAL = ({"literal": True, "strict": False}, {"literal": True, "strict": True})
_ONE = "name one column, with pl.col"
_INSTEAD = {
    "Agg": "a condition sees one event at a time",
    "Alias": "leave the alias out",
    "AnonymousFunction": "have a stage compute it, and compare the column that it makes",
    "Column": _ONE,
    "Columns": _ONE,
    "Cast": "compare with a literal of the column's own type",
    "Contains": "write str.contains(…, literal=True)",
    "DtypeColumn": _ONE,
    "EqValidity": "write == and is_null()",
    "FloorDivide": "divide with /",
    "Modulus": "write it as text, where % has the sign of the dividend",
    "Nth": _ONE,
    "NotEqValidity": "write != and is_null()",
    "Over": "a condition sees one event at a time",
    "Selector": _ONE,
    "Ternary": "write it with & and |",
    "Wildcard": _ONE,
    "Window": "a condition sees one event at a time",
    "Xor": "write != between the two",
}
_OFFERED = (
    "there are columns, struct.field, literals, comparisons, &, |, ~, + - * /, is_in, is_null, is_not_null, "
    "is_between, str.starts_with, str.ends_with and str.contains(…, literal=True)"
)


def text_of(expression: object) -> str:
    """The condition as text, which ``filters.where.parse`` reads and checks against a topic.

    Raises ``FilterInvalid`` naming the part that has no counterpart there, and what could be written.
    """
    if not isinstance(expression, pl.Expr):
        raise FilterInvalid(f"where is text or a polars expression, not {type(expression).__name__}")
    try:
        return write(term_of(json.loads(expression.meta.serialize(format="json"))))
    except RecursionError:
        raise FilterInvalid("where is nested too deeply: write fewer levels") from None
    except (pl.exceptions.PolarsError, ValueError, ImportError) as error:
        raise FilterInvalid(f"where cannot be read as polars {pl.__version__} writes it: {error}") from None


def term_of(node: Any) -> Term:
    """What polars wrote as JSON, read. Raises ``FilterInvalid``, and what ``pl.Expr.deserialize`` raises."""
    match node:
        case {"Column": str(name), **others} if not others and not _is_pattern(name):
            return Reference(Kind.ANY, (name,), ())
        case {"BinaryExpr": {"left": left, "op": str(op), "right": right, **more}, **others} if not (more or others):
            if op in ("And", "Or"):
                terms = tuple(term_of(n) for n in _chain(node, op))
                return Conjunction(terms) if op == "And" else Disjunction(terms)
            if op in _COMPARED:
                return Comparison(_COMPARED[op], term_of(left), term_of(right))
            if op in _CALCULATED:
                return Arithmetic(_CALCULATED[op], term_of(left), term_of(right))
            return _refuse(node, op)
        case _ if _is_constant(node):
            return _constant(node, _values(node))
        case {"Function": {"input": [*inputs], "function": function, **more}, **others} if not others:
            if more.keys() <= {"options"}:  # of 1.20, for its engine: they follow from the function
                return _call(node, _path(function), inputs)
    return _refuse(node, next(iter(node)) if isinstance(node, dict) and node else str(node))


def _call(node: Any, function: tuple[Any, ...], inputs: list[Any]) -> Term:
    match function, inputs:
        case ("Boolean", "Not"), [operand]:
            return Negation(term_of(operand))
        case ("Boolean", "IsNull"), [operand]:
            return NullTest(term_of(operand))
        case ("Boolean", "IsNotNull"), [operand]:
            return Negation(NullTest(term_of(operand)))
        case ("Boolean", "IsBetween", "closed", str(closed)), [operand, low, high] if closed in _ENDS:
            above, below = _ENDS[closed]
            value = term_of(operand)
            return Conjunction((Comparison(above, value, term_of(low)), Comparison(below, value, term_of(high))))
        case ("Boolean", "IsIn") | ("Boolean", "IsIn", "nulls_equal", False), [operand, among] if _is_constant(among):
            return Membership(term_of(operand), _constants(node, _values(among)))
        case ("StringExpr", "StartsWith"), [operand, text]:
            return LikePattern(term_of(operand), (_text(text), "%", ""))
        case ("StringExpr", "EndsWith"), [operand, text]:
            return LikePattern(term_of(operand), ("", "%", _text(text)))
        case ("StringExpr", "Contains", how), [operand, text] if how in _LITERAL:
            return LikePattern(term_of(operand), ("", "%", _text(text), "%", ""))
        case ("StructExpr", "FieldByName", str(name)), [operand]:
            if isinstance(within := term_of(operand), Reference):
                return Reference(Kind.ANY, (*within.name, name), ())
        case ("Negate",), [operand]:
            return Arithmetic("-", Constant(Kind.NUMBER, 0), term_of(operand))
    return _refuse(node, next((name for name in function if isinstance(name, str) and name in _INSTEAD), "a function"))


def _path(function: Any) -> tuple[Any, ...]:
    """A function's name from its kind on, then what it was given: ``("Boolean", "IsBetween", "closed", "Both")``.

    What has several members stays as it is, so that none of them is passed over.
    """
    path: list[Any] = []
    while isinstance(function, dict) and len(function) == 1:
        name, function = next(iter(function.items()))
        path.append(name)
    return (*path, function)


def _chain(node: Any, op: str) -> Iterator[Any]:
    """What ``&`` or ``|`` joins, however many: as polars writes them they are as deep as there are."""
    waiting = [node]
    while waiting:
        match waiting.pop():
            case {"BinaryExpr": {"left": left, "op": str(own), "right": right, **more}, **others} if own == op and not (
                more or others
            ):
                waiting += [right, left]
            case other:
                yield other


def _is_constant(node: Any) -> bool:
    """A literal, also as polars 1.20 writes those that have a type or a zone."""
    match node:
        case {"Literal": _, **others}:
            return not others
        case {"Cast": {"expr": within, "dtype": _, "options": _, **more}, **others}:
            return not (more or others) and _is_constant(within)
        case {"Function": {"input": [*inputs], "function": {"TemporalExpr": {"ReplaceTimeZone": _}}}}:
            return all(map(_is_constant, inputs))
    return False


def _values(node: Any) -> list[Any]:
    """A literal's values as polars reads them. A number that JSON cannot say, NaN or infinity, is refused."""
    try:
        return pl.select(_expression(node)).to_series().to_list()
    except pl.exceptions.PolarsError:
        return _refuse(node, "a number that is not finite", "compare with one that is")


def _constants(node: Any, values: list[Any]) -> tuple[Constant, ...]:
    """Those of a list: one value that is a list, or as 1.20 has it all of its values."""
    among = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    if not among:
        return _refuse(node, "an empty list", "nothing is in it: name a value")
    return tuple(_constant(node, [value]) for value in among)


def _constant(node: Any, values: list[Any]) -> Constant:
    match values:
        case [bool() as value]:
            return Constant(Kind.BOOLEAN, value)
        case [int() | float() as value]:
            return Constant(Kind.NUMBER, value)
        case [str() as value]:
            return Constant(Kind.TEXT, value)
        case [datetime(tzinfo=None)]:
            return _refuse(node, "", "say the time's zone, as in datetime(2024, 12, 31, tzinfo=timezone.utc)")
        case [datetime() as value]:
            return Constant(Kind.TIME, value.astimezone(UTC))
        case [date() as value]:
            return Constant(Kind.TIME, datetime(value.year, value.month, value.day, tzinfo=UTC))
        case [None]:  # also what 1.20 makes of a whole number beyond its types
            return _refuse(node, "", "ask is_null() or is_not_null(); whole numbers have 64 bits")
    return _refuse(node, "", "a literal is one number, one text, True, False, or a time with its zone")


def _text(node: Any) -> str:
    match _values(node) if _is_constant(node) else []:
        case [str() as text]:
            return text
    return _refuse(node, "", "the text to look for is a literal")


def _is_pattern(name: str) -> bool:
    """Does polars 1.20 take the name for a pattern of several?"""
    return name.startswith("^") and name.endswith("$")


def _refuse(node: Any, what: str, instead: str = "") -> NoReturn:
    try:
        shown = str(_expression(node))
    except (pl.exceptions.PolarsError, ValueError, ImportError):
        shown = what
    shown = shown if len(shown) <= SHOWN_CHARS else f"{shown[:SHOWN_CHARS]}…"
    raise FilterInvalid(f"where has no counterpart of {shown}: {instead or _INSTEAD.get(what, _OFFERED)}")


def _expression(node: Any) -> pl.Expr:
    return pl.Expr.deserialize(io.StringIO(json.dumps(node)), format="json")
