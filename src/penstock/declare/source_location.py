"""Where in the user's file something was declared."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

_ROOM = Path(__file__).parent
# What is declared of a destination is written beside it. The last is the __init__ that dataclass writes.
_OURS = (f"{_ROOM}{os.sep}", f"{_ROOM.with_name('destinations')}{os.sep}", "<string>")


_placed: ContextVar[bool] = ContextVar("placed", default=True)


@contextmanager
def nowhere() -> Iterator[None]:
    """What is declared meanwhile is in no file: whoever asked for it knows what he has written."""
    token = _placed.set(False)
    try:
        yield
    finally:
        _placed.reset(token)


def at_place(message: str) -> str:
    """With the place of the declaration under way before it, if that is in a file."""
    return f"{declaring_place()}: {message}" if _placed.get() else message


def declaring_frame() -> FrameType:
    """The nearest frame outside of us: the line of the user's file that declares something."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_OURS) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def declaring_place() -> str:
    """``file:line`` of the declaration under way."""
    frame = declaring_frame()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
