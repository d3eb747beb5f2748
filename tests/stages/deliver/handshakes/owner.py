"""The owner of ``penstock.system``, as far as handshakes go, and a courier's part in them, over any log."""

from __future__ import annotations

from typing import Any

import numpy as np

from penstock.batch import SYSTEM, Write
from penstock.clock import ManualClock
from penstock.stages.deliver.handshakes.messages import HandshakeChanged
from penstock.stages.deliver.handshakes.state import HandshakeState
from penstock.system.messages import to_rows
from penstock.system.owner import answer
from penstock.system.view import View


class Owner:
    """Answers what was asked for since it looked last."""

    def __init__(self, log: Any, clock: ManualClock, member: str = "owner") -> None:
        self.log, self.clock = log, clock
        self.view = View(log, [HandshakeState()], clock, member)
        self.state = self.view.areas.only(HandshakeState)
        self._reader = log.reader(None, [SYSTEM], member)

    def answer(self) -> None:
        for batch in self._reader.read(10_000, 0.0):
            self.view.refresh()
            events, parents = answer(self.view.areas, batch.rows, now=self.clock.now())
            assert len(events) == len(np.unique(parents)), "a command has one answer at most"
            if events:
                self.log.append([Write(SYSTEM, 0, to_rows(events))])
        self.view.refresh()

    def step(self, subscription: str = "s") -> str | None:
        found = self.known(subscription)
        return None if found is None else found.step

    def known(self, subscription: str = "s") -> HandshakeChanged | None:
        self.view.refresh()
        return self.state.known.get(subscription)

    def close(self) -> None:
        self._reader.close()
        self.view.close()
