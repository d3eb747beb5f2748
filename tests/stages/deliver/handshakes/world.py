"""Couriers that ask endpoints, and the owner that answers them, over any log and on a clock moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.stages.deliver.handshakes.owner import Owner

from penstock.batch import SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.destinations.interface import Consent, DestinationStatus, Invitation, Parcel
from penstock.log.memory import MemoryLog
from penstock.stages.deliver.handshakes.asking import AskedEndpoint, Handshakes
from penstock.stages.deliver.handshakes.messages import RepeatHandshake
from penstock.stages.deliver.handshakes.state import HandshakeState
from penstock.stages.deliver.subscriptions import Subscription
from penstock.system.messages import to_rows
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.system.view import View

PATIENCE_S = 300.0


class Door:
    """An endpoint outside: what it was asked, and when; it answers when a test has it do so."""

    open = True

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked: list[tuple[float, Invitation]] = []
        self.kept_to: list[int] = []
        self._waiting: list[Callable[[Consent], None]] = []

    def ask(self, invitation: Invitation, answered: Callable[[Consent], None]) -> None:
        self.asked.append((self.clock.monotonic(), invitation))
        self._waiting.append(answered)

    def answer(self, consent: Consent) -> None:
        self._waiting.pop(0)(consent)

    @property
    def waits(self) -> bool:
        """It has not answered what it was asked last."""
        return bool(self._waiting)

    def keep_to(self, per_minute: int) -> None:
        self.kept_to.append(per_minute)

    def room(self) -> int:
        return 1

    def send(self, parcels: Sequence[Parcel], settled: Callable[[Parcel], None]) -> None: ...

    def status(self) -> DestinationStatus:
        return DestinationStatus()

    def close(self) -> None: ...


class World:
    """``names``: subscriptions of every courier."""

    def __init__(self, *names: str, log: Any = None) -> None:
        self.clock = ManualClock()
        self.log: Any = log or MemoryLog(self.clock)
        for topic in (TopicSpec(SYSTEM, partitions=1), SNAPSHOT_TOPIC):
            self.log.create(topic)
        self.owner = Owner(self.log, self.clock)
        self.names = names or ("s",)

    def courier(self, endpoint: str = "e", callbacks: str = "https://a.example/handshakes") -> CourierOfDoors:
        return CourierOfDoors(self, endpoint, callbacks)

    def answer(self, *couriers: CourierOfDoors) -> None:
        """The owner answers, and all know."""
        self.owner.answer()
        for courier in couriers:
            courier.look()

    def repeat(self) -> None:
        self.log.append([Write(SYSTEM, 0, to_rows([RepeatHandshake(id="r", subscription="s")]))])
        self.owner.answer()


class CourierOfDoors:
    def __init__(self, world: World, endpoint: str, callbacks: str) -> None:
        self.world = world
        self.doors = {name: Door(world.clock) for name in world.names}
        self.subscriptions = {name: Subscription(name, door, unproven=True) for name, door in self.doors.items()}
        asked = [AskedEndpoint(self.subscriptions[name], door, endpoint) for name, door in self.doors.items()]
        view = View(world.log, [HandshakeState()], world.clock, "courier")
        self.handshakes = Handshakes(world.log, view, world.clock, asked, callbacks, PATIENCE_S)
        self.look = self.handshakes.look

    @property
    def door(self) -> Door:
        return self.doors["s"]

    @property
    def goes(self) -> bool:
        return not self.subscriptions["s"].halted

    def begin(self) -> None:
        self.look()
        self.world.answer(self)

    def hear(self, consent: Consent) -> str | None:
        """The endpoint answers, and what is known then."""
        self.door.answer(consent)
        self.look()
        self.world.answer(self)
        return self.world.owner.step()
