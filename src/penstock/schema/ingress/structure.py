"""The brackets and commas of a JSON text, without a loop over its characters and without its objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from .text import Text

COMMA = 0x2C
BLOCK_BYTES = 65_536  # scanned at once, which stays in the processor's cache


def structure(body: Text) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], int]]:
    """Block by block, from where the body is read: the places of what is in no string, what each is, and where the
    block ends.

    Exact for valid JSON, if it does not begin in a string; of other text it may say anything.
    """
    inside, at = 0, body.at
    while body.reach(at):
        body.reach(at + BLOCK_BYTES)
        text = body.cut(at, at + BLOCK_BYTES)
        if (len(text) - len(text.rstrip(b"\\"))) % 2:  # what a backslash escapes is in its block
            text = body.cut(at, at + BLOCK_BYTES + 1)
        # A quote then begins or ends a string: what follows a backslash is gone, pairs of backslashes first.
        plain = text.replace(rb"\\", b"__").replace(rb"\"", b"__") if b"\\" in text else text
        block = np.frombuffer(plain, np.uint8)
        quotes = np.cumsum(block == 0x22, dtype=np.int32) + inside
        folded = block | 0x20  # [ and { differ in one bit, as ] and } do, and no third byte becomes one when it is set
        marks = np.flatnonzero((folded == 0x7B) | (folded == 0x7D) | (block == COMMA))
        marks = marks[quotes[marks] % 2 == 0]
        at += len(text)
        inside = int(quotes[-1]) % 2
        yield marks + (at - len(text)), block[marks], at


def has_more(parts: Iterable[bytes], values: int) -> bool:
    """Would reading what they are together make more than ``values`` objects and lists, or elements of these? No more
    parts are taken than it takes to find out."""
    opened = commas = 0
    body = Text(parts)
    for _, kinds, end in structure(body):
        body.at = end
        commas += int(np.count_nonzero(kinds == COMMA))
        opened += int(np.count_nonzero((kinds == 0x5B) | (kinds == 0x7B)))
        if max(opened, commas) > values:
            return True
    return False
