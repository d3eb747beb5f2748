"""A condition's text as a tree, by the precedence of its operators (V. Pratt, "Top down operator precedence", 1973).

Each term's kind is known once it is read, so that an error points at what is wrong. No text makes it recurse deeper
than ``DEPTH_LIMIT`` allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NoReturn, TypeVar

import pyarrow as pa

from ..columns import moment
from .kinds import alike, as_kind
from .lexemes import Lexeme, Unfit, lexemes, refuse, shortened
from .names import find
from .patterns import pieces_of
from .tree import (
    RESERVED,
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
    Value,
    height,
    kind_of,
)

TEXT_LIMIT_CHARS = 32_768  # characters of a condition
TERMS_LIMIT = 2_048  # names and literals of a condition
DEPTH_LIMIT = 32  # operators and parentheses within one another

_OR, _AND, _NOT, _COMPARE, _ADD, _MULTIPLY, _LITERAL = range(1, 8)  # how tightly each binds
_COMPARED = {"=": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_BINDING = (
    {"OR": _OR, "AND": _AND, "+": _ADD, "-": _ADD, "*": _MULTIPLY, "/": _MULTIPLY, "%": _MULTIPLY}
    | dict.fromkeys(_COMPARED, _COMPARE)
    | dict.fromkeys(("IN", "BETWEEN", "LIKE", "IS", "NOT"), _COMPARE)
)
_CONSTANTS = {"TRUE": (Kind.BOOLEAN, True), "FALSE": (Kind.BOOLEAN, False), "NULL": (Kind.NULL, None)}
_T = TypeVar("_T")


def tree_of(text: str, schema: pa.Schema | None) -> Term:
    """The condition as a tree. ``schema``: the topic's columns; None: its data are JSON.

    Raises ``FilterInvalid``.
    """
    if len(text) > TEXT_LIMIT_CHARS:
        refuse(text, 0, f"{len(text)} characters", f"a condition has {TEXT_LIMIT_CHARS} at most")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        refuse(text, error.start, "half a character (a surrogate)", "write the character itself")
    return _Parser(text, schema).condition()


class _Parser:
    """Of one text, read once."""

    def __init__(self, text: str, schema: pa.Schema | None) -> None:
        self._text, self._schema = text, schema
        self._lexemes = lexemes(text)
        self._next = next(self._lexemes)
        self._depth = self._terms = 0

    def condition(self) -> Term:
        at = self._next.at
        term = self._expression(0)
        if self._next.kind != "end":
            self._refuse(
                self._next.at, f"{_shown(self._next)} follows a whole condition", "write AND or OR between two"
            )
        return self._as(Kind.BOOLEAN, term, at)

    def _expression(self, binding: int) -> Term:
        """The longest term whose operators bind more tightly than ``binding``."""
        self._depth += 1
        begin, compared = self._next.at, False
        if self._depth > DEPTH_LIMIT:
            self._refuse_depth(begin)
        left = self._operand(binding)
        while (own := _BINDING.get(_keyword(self._next), 0)) > binding:
            if own == _COMPARE and compared:
                self._refuse(self._next.at, "a comparison of a comparison", "write AND between two, or parentheses")
            compared = own == _COMPARE
            left = self._operation(left, begin, own)
            if height(left) > DEPTH_LIMIT:
                self._refuse_depth(begin)
        self._depth -= 1
        return left

    def _operand(self, binding: int) -> Term:
        """What stands before the first operator."""
        lexeme = self._take()
        match lexeme.kind, _keyword(lexeme):
            case "number", _:
                return self._number(lexeme, 1)
            case "text", _:
                return self._constant(lexeme, Kind.TEXT, lexeme.value)
            case _, "TIMESTAMP" if self._next.kind == "text":
                return self._time(self._take())
            case _, "TRUE" | "FALSE" | "NULL" as word:
                return self._constant(lexeme, *_CONSTANTS[word])
            case _, "NOT" if binding < _COMPARE:
                at = self._next.at
                return Negation(self._as(Kind.BOOLEAN, self._expression(_NOT), at))
            case _, "(":
                inner = self._expression(0)
                self._expect(")", "close what was opened")
                return inner
            case _, "-" if self._next.kind == "number":
                return self._number(self._take(), -1)
            case _, "-":
                at = self._next.at
                return Arithmetic("-", Constant(Kind.NUMBER, 0), self._as(Kind.NUMBER, self._expression(_MULTIPLY), at))
            case ("name" | "quoted") as kind, word if kind == "quoted" or word not in RESERVED:
                return self._name(lexeme)
        named = f', or "{shortened(lexeme.value)}" if that is a column' if lexeme.kind == "name" else ""
        wanted = f"write a name, a number, 'text', TRUE, FALSE or TIMESTAMP '…'{named}"
        return self._refuse(lexeme.at, f"{_shown(lexeme)} in place of a value", wanted)

    def _operation(self, left: Term, begin: int, own: int) -> Term:
        """What the next operator makes of the term before it, which begins at ``begin``."""
        at, word = self._next.at, _keyword(self._take())
        if word in ("AND", "OR"):
            return self._joined(word, left, begin, own)
        if own >= _ADD:
            left, after = self._as(Kind.NUMBER, left, begin), self._next.at
            return Arithmetic(word, left, self._as(Kind.NUMBER, self._expression(own), after))
        if word in _COMPARED:
            return self._comparison(_COMPARED[word], left, self._expression(_COMPARE), at)
        if word == "IS":
            negated = self._takes("NOT")
            self._expect("NULL", "IS NULL and IS NOT NULL are all that begins with IS")
            return _negated(negated, NullTest(left))
        if negated := word == "NOT":
            word = _keyword(self._take())
        if word == "IN":
            return _negated(negated, self._membership(left))
        if word == "BETWEEN":
            return _negated(negated, self._between(left, at))
        if word == "LIKE":
            return _negated(negated, self._like(self._as(Kind.TEXT, left, begin)))
        return self._refuse(at, "NOT after a value", "NOT IN, NOT LIKE and NOT BETWEEN may stand here")

    def _joined(self, word: str, left: Term, begin: int, own: int) -> Term:
        """All that the same word joins, one term, whatever parentheses are around some of them."""
        join: Callable[[tuple[Term, ...]], Conjunction | Disjunction] = Conjunction if word == "AND" else Disjunction
        terms = [self._as(Kind.BOOLEAN, left, begin)]
        while len(terms) == 1 or self._takes(word):
            at = self._next.at
            terms.append(self._as(Kind.BOOLEAN, self._expression(own), at))
        flat = [t.terms if isinstance(t, Conjunction | Disjunction) and type(t) is join else (t,) for t in terms]
        return join(tuple(t for some in flat for t in some))

    def _comparison(self, sign: str, left: Term, right: Term, at: int) -> Comparison:
        left, right = self._alike(left, right, at)
        if sign not in ("=", "<>") and kind_of(left) is Kind.BOOLEAN:
            self._refuse(at, "what is true or false has no order", "compare it with = or <>")
        if isinstance(left, Constant) and not isinstance(right, Constant):
            return Comparison(_MIRRORED[sign], right, left)
        return Comparison(sign, left, right)

    def _between(self, operand: Term, at: int) -> Conjunction:
        low = self._expression(_COMPARE)
        self._expect("AND", "write BETWEEN low AND high")
        high = self._expression(_COMPARE)
        ends = self._comparison(">=", operand, low, at), self._comparison("<=", operand, high, at)
        if kind_of(ends[0].left) is not kind_of(ends[1].left):  # a field of JSON is compared with either
            self._alike(low, high, at)
        return Conjunction(ends)

    def _membership(self, operand: Term) -> Membership:
        self._expect("(", "write IN (value, value)")
        values: list[Constant] = []
        while not values or self._takes(","):
            at = self._next.at
            value = self._operand(_LITERAL)
            if not isinstance(value, Constant) or value.kind is Kind.NULL:
                self._refuse(at, "IN takes literals, and no NULL", "write OR between comparisons, or OR … IS NULL")
            operand, _ = self._alike(operand, value, at)
            values.append(value)
        self._expect(")", "write IN (value, value)")
        return Membership(operand, tuple(values))

    def _like(self, operand: Term) -> LikePattern:
        pattern = self._text_after("LIKE")
        escape = self._text_after("ESCAPE") if self._takes("ESCAPE") else None
        if escape is not None and len(escape.value) != 1:
            self._refuse(escape.at, f"ESCAPE {_shown(escape)}", "name one character, such as '!'")
        within = None if escape is None else escape.value
        return LikePattern(operand, self._placed(pattern.at, lambda: pieces_of(pattern.value, within)))

    def _text_after(self, word: str) -> Lexeme:
        lexeme = self._take()
        if lexeme.kind != "text":
            self._refuse(lexeme.at, f"{_shown(lexeme)} after {word}", "write a text in single quotes")
        return lexeme

    # -- names and literals ---------------------------------------------------------

    def _name(self, first: Lexeme) -> Reference:
        self._count(first)
        parts = [first.value]
        while self._takes("."):
            part = self._take()
            if part.kind not in ("name", "quoted"):
                self._refuse(part.at, f"{_shown(part)} after a dot", 'write a field\'s name, in "" if it is no word')
            parts.append(part.value)
        if _keyword(self._next) == "(":
            self._refuse(first.at, f"{_shown(first)} is called", "there are no functions: write operators, or LIKE")
        return self._placed(first.at, lambda: find(parts, self._schema))

    def _number(self, lexeme: Lexeme, sign: int) -> Constant:
        """An integer if it is written as one and has 64 bits, else a float."""
        if lexeme.value.isdecimal() and len(lexeme.value) < 20 and -(2**63) <= sign * int(lexeme.value) < 2**63:
            return self._constant(lexeme, Kind.NUMBER, sign * int(lexeme.value))
        if math.isinf(value := sign * float(lexeme.value)):
            self._refuse(lexeme.at, "a number beyond 64 bits", "numbers reach to 1.7e308")
        return self._constant(lexeme, Kind.NUMBER, value)

    def _time(self, lexeme: Lexeme) -> Constant:
        try:
            return self._constant(lexeme, Kind.TIME, moment(lexeme.value))
        except ValueError:
            self._refuse(lexeme.at, f"{_shown(lexeme)} is no time", "write it as '2024-12-31T23:59:59Z'")

    def _constant(self, lexeme: Lexeme, kind: Kind, value: Value) -> Constant:
        self._count(lexeme)
        return Constant(kind, value)

    def _count(self, lexeme: Lexeme) -> None:
        self._terms += 1
        if self._terms > TERMS_LIMIT:
            self._refuse(lexeme.at, "too many names and literals", f"a condition has {TERMS_LIMIT} at most")

    # -- words, and errors at their place -------------------------------------------

    def _take(self) -> Lexeme:
        taken = self._next
        if taken.kind != "end":
            self._next = next(self._lexemes)
        return taken

    def _takes(self, word: str) -> bool:
        """Is this the next word? Then it is taken."""
        found = _keyword(self._next) == word
        if found:
            self._take()
        return found

    def _expect(self, word: str, instead: str) -> None:
        if not self._takes(word):
            self._refuse(self._next.at, f"{_shown(self._next)} in place of {word}", instead)

    def _as(self, kind: Kind, term: Term, at: int) -> Term:
        return self._placed(at, lambda: as_kind(kind, term))

    def _alike(self, left: Term, right: Term, at: int) -> tuple[Term, Term]:
        return self._placed(at, lambda: alike(left, right))

    def _placed(self, at: int, check: Callable[[], _T]) -> _T:
        """What the check finds; what does not fit is shown where it stands."""
        try:
            return check()
        except Unfit as error:
            self._refuse(at, error.wrong, error.instead)

    def _refuse_depth(self, at: int) -> NoReturn:
        self._refuse(at, "nested too deeply", f"a condition has {DEPTH_LIMIT} operators within one another at most")

    def _refuse(self, at: int, wrong: str, instead: str) -> NoReturn:
        refuse(self._text, at, wrong, instead)


def _keyword(lexeme: Lexeme) -> str:
    """A sign, or a word in capitals; empty for what can be neither."""
    if lexeme.kind == "name":
        return lexeme.value.upper() if lexeme.value.isascii() else ""
    return lexeme.value if lexeme.kind == "sign" else ""


def _shown(lexeme: Lexeme) -> str:
    return "the end" if lexeme.kind == "end" else f"'{shortened(lexeme.value)}'"


def _negated(negated: bool, term: Term) -> Term:
    return Negation(term) if negated else term
