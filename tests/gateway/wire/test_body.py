"""Compressed bodies, part by part."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidEvent, TooLarge
from penstock.gateway.wire import body
from penstock.gateway.wire.body import Unpacked

PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}
encodings = pytest.mark.parametrize("encoding", PACK)


@encodings
@given(text=st.binary(max_size=200))
def test_the_parts_are_the_body(encoding: str, text: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body, "PART_BYTES", 16)
        found = Unpacked(PACK[encoding](text), encoding, 1_000)
        parts = list(found)
    assert b"".join(parts) == text and max(map(len, parts), default=0) <= 16 and found.size == len(text)


@encodings
def test_one_over_the_limit_is_refused_before_it_is_whole(encoding: str) -> None:
    found = Unpacked(PACK[encoding](b" " * (64 << 20)), encoding, 4 << 20)
    with pytest.raises(TooLarge, match="over the limit of 4194304 bytes once decompressed"):
        list(found)
    assert found.size <= 4 << 20


@encodings
@pytest.mark.parametrize("what", ["garbage", "cut short"])
def test_what_is_no_such_body_is_an_invalid_event(encoding: str, what: str) -> None:
    text = PACK[encoding](b"0123456789" * 50)
    with pytest.raises(InvalidEvent, match=f"the body is not whole {encoding}"):
        list(Unpacked(text[:-3] if what == "cut short" else b"0" + text, encoding, 1_000))
