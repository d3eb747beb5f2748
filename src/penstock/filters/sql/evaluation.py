"""A tree as a function over the columns of a batch: SQL's three values of truth, in Arrow.

What does not depend on the events is made once. The function raises nothing, whatever the events hold: an integer
beyond 64 bits, a division by zero and what is no number are null.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..columns import TIME, EventColumns, Key
from .patterns import regex_of
from .tree import (
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
)

Evaluate: TypeAlias = Callable[[EventColumns], "pa.Array | pa.Scalar"]
"""A term's value for each event; a scalar where it is the same for all."""

_COMPARE = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_CALCULATE = {"+": pc.add, "-": pc.subtract, "*": pc.multiply}
_TYPES = {
    Kind.NUMBER: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIME: TIME,
    Kind.NULL: pa.bool_(),
}
_HALF_TURN = float(2**62)


def compiled(term: Term) -> Evaluate:
    """The term as a function. Raises nothing."""
    match term:
        case Constant(kind, value):
            scalar = pa.scalar(value) if kind is Kind.NUMBER else pa.scalar(value, _TYPES[kind])
            return lambda _: scalar
        case Reference(kind, _, key):
            return partial(_column, kind, key)
        case Arithmetic(sign, left, right):
            return _of_two(partial(_calculate, sign), left, right)
        case Comparison(sign, left, right):
            return _of_two(partial(_compare, _COMPARE[sign]), left, right)
        case Membership(operand, values):
            return _of_one(_among(values), operand)
        case LikePattern(operand, pieces):
            return _of_one(_like(pieces), operand)
        case NullTest(Reference(key=key)):
            return lambda events: pa.array(~events.present(key))
        case NullTest(operand):
            return _of_one(pc.is_null, operand)
        case Negation(operand):
            return _of_one(pc.invert, operand)
        case Conjunction(terms):
            return _of_all(pc.and_kleene, terms)
        case Disjunction(terms):
            return _of_all(pc.or_kleene, terms)


def _of_one(function: Callable[[Any], Any], operand: Term) -> Evaluate:
    evaluate = compiled(operand)
    return lambda events: function(evaluate(events))


def _of_two(function: Callable[[Any, Any], Any], left: Term, right: Term) -> Evaluate:
    first, second = compiled(left), compiled(right)
    return lambda events: function(first(events), second(events))


def _of_all(function: Callable[[Any, Any], Any], terms: tuple[Term, ...]) -> Evaluate:
    each = [compiled(term) for term in terms]
    return lambda events: reduce(function, (evaluate(events) for evaluate in each))


def _column(kind: Kind, key: Key, events: EventColumns) -> pa.Array | pa.Scalar:
    match kind:
        case Kind.NUMBER:
            found = events.numbers(key)
        case Kind.TEXT:
            found = events.texts(key)
        case Kind.TIME:
            found = events.times(key)
        case _:
            found = events.booleans(key)
    return pa.scalar(None, _TYPES[kind]) if found is None else found


# -- comparisons --------------------------------------------------------------------


def _compare(compare: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Integers are compared with floats as floats, and so not exactly beyond 2**53."""
    return compare(left, right) if left.type == right.type else compare(_float(left), _float(right))


def _float(value: Any) -> Any:
    if pa.types.is_floating(value.type):
        return value
    if isinstance(value, pa.Scalar) and value.is_valid:
        return pa.scalar(float(value.as_py()))
    return pc.cast(value, pa.float64(), safe=False)


def _among(constants: tuple[Constant, ...]) -> Callable[[Any], Any]:
    values: list[Any] = [c.value for c in constants]
    numbers = constants[0].kind is Kind.NUMBER
    exact = pa.array(values) if not numbers or all(isinstance(v, int) for v in values) else None
    floats = pa.array([_without_sign(float(v)) for v in values]) if numbers else None

    def among(value: Any) -> Any:
        if exact is not None and value.type == exact.type:
            found = pc.is_in(value, exact)
        else:
            found = pc.is_in(_without_sign(_float(value)), floats)
        return _unless(pc.is_null(value), found) if _has_null(value) else found

    return among


def _without_sign(value: Any) -> Any:
    """Arrow looks floats up by their bits, and -0.0 is 0.0."""
    return pc.add(value, 0.0) if isinstance(value, pa.Array | pa.Scalar) else value + 0.0


def _like(pieces: tuple[str, ...]) -> Callable[[Any], Any]:
    match pieces:
        case (text,):
            return partial(pc.equal, pa.scalar(text))
        case (text, "%", ""):
            return partial(pc.starts_with, pattern=text)
        case ("", "%", text):
            return partial(pc.ends_with, pattern=text)
        case ("", "%", text, "%", ""):
            return partial(pc.match_substring, pattern=text)
    return partial(pc.match_substring_regex, pattern=regex_of(pieces))


# -- arithmetic ---------------------------------------------------------------------


def _calculate(sign: str, left: Any, right: Any) -> Any:
    whole = pa.types.is_integer(left.type) and pa.types.is_integer(right.type)
    if sign == "%":
        return _whole_remainder(left, right) if whole else _remainder(_float(left), _float(right))
    if sign == "/":
        left, right = _float(left), _float(right)
        return _unless(pc.equal(right, 0.0), _number(pc.divide(left, right)))
    calculate = _CALCULATE[sign]
    return _whole(calculate, left, right) if whole else _number(calculate(_float(left), _float(right)))


def _whole(calculate: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Arrow's integers wrap around. What does is off by 2**64 at least, and floats are near enough to see that."""
    result = calculate(left, right)
    off = pc.abs(pc.subtract(calculate(_float(left), _float(right)), _float(result)))
    return _unless(pc.greater(off, _HALF_TURN), result)


def _whole_remainder(left: Any, right: Any) -> Any:
    """With the sign of the dividend. Divided by -1 as by 1: the least integer has no opposite."""
    divisor = pc.if_else(pc.is_in(right, pa.array([0, -1])), 1, right)
    result = pc.subtract(left, pc.multiply(pc.divide(left, divisor), divisor))
    return _unless(pc.equal(right, 0), result)


def _remainder(left: Any, right: Any) -> Any:
    with np.errstate(invalid="ignore"):
        result = np.fmod(_numpy(left), _numpy(right))
    if result.ndim:
        return pa.array(result, from_pandas=True)
    return pa.scalar(None if np.isnan(result) else float(result), pa.float64())


def _numpy(value: Any) -> Any:
    """Null as NaN."""
    if isinstance(value, pa.Scalar):
        return np.float64(value.as_py() if value.is_valid else np.nan)
    return value.to_numpy(zero_copy_only=False)


def _number(value: Any) -> Any:
    return _unless(pc.is_nan(value), value)


def _unless(wrong: Any, value: Any) -> Any:
    return pc.if_else(wrong, pa.scalar(None, value.type), value)


def _has_null(value: Any) -> bool:
    return not value.is_valid if isinstance(value, pa.Scalar) else value.null_count > 0
