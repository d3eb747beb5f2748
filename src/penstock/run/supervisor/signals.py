"""Signals as something to wait for: the loop sleeps until one comes or its time is up."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any, Self

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """While entered: how often it was asked to stop, and a wait that any signal ends, a child's death too."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    @property
    def stop(self) -> bool:
        return self.count > 0

    def wait(self, seconds: float) -> bool:
        """Did a signal come within that time?"""
        if not select.select([self._heard], [], [], seconds)[0]:
            return False
        os.read(self._heard, 4_096)
        return True

    def __enter__(self) -> Self:
        # The wake-up descriptor, not an event set in a handler: a signal between a check and a sleep is not missed.
        self._heard, self._told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Who started us may have blocked them, which is inherited: by us, and from here on by the children.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOP, signal.SIGCHLD))
        for number in (*STOP, signal.SIGCHLD):
            self._before[number] = signal.signal(number, self._note)
        self._fd_before = signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._heard)
        os.close(self._told)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in STOP:
            self.count += 1
