from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.schema.ingress import depth
from penstock.schema.ingress.depth import exceeds, opened

TEXTS = st.text(alphabet='ab"\\[]{}', max_size=6)
VALUES = st.recursive(TEXTS | st.none(), lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3))


def levels(value: object) -> int:
    """Counted on the value itself, not on its text."""
    if isinstance(value, dict):
        return 1 + max(map(levels, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(levels, value), default=0)
    return 0


@given(VALUES)
def test_depth_is_that_of_the_value_whatever_its_texts_hold(value: object) -> None:
    body = msgspec.json.encode(value)
    assert exceeds(body, levels(value)) is False
    assert levels(value) == 0 or exceeds(body, levels(value) - 1) is True


def test_strings_and_depth_go_on_from_block_to_block() -> None:
    block = depth._BLOCK_BYTES
    nested = b"[" + b'"' + b"[" * block + b'",' + b"[" * 5 + b'"' + b"]" * block + b'"' + b"]" * 6
    assert exceeds(nested, 6) is False and exceeds(nested, 5) is True


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_opening_brackets_are_counted_alike_in_small_and_large_bodies(lists: int, others: int) -> None:
    assert opened(b"[{" * lists + b"]}x" * others) == 2 * lists
