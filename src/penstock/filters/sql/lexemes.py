"""The text of a condition as words, and the errors that point into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from ...errors import FilterInvalid

SHOWN_CHARS = 60  # characters of a name, and of a line to either side of what is wrong in it, that a message repeats

_WORDS = re.compile(
    r"""\s*(?:
      (?P<number> (?:[0-9]+(?:\.[0-9]*)? | \.[0-9]+) (?:[eE][+-]?[0-9]+)? )
    | (?P<name> [^\W\d]\w* )
    | (?P<quoted> "(?:[^"]|"")*+" )
    | (?P<text> '(?:[^']|'')*+' )
    | (?P<sign> <= | >= | <> | != | [=<>+*/%(),.] | -(?!-) )
    | (?P<end> \Z )
    )""",
    re.VERBOSE,
)
_INSTEAD = {
    "'": "a text that is not closed: end it with ', and write ' within it as ''",
    '"': 'a name that is not closed: end it with ", and write " within it as ""',
    "&": "write AND",
    "|": "write OR",
    "~": "write NOT",
    "!": "write NOT, or != between values",
    "-": "-- begins a comment in SQL, and there are none here: write - -1 with a space",
    ";": "one condition is all there is: leave it out",
    "`": 'write names that are no words in ""',
    "[": 'write names that are no words in ""; elements of a list cannot be named',
    "‘": "write texts in straight quotes, 'so'",
    "“": 'write names in straight quotes, "so"',
}


class Unfit(Exception):
    """What is wrong and what could be written, where only the parser knows the place."""

    def __init__(self, wrong: str, instead: str) -> None:
        super().__init__(wrong, instead)
        self.wrong, self.instead = wrong, instead


class Lexeme(NamedTuple):
    """``value``: of a name or a text without its quotes. ``at``: where it begins."""

    kind: str  # number, name, quoted (a name), text, sign, end
    value: str
    at: int


def lexemes(text: str) -> Iterator[Lexeme]:
    """The words of a condition, the last of kind ``end``. Raises ``FilterInvalid`` at what is none."""
    at = 0
    while True:
        found = _WORDS.match(text, at)
        if found is None or (kind := found.lastgroup) is None:
            at = len(text) - len(text[at:].lstrip())
            refuse(text, at, f"{text[at]!r} cannot be read here", _INSTEAD.get(text[at], "see the grammar of where"))
        value = found[kind]
        yield Lexeme(kind, _unquoted(value) if kind in ("quoted", "text") else value, found.start(kind))
        if kind == "end":
            return
        at = found.end()


def refuse(text: str, at: int, wrong: str, instead: str) -> NoReturn:
    """Raises ``FilterInvalid``: what is wrong, what could be written, and the line with a caret below the place."""
    begin = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    first = max(begin, at - SHOWN_CHARS)
    line = text[first : min(len(text) if end < 0 else end, at + SHOWN_CHARS)]
    shown = "".join(c if c.isprintable() else " " for c in line)
    raise FilterInvalid(f"{wrong}: {instead}\n  {shown}\n  {' ' * (at - first)}^")


def shortened(name: str) -> str:
    return name if len(name) <= SHOWN_CHARS else f"{name[:SHOWN_CHARS]}…"


def _unquoted(value: str) -> str:
    return value[1:-1].replace(value[0] * 2, value[0])
