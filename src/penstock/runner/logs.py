"""What the user's code logs: in Penstock's log, with its stage, and with the event where one alone is handled."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar

from ..telemetry import log_to

TALKATIVE = ("httpx", "httpcore", "urllib3", "asyncio")  # libraries that log each thing they do as information

handling: ContextVar[tuple[Callable[[int], str], int] | None] = ContextVar("handling", default=None)
"""How to tell the id of an event of this call, and which is under way; None: no single one is."""


def log_as(stage: str) -> None:
    """Everything from ``INFO`` on, whatever the logger is called."""
    log_to(sys.stderr, stage)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in root.handlers:
        handler.addFilter(Located(stage))


class Located(logging.Filter):
    """Adds the fields ``stage`` and, where it is known, ``event``."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage

    def filter(self, record: logging.LogRecord) -> bool:
        found = {"stage": self._stage}
        if (at := handling.get()) is not None and (event := at[0](at[1])):
            found["event"] = event
        record.fields = found | getattr(record, "fields", {})
        return True
