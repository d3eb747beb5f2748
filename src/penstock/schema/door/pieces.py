"""A large body a piece at a time: whole events of it, so that no more than a piece is ever held as objects.

Where a piece ends is a guess, and is never trusted. A JSON array of events is valid, and holds just these events, if
each of its pieces between two commas is one that holds at least one event: so a piece is parsed as an array of its own,
and where a guess was wrong the commas between events are looked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import InvalidEvent, TooLarge
from .structure import COMMA, structure

PIECE_BYTES = 128 << 10  # which a parser reads in a millisecond or two: no other thread waits for longer
_BLANK = b" \t\r\n"
_BETWEEN = re.compile(rb"\}[ \t\r\n]*+(,)[ \t\r\n]*+\{")


@dataclass(frozen=True, slots=True)
class Start:
    """Where a piece begins in its body: after so many bytes and events."""

    byte: int = 0
    row: int = 0


WHOLE = Start()

T = TypeVar("T")
Decode = Callable[[bytes, Start], T]


def array_pieces(body: bytes, decode: Decode[T], rows_of: Callable[[T], int], event_limit: int) -> Iterator[T]:
    """What ``decode`` makes of each piece of an array of events, itself the text of an array.

    Raises what ``decode`` raises, rows counted in the whole body; ``TooLarge`` for an event over ``event_limit`` bytes,
    the white space around it included; ``InvalidEvent`` where nothing lies between two commas.
    """
    at, row = body.index(b"[") + 1, 0
    while (end := _guessed(body, at, event_limit)) is not None:
        try:
            found = decode(_array(body, at, end), Start(at - 1, row))
        except (InvalidEvent, TooLarge):
            break  # it ended in the middle of something, or there is a fault: the next loop finds out
        if not rows_of(found) and (row or end < len(body)):
            break
        yield found
        if end == len(body):
            return
        at, row = end + 1, row + rows_of(found)
    for end in _ends(body, at, row, event_limit):
        found = _placed(decode, _array(body, at, end), Start(at - 1, row))
        if not rows_of(found) and (row or end < len(body)):
            raise InvalidEvent("not JSON: no value between two commas", row=row)
        yield found
        at, row = end + 1, row + rows_of(found)


def line_pieces(body: bytes, decode: Decode[T], rows_of: Callable[[T], int], event_limit: int) -> Iterator[T]:
    """The same of lines; those without anything in them are left out. Raises what ``array_pieces`` raises."""
    at = row = 0
    while at < len(body):
        end = body.rfind(b"\n", at, at + PIECE_BYTES) + 1 or body.find(b"\n", at + PIECE_BYTES) + 1 or len(body)
        if end - at > event_limit and end - at > PIECE_BYTES:
            raise _too_large(row, end - at, event_limit)
        if text := re.sub(rb"\n[ \t\r\n]+", b"\n", body[at:end]).strip(_BLANK):
            found = _placed(decode, text, Start(at, row))
            yield found
            row += rows_of(found)
        at = end


def _array(body: bytes, at: int, end: int) -> bytes:
    """The last piece has the body's own bracket, and whatever may follow it."""
    return b"[" + body[at:end] + (b"]" if end < len(body) else b"")


def _placed(decode: Decode[T], text: bytes, start: Start) -> T:
    try:
        return decode(text, start)
    except InvalidEvent as error:
        row = None if error.row is None else error.row + start.row
        raise InvalidEvent(error.reason, row=row, field=error.field) from None


def _guessed(body: bytes, at: int, event_limit: int) -> int | None:
    """Probably a comma between two events: one between two objects."""
    if len(body) - at <= PIECE_BYTES:
        return len(body)
    found = _BETWEEN.search(body, at + PIECE_BYTES, at + PIECE_BYTES + event_limit)
    return found.start(1) if found else None


def _ends(body: bytes, at: int, row: int, event_limit: int) -> Iterator[int]:
    """Where pieces end, the last one with the body: at commas that, in valid JSON, are between events."""
    begin = last = at  # of the piece; of the event
    for commas, scanned in _commas(body, at):
        if len(commas):
            sizes = np.diff(commas, prepend=last)
            if (over := np.flatnonzero(sizes > event_limit + 1)).size:
                raise _too_large(row + int(over[0]), int(sizes[over[0]]) - 1, event_limit)
            row, last = row + len(commas), int(commas[-1]) + 1
        if scanned - last > event_limit + len(_BLANK):
            raise _too_large(row, scanned - last, event_limit)
        if last - begin > PIECE_BYTES:
            yield last - 1
            begin = last
    yield len(body)


def _too_large(row: int, size: int, limit: int) -> TooLarge:
    return TooLarge(f"row {row}: an event of {size} bytes or more; the limit is {limit}")


def _commas(body: bytes, at: int) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Block by block: the places of the commas that are neither in a string nor inside a value, and the block's end."""
    depth = 0
    for places, kinds, end in structure(body, at):
        steps = np.where(kinds == COMMA, 0, np.where(kinds & 0x04, -1, 1))
        levels = depth + np.cumsum(steps)
        yield places[(steps == 0) & (levels == 0)], end
        depth = int(levels[-1]) if len(levels) else depth
