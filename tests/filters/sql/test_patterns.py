from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.filters.sql.lexemes import Unfit
from penstock.filters.sql.patterns import WILDCARDS_LIMIT, pieces_of, regex_of


@pytest.mark.parametrize(
    ("pattern", "escape", "pieces"),
    [
        ("", None, ("",)),
        ("ab", None, ("ab",)),
        ("%", None, ("", "%", "")),
        ("a%_b", None, ("a", "_%", "b")),
        ("%%__%", None, ("", "__%", "")),
        ("a!%b", "!", ("a%b",)),
        ("!!%", "!", ("!", "%", "")),
        ("a%%b", "%", ("a%b",)),
        ("a\\%", None, ("a\\", "%", "")),
    ],
)
def test_pieces(pattern: str, escape: str | None, pieces: tuple[str, ...]) -> None:
    assert pieces_of(pattern, escape) == pieces


@pytest.mark.parametrize("pattern", ["a!b", "!", "%!"])
def test_an_escape_that_escapes_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(Unfit, match="stands before"):
        pieces_of(pattern, "!")


def test_wildcards_are_bounded() -> None:
    assert pieces_of("_" * WILDCARDS_LIMIT, None)
    assert pieces_of("%" * 10_000, None) == ("", "%", "")
    for pattern in ("_" * (WILDCARDS_LIMIT + 1), "%a" * (WILDCARDS_LIMIT + 1)):
        with pytest.raises(Unfit, match=f"{WILDCARDS_LIMIT} at most"):
            pieces_of(pattern, None)


def _like(pattern: str, text: str) -> bool:
    """By its words: ``%`` any text, ``_`` any character."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_like(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and _like(pattern[1:], text[1:])


@given(st.text("ab.%_[\\", max_size=6), st.text("ab.%_[\\\n", max_size=6))
def test_a_pattern_means_what_its_characters_say(pattern: str, text: str) -> None:
    found = re.fullmatch(regex_of(pieces_of(pattern, None)).replace(r"\z", r"\Z"), text)
    assert (found is not None) == _like(pattern, text)
