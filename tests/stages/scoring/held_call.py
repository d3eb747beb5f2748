"""A call that does not come back until it is let go."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any


class HeldCall:
    """``asked`` is set when somebody makes the call, which goes on once ``let`` is."""

    def __init__(self, call: Callable[..., Any] = lambda: None) -> None:
        self.asked, self.let = Event(), Event()
        self._call = call

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.asked.set()
        assert self.let.wait(60)
        return self._call(*given, **named)
