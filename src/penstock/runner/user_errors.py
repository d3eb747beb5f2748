"""What the user's code raised, as plain data."""

from __future__ import annotations

import sys
import traceback

from ..errors import Reject, TaskFailed, Unavailable
from .interface import RowFailure

REASON_LIMIT_CHARS, TRACEBACK_LIMIT_CHARS = 2_000, 8_000  # characters


def task_failed(error: BaseException) -> TaskFailed:
    return TaskFailed(_name(error), _reason(error), _trace(error), isinstance(error, Unavailable), is_transient(error))


def row_failed(row: int, error: BaseException) -> RowFailure:
    if isinstance(error, Reject):
        return RowFailure(row, _name(error), _reason(error), rejected=True)
    return RowFailure(row, _name(error), _reason(error), _trace(error), transient=is_transient(error))


def is_transient(error: BaseException) -> bool:
    """Is it of the kind that passes: the operating system's errors (a connection, a time-out), httpx's transport?

    A missing file and a missing right are the operating system's too, and stay.
    """
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError)
    httpx = sys.modules.get("httpx")  # only where the user's code imported it
    return httpx is not None and isinstance(error, httpx.TransportError)


def _name(error: BaseException) -> str:
    return type(error).__name__


def _reason(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as worse:
        text = f"(its message could not be made: {type(worse).__name__})"
    if isinstance(error, SystemExit):
        text = f"the code called exit({text})"
    return _printable(text or _name(error))[:REASON_LIMIT_CHARS]


def _trace(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error, limit=-20))
    except Exception as worse:
        text = f"(its traceback could not be made: {type(worse).__name__})"
    return _printable(text)[-TRACEBACK_LIMIT_CHARS:]


def _printable(text: str) -> str:
    """Without lone surrogates, which neither JSON nor Arrow can hold."""
    return text.encode("utf-8", "replace").decode()
