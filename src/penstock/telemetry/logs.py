"""Structured logs, through the standard library to stderr: short lines on a terminal, one JSON object a line elsewhere
or with ``PENSTOCK_LOG=json``."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

LOG_ENV = "PENSTOCK_LOG"  # json or text


class Logger(logging.LoggerAdapter[logging.Logger]):
    """A standard logger whose keyword arguments become fields: ``log.warning("lease lost", topic="t")``."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        own = {k: v for k, v in kwargs.items() if k in ("exc_info", "stack_info", "stacklevel")}
        return msg, own | {"extra": {"fields": {k: v for k, v in kwargs.items() if k not in own}}}


def logger(name: str) -> Logger:
    """``name`` is the module's ``__name__``."""
    return Logger(logging.getLogger(name), {})


COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}


class JsonLines(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self.role,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        # A field never hides what every line has: tools filter on those.
        entry = _fields(record) | entry
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class ShortLines(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        colour = COLOURS.get(record.levelname, "")
        fields = "".join(f" \033[2m{k}={v}\033[0m" for k, v in _fields(record).items())
        line = f"\033[2m{at} {self.role:<10}\033[0m {colour}{record.getMessage()}{colour and chr(27) + '[0m'}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return dict(getattr(record, "fields", {}))


def log_to(stream: TextIO, role: str, *, level: int = logging.INFO, kind: str | None = None) -> None:
    """Send every log line of this process to ``stream``. ``kind`` is ``json``, ``text`` or None: by terminal."""
    kind = kind or os.environ.get(LOG_ENV) or ("text" if stream.isatty() else "json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(role) if kind == "json" else ShortLines(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(level)


def log_to_stderr(role: str) -> None:
    """The usual call at the start of a process; ``role`` is its name in every line: ``gateway``, ``worker-1``."""
    log_to(sys.stderr, role)
