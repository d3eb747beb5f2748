"""How deliveries go, for who looks: what endpoints answer, in a file for the gateway of the same run, and in metrics;
and the subscriptions that need a person, in /readyz."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from threading import Event

import msgspec

from ...clock import Clock
from ...destinations.interface import DestinationStatus
from ...notices import notices
from ...stages.deliver.handshakes.messages import HandshakeChanged
from ...stages.deliver.handshakes.state import AGAIN, HandshakeState
from ...stages.deliver.state import DeliveryState, Halt
from ...telemetry.metrics import gauge
from .deliveries import CourierComposition

SUBSCRIPTIONS = gauge("subscriptions", "Subscriptions to the outside in this state", "state")
BLOCKED = gauge("lanes_blocked", "Lanes that wait with a request which has failed", "subscription")
STATES = ("live", "behind", "paused", "disabled", "unproven")

LOOK_S = 1.0  # seconds between two looks
RARELY_S = 30.0  # and where one is dear: for longer than that nobody who looks is left with what was
SHARE = 0.002  # of a core that looks may cost
SHUT_S = 60.0  # seconds without a delivery to an endpoint, after which that is told


class DeliveryWatch:
    """``file``: what is written for the gateway; renamed into place. ``spent``: CPU seconds of the thread that looks;
    by the clock a look is as dear as the machine is busy."""

    def __init__(
        self, deliveries: CourierComposition, clock: Clock, file: Path, spent: Callable[[], float] = time.thread_time
    ) -> None:
        self._deliveries, self._clock, self._file, self._spent = deliveries, clock, file, spent
        self._view = deliveries.registry.view
        self._state, self._handshakes = self._view.areas.only(DeliveryState), self._view.areas.only(HandshakeState)
        self._shut: dict[str, float] = {}  # since when an endpoint takes nothing, monotonic
        self._told: set[str] = set()  # subscriptions with a notice that stands
        self._said = b""  # what the file holds
        self._cost = 0.0  # CPU seconds of the look before

    def run(self, stop: Event) -> None:
        """Until told to stop."""
        wait = 0.0
        while not stop.wait(wait):
            wait = self.look()

    def look(self) -> float:
        """Seconds until the next; with very many subscriptions a look is dear, and then it is taken less often."""
        began = self._spent()
        halted, behind, handshakes = self._look_at_state()
        self._look_at_lanes(behind)
        states = Counter[str]()
        endpoints: dict[str, DestinationStatus] = {}
        known = dict(self._deliveries.destinations)
        for name in self._told - known.keys():
            self._untell(name)
        for name, destination in known.items():
            if (subscription := self._deliveries.subscriptions.get(name)) is None:
                continue  # it goes just now
            destination.publish()
            status, halt = destination.status(), halted.get(name)
            unproven = subscription.unproven
            going = "unproven" if unproven else "behind" if name in behind else "live"
            states[halt.state if halt is not None else going] += 1
            if status.last is not None or status.why:
                endpoints[name] = status
            self._tell(name, status, halt, name in behind, handshakes.get(name) if unproven else None)
        for state in STATES:
            SUBSCRIPTIONS.labels(state).set(states[state])
        before, self._cost = self._cost, self._spent() - began
        usual = min(before, self._cost)  # the first one imports, and makes what others find
        wait = min(RARELY_S, max(LOOK_S, ceil(usual / SHARE)))
        self._write(msgspec.json.encode({"every": wait, "endpoints": endpoints}))
        return wait

    def _look_at_state(self) -> tuple[Mapping[str, Halt], set[str], Mapping[str, HandshakeChanged]]:
        """Which are halted, which are behind, and how handshakes are; as this process knows, which reads it all the
        time."""
        with self._view.lock:
            behind = {
                name
                for topic in list(self._deliveries.run_time.routers)
                for partition in range(self._deliveries.topic(topic).partitions)
                for name, position in self._state.of(topic, partition).items()
                if position.own
            }
            return dict(self._state.halted), behind, dict(self._handshakes.known)

    def _look_at_lanes(self, behind: set[str]) -> None:
        """Those that are ordered always have places of their own: they are behind while a lane is blocked."""
        with self._view.lock:
            found = self._state.blocked_by_name()
        ordered = [each.name for each in list(self._deliveries.subscriptions.values()) if each.ordered]
        blocked = Counter[str]()
        for name in ordered:
            blocked[self._deliveries.label(name)] += found[name]
            if not found[name]:
                behind.discard(name)
        for label, count in blocked.items():
            BLOCKED.labels(label).set(count)

    def _tell(
        self, name: str, status: DestinationStatus, halt: Halt | None, behind: bool, asked: HandshakeChanged | None
    ) -> None:
        """``asked``: the handshake of one that has not been granted it."""
        reason = mend = ""
        if not status.why:
            self._shut.pop(name, None)
        now = self._clock.monotonic()
        shut = bool(status.why) and now >= self._shut.setdefault(name, now) + SHUT_S
        if halt is not None and halt.state == "disabled":
            reason = f"subscription '{name}' is disabled: {halt.reason}"
            mend = f"mend its endpoint, then `penstock subscriptions resume {name}`: it goes on from where it was"
        elif halt is None and asked is not None and asked.step in AGAIN:
            how = "has failed" if asked.step == "failed" else "waits for somebody to open the URL that its endpoint got"
            reason = f"the handshake of subscription '{name}' {how}: {asked.reason}"
            mend = f"have its endpoint answer it (docs/webhooks.md), then `penstock subscriptions resume {name}`"
        elif halt is None and shut:
            waiting = ", and it is behind" if behind else ""
            reason = (
                f"the endpoint of subscription '{name}' has taken nothing for over {SHUT_S:g} s{waiting}: {status.why}"
            )
            mend = f"its last answer is in `penstock subscriptions show {name}`; it is tried again by itself"
        if reason:
            notices().tell(_key(name), reason, mend=mend)
            self._told.add(name)
        elif name in self._told:
            self._untell(name)

    def _untell(self, name: str) -> None:
        notices().settle(_key(name))
        self._told.discard(name)
        self._shut.pop(name, None)

    def _write(self, said: bytes) -> None:
        """Where nothing is new the file's time alone is. What cannot be written, on a full disk, is left unsaid, which
        the process's status tells."""
        try:
            if said == self._said:
                os.utime(self._file)
                return
            draft = self._file.with_name(f".{self._file.name}")
            draft.write_bytes(said)
            draft.replace(self._file)
            self._said = said
        except OSError:
            self._said = b""


def _key(subscription: str) -> str:
    return f"subscription {subscription}"
