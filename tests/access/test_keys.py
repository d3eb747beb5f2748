"""A key is known by its shape, and by nothing that is kept of it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from penstock.access import keys


def test_a_key_is_random_and_whole() -> None:
    made = {keys.make() for _ in range(1_000)}
    assert len(made) == 1_000
    for key in made:
        assert keys.is_whole(key) and re.fullmatch(r"psk_[0-9A-Za-z]{38}", key)
        assert key[4:-6] not in keys.digest(key)
    assert keys.RANDOM_CHARS * 5 >= 128, "bits, five and more a character"


@given(st.integers(0, keys.LENGTH - 1), st.sampled_from(keys.ALPHABET + "_-\N{SNOWMAN}\0"))
def test_one_character_altered_is_no_key(at: int, character: str) -> None:
    key = keys.make()
    altered = key[:at] + character + key[at + 1 :]
    assert keys.is_whole(altered) == (altered == key)


@given(st.text(max_size=200))
def test_whatever_is_shown_is_looked_at(text: str) -> None:
    assert not keys.is_whole(text)


def test_cut_and_lengthened() -> None:
    key = keys.make()
    assert not any(keys.is_whole(text) for text in ("", key[:-1], key + "0", " " + key, keys.PREFIX))
