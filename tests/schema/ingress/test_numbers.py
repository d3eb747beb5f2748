"""Which numbers of a text are refused, and that what only looks like one is not."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.schema.ingress.numbers import DIGITS, unreadable

digits = st.integers(0, 10**12).map(str) | st.sampled_from([309, DIGITS - 1, DIGITS, DIGITS + 1]).map(lambda n: "1" * n)
fraction = st.just("") | st.sampled_from([".5", "." + "0" * 400 + "1", ".000123"])
exponent = st.just("") | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), digits)
number = st.builds("{}{}{}{}".format, st.sampled_from(["", "-"]), digits, fraction, exponent)
kept = number.filter(lambda n: not refused(n))
string = (number | st.text('\\"e+0123,:[] \n', max_size=12)).map(lambda text: msgspec.json.encode(text).decode())
space = st.sampled_from(["", " ", "\n"])


def refused(number: str) -> bool:
    """As a reader finds out: a whole number is an integer to him, any other a double."""
    return len(number) > DIGITS or (not number.removeprefix("-").isdigit() and math.isinf(float(number)))


def joined(values: list[str], between: str) -> bytes:
    return f"{between},{between}".join(values).encode()


@given(st.lists(kept | string | st.sampled_from(["true", "null", '{"e":1}'])), space)
def test_what_a_reader_can_hold_is_kept(values: list[str], between: str) -> None:
    assert unreadable(joined(values, between)) is None


@given(st.lists(kept | string), number.filter(refused), st.lists(kept | string), space)
def test_one_that_no_reader_could_hold_is_found_among_others(
    before: list[str], bad: str, after: list[str], between: str
) -> None:
    assert "beyond a double" in (unreadable(joined([*before, bad, *after], between)) or "")


def test_one_that_is_taken_for_a_text_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_if_in_a_string(quotes: Any, places: Any) -> Any:
        return places * 0 + 1

    monkeypatch.setattr(np, "searchsorted", as_if_in_a_string)
    assert unreadable(b"1e400") is None
