"""A large body a piece at a time: whole events of it, so that no more than a piece is ever held as objects, and no more
is taken of a body that is unpacked meanwhile than it takes to find that it holds too much.

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
from .text import Text

PIECE_BYTES = 64 << 10  # which a parser reads in a millisecond or two: no other thread waits for longer
PIECE_EVENTS = 1_000  # likewise of events that are a few bytes each
FIRST_BYTES = 4 << 10  # of the first piece, the next is twice as long: a body that is none at all costs little
_BLANK = b" \t\r\n"
_SOME = re.compile(rb"[^ \t\r\n]")
_BETWEEN = re.compile(rb"\}[ \t\r\n]*+(,)[ \t\r\n]*+\{")


@dataclass(frozen=True, slots=True)
class PieceStart:
    """Where a piece begins in its body: after so many bytes and events."""

    byte: int = 0
    row: int = 0


WHOLE = PieceStart()

T = TypeVar("T")
Decode = Callable[[bytes, PieceStart], T]


def is_array(body: Text, event_limit: int) -> bool:
    """Move on to the first byte that is no white space: is it a bracket? Raises ``TooLarge`` for white space without
    an end."""
    while body.reach(body.at):
        found = body.search(_SOME, body.at, body.end)
        body.at = found if found >= 0 else body.end
        if body.at > event_limit:
            raise _too_large(0, body.at, event_limit)
        if found >= 0:
            return body.cut(found, found + 1) == b"["
    return False


def only_one(body: Text, event_limit: int) -> bytes:
    """All that is left of a body that is one event. Raises ``TooLarge``, before it has taken much more."""
    if body.reach(body.at + event_limit):
        raise _too_large(0, body.end - body.at, event_limit)
    return body.cut(body.at, body.end)


def array_pieces(body: Text, decode: Decode[T], rows_of: Callable[[T], int], event_limit: int) -> Iterator[T]:
    """What ``decode`` makes of each piece of an array of events, at whose bracket the body is; a piece is one as well.

    Raises what ``decode`` raises, rows counted in the whole body; ``TooLarge`` for an event over ``event_limit`` bytes,
    the white space around it included; ``InvalidEvent`` where nothing lies between two commas.
    """
    body.at += 1
    row = 0
    while (end := _guessed(body, event_limit)) is not None:
        try:
            found = decode(_array(body, end), PieceStart(body.at - 1, row))
        except (InvalidEvent, TooLarge):
            break  # it ended in the middle of something, or there is a fault: the next loop finds out
        if not rows_of(found) and (row or end < body.end):
            break
        yield found
        if end == body.end:
            return
        body.at, row = end + 1, row + rows_of(found)
    for end in _ends(body, row, event_limit):
        found = _placed(decode, _array(body, end), PieceStart(body.at - 1, row))
        if not rows_of(found) and (row or end < body.end):
            raise InvalidEvent("not JSON: no value between two commas", row=row)
        yield found
        body.at, row = end + 1, row + rows_of(found)


def line_pieces(body: Text, decode: Decode[T], rows_of: Callable[[T], int], event_limit: int) -> Iterator[T]:
    """The same of lines; those without anything in them are left out. Raises what ``array_pieces`` raises."""
    row = 0
    while body.reach(body.at):
        end = _line_end(body, row, event_limit)
        if text := re.sub(rb"\n[ \t\r\n]+", b"\n", body.cut(body.at, end)).strip(_BLANK):
            found = _placed(decode, text, PieceStart(body.at, row))
            yield found
            row += rows_of(found)
        body.at = end


def _line_end(body: Text, row: int, event_limit: int) -> int:
    """Behind the last line of a piece: a line longer than a piece is one."""
    least = _least(body)
    body.reach(least)
    if (lines := body.cut(body.at, least).count(b"\n")) > PIECE_EVENTS:
        least = body.at + (least - body.at) * PIECE_EVENTS // lines
    if (end := body.rfind(b"\n", body.at, least)) >= 0:
        return end + 1
    while (end := body.find(b"\n", body.at)) < 0:
        if body.end - body.at > max(event_limit, PIECE_BYTES):
            raise _too_large(row, body.end - body.at, event_limit)
        if not body.reach(body.end):
            return body.end
    if end + 1 - body.at > max(event_limit, PIECE_BYTES):
        raise _too_large(row, end + 1 - body.at, event_limit)
    return end + 1


def _array(body: Text, end: int) -> bytes:
    """The last piece has the body's own bracket, and whatever may follow it."""
    return b"[" + body.cut(body.at, end) + (b"]" if end < body.end else b"")


def _placed(decode: Decode[T], text: bytes, start: PieceStart) -> T:
    try:
        return decode(text, start)
    except InvalidEvent as error:
        row = None if error.row is None else error.row + start.row
        raise InvalidEvent(error.reason, row=row, field=error.field) from None


def _least(body: Text) -> int:
    """Where to look for the end of the next piece."""
    return body.at + min(PIECE_BYTES, FIRST_BYTES + body.at)


def _guessed(body: Text, event_limit: int) -> int | None:
    """Probably a comma between two events: one between two objects."""
    least = _least(body)
    if not body.reach(least):
        return body.end
    most = least + min(event_limit, PIECE_BYTES)
    body.reach(most)
    found = body.search(_BETWEEN, least, most)
    return found if found >= 0 else None


def _ends(body: Text, row: int, event_limit: int) -> Iterator[int]:
    """Where pieces end, the last one with the body: at commas that, in valid JSON, are between events."""
    last = body.at  # of the event; the piece's own is moved on by who takes these
    for commas, scanned in _commas(body):
        if len(commas):
            sizes = np.diff(commas, prepend=last)
            if (over := np.flatnonzero(sizes > event_limit + 1)).size:
                raise _too_large(row + int(over[0]), int(sizes[over[0]]) - 1, event_limit)
            row, last = row + len(commas), int(commas[-1]) + 1
        if scanned - last > event_limit + len(_BLANK):
            raise _too_large(row, scanned - last, event_limit)
        yield from commas[PIECE_EVENTS - 1 :: PIECE_EVENTS].tolist()
        if last - body.at > PIECE_BYTES:
            yield last - 1
    yield body.end


def _too_large(row: int, size: int, limit: int) -> TooLarge:
    return TooLarge(f"row {row}: an event of {size} bytes or more; the limit is {limit}")


def _commas(body: Text) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Block by block: the places of the commas that are neither in a string nor inside a value, and the block's end."""
    depth = 0
    for places, kinds, end in structure(body):
        steps = np.where(kinds == COMMA, 0, np.where(kinds & 0x04, -1, 1))
        levels = depth + np.cumsum(steps)
        yield places[(steps == 0) & (levels == 0)], end
        depth = int(levels[-1]) if len(levels) else depth
