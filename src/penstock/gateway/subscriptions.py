"""Subscriptions as one finds them: what each is, whether it is delivered to, what waits for it, and what its courier
says of the endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from ..batch import SYSTEM, Write
from ..clock import Clock
from ..errors import Corrupt, Overtaken, Unavailable
from ..log.interface import GroupState, ObservedLog, PartitionState, Reader, Seek
from ..models.registry import Registry
from ..plan.plan import SubscriptionSpec, path_of, router_of
from ..stages.deliver.handshakes.messages import RepeatHandshake, Step
from ..stages.deliver.handshakes.state import AGAIN, HandshakeState
from ..stages.deliver.lane_positions import LANES, BlockedLane
from ..stages.deliver.state import DeliveryState, Halt, SubscriptionChanged
from ..system.messages import to_rows
from .readiness import courier_says

MOST_SHOWN = 100  # lanes that are blocked
MOST_READ = 100  # places of one answer whose first event is read for its age
PATIENCE_S = 5.0  # seconds that a change may take to be seen
POLL_S = 0.01  # seconds between two looks for it
ANSWER = ("ok", "outcome", "status", "reason")
UNKNOWN = "no courier of this run says: it runs elsewhere, or is not up"


class Standings:
    """One look at several subscriptions; used by one thread, and closed."""

    def __init__(self, log: ObservedLog, registry: Registry, clock: Clock, status: Path) -> None:
        registry.refresh()
        self._log, self._clock, self._view = log, clock, registry.view
        self._deliveries = self._view.areas.only(DeliveryState)
        self._handshakes = self._view.areas.only(HandshakeState)
        self._groups: dict[str, list[GroupState]] = {}
        for group in log.groups():
            self._groups.setdefault(group.group, []).append(group)
        self._courier = courier_says(status)
        # The rest as it is asked for, once.
        self._own: dict[str, dict[str, dict[int, int]]] = {}
        self._partitions: dict[str, Mapping[int, PartitionState]] = {}
        self._readers: dict[str, Reader] = {}
        self._ages: dict[tuple[str, int, int], float | None] = {}

    def of(self, spec: SubscriptionSpec, *, served: bool = True) -> dict[str, Any]:
        """``served``: its source is in the app."""
        halt = self._deliveries.halted.get(spec.name) if spec.is_delivered else None
        failing = self._deliveries.failing.get(spec.name)
        behind = self._own_positions(spec.source).get(spec.name, {}) if spec.is_delivered else {}
        handshake, blocked = self._handshake(spec), self._blocked(spec)
        late = bool(behind) if blocked is None else bool(blocked)  # one that is ordered always has a place of its own
        return {
            "name": spec.name,
            "origin": "run-time" if spec.run_time else "file",
            "source": path_of(spec.source, spec.domain_topic),
            "event": spec.event,
            "where": spec.where,
            "filter": None if spec.filter is None else msgspec.to_builtins(spec.filter),
            "condition": spec.condition,
            "kind": spec.kind,
            "target": spec.receiver,
            "format": spec.format if spec.is_delivered else None,
            "options": spec.options,
            "attempts": spec.attempts,
            "ttl_seconds": spec.ttl,
            **(_state(halt, handshake, late) if served else _UNSERVED),
            "handshake": handshake,
            "failing_since": _time(failing) if failing else None,
            "backlog": self._backlog(spec, behind),
            "lanes": None if blocked is None else self._lanes(spec, blocked),
            "endpoint": self._endpoint(spec),
        }

    def _handshake(self, spec: SubscriptionSpec) -> dict[str, Any] | None:
        """None: its endpoint is not asked."""
        if spec.handshake == "none":
            return None
        known = self._handshakes.known.get(spec.name)
        return {
            "kind": spec.handshake,
            "step": "wanted" if known is None else known.step,
            "reason": "" if known is None else known.reason,
            "since": None if known is None else _time(known.at),
            "until": _time(known.until) if known is not None and known.step == "awaiting" else None,
            "per_minute": None if known is None else known.per_minute,
        }

    # -- lanes ----------------------------------------------------------------

    def _blocked(self, spec: SubscriptionSpec) -> list[tuple[int, BlockedLane]] | None:
        """With their partitions, those with the most attempts first; None: it has no lanes."""
        if not spec.ordered:
            return None
        with self._view.lock:
            found = [
                (state.partition, lane)
                for state in self._groups.get(router_of(spec.source), ())
                if (lanes := self._deliveries.lanes(spec.source, state.partition).get(spec.name)) is not None
                for lane in lanes.blocked
            ]
        return sorted(found, key=lambda each: each[1].attempts, reverse=True)

    def _lanes(self, spec: SubscriptionSpec, blocked: list[tuple[int, BlockedLane]]) -> dict[str, Any]:
        count = LANES * len(self._groups.get(router_of(spec.source), ()))
        shown = [
            {
                "lane": f"{partition}/{lane.lane}",
                "first": f"{spec.source}/{partition}/{lane.first}",
                "events": lane.events,
                "attempts": lane.attempts,
                "outcome": lane.outcome,
                "reason": lane.reason,
                "tried": _time(lane.tried) if lane.tried else None,
                "due": _time(lane.due) if lane.due else None,
            }
            for partition, lane in blocked[:MOST_SHOWN]
        ]
        return {"count": count, "blocked": len(blocked), "shown": shown}

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()

    # -- what waits -----------------------------------------------------------

    def _own_positions(self, source: str) -> Mapping[str, Mapping[int, int]]:
        """By subscription and partition, of those that do not follow their router."""
        if source not in self._own:
            found = self._own[source] = {}
            with self._view.lock:
                for state in self._groups.get(router_of(source), ()):
                    for name, position in self._deliveries.of(source, state.partition).items():
                        if position.own:
                            found.setdefault(name, {})[state.partition] = position.through
        return self._own[source]

    def _backlog(self, spec: SubscriptionSpec, behind: Mapping[int, int]) -> dict[str, Any] | None:
        """Events of the topic, whether or not they are for it, and the age of the oldest, where it is known. None:
        nobody has read the topic for it yet."""
        states = self._groups.get(router_of(spec.source) if spec.is_delivered else spec.name)
        if states is None:
            return None
        events, ages = 0, list[float | None]()
        for state in states:
            if state.partition in behind:
                there = self._partitions_of(spec.source)[state.partition]
                first = max(behind[state.partition] + 1, there.earliest)
                waiting = min(there.events, max(0, there.end - first))
                ages += [self._age(spec.source, state.partition, first)] if waiting else []
            else:
                waiting = state.lag_events
                ages += [state.lag_seconds]
            events += waiting
        return {"events": events, "seconds": None if None in ages else max(filter(None, ages), default=0.0)}

    def _partitions_of(self, topic: str) -> Mapping[int, PartitionState]:
        if topic not in self._partitions:
            self._partitions[topic] = {state.partition: state for state in self._log.partitions(topic)}
        return self._partitions[topic]

    def _age(self, topic: str, partition: int, position: int) -> float | None:
        """In seconds, of the first event from there on; None: it was not looked at."""
        place = (topic, partition, position)
        if place not in self._ages:
            self._ages[place] = None if len(self._ages) >= MOST_READ else self._read_age(*place)
        return self._ages[place]

    def _read_age(self, topic: str, partition: int, position: int) -> float | None:
        if (reader := self._readers.get(topic)) is None:
            reader = self._readers[topic] = self._log.reader(None, [topic], "subscriptions")
        reader.seek(Seek(topic, None, "pause"))
        reader.seek(Seek(topic, partition, position))
        reader.seek(Seek(topic, partition, "resume"))
        try:
            batches = reader.read(1, 0.0)
        except (Overtaken, Corrupt):
            return None
        appended = [int(batch.appended[0]) for batch in batches if batch.partition == partition and len(batch)]
        return max(0.0, (self._clock.now() - appended[0]) / 1e6) if appended else None

    # -- the endpoint ---------------------------------------------------------

    def _endpoint(self, spec: SubscriptionSpec) -> dict[str, Any] | None:
        """None of a topic."""
        if not spec.is_delivered:
            return None
        if self._courier is None:
            return {"unknown": UNKNOWN}
        said = self._courier.get(spec.name, {})
        delivered, failed = int(said.get("delivered", 0)), int(said.get("failed", 0))
        last = said.get("last")
        return {
            "delivered": delivered,
            "failed": failed,
            "success_rate": delivered / (delivered + failed) if delivered + failed else None,
            "closed_until": _time(said["opens_at"]) if said.get("opens_at") else None,
            "why": said.get("why", ""),
            "last": last and {name: last[name] for name in ANSWER} | {"at": _time(last["began"])},
        }


STATES: Mapping[Step, str] = {"asked": "asking", "wanted": "asking", "awaiting": "awaiting", "failed": "failed"}
"""What a subscription's state is called while its handshake is not granted."""


_UNSERVED = {
    "state": "failed",
    "reason": "the app has its source no more, or takes no subscriptions at run time",
    "since": None,
}


def _state(halt: Halt | None, handshake: Mapping[str, Any] | None, behind: bool) -> dict[str, Any]:
    """Its state, the reason and since when; the last two of what is not delivered to."""
    if halt is not None:
        return {"state": halt.state, "reason": halt.reason, "since": _time(halt.at)}
    if handshake is not None and handshake["step"] != "granted":
        return {"state": STATES[handshake["step"]], "reason": handshake["reason"], "since": handshake["since"]}
    return {"state": "behind" if behind else "live", "reason": "", "since": None}


def change(log: ObservedLog, registry: Registry, clock: Clock, name: str, *, paused: bool) -> None:
    """Pause a subscription, or resume one that is paused or disabled; on return this process knows of it. One that is
    as wished stays as it is, so what is disabled and paused stays disabled. Resuming has the endpoint asked again whose
    handshake has failed, or waits for somebody; that it is asked for is all that is known on return.

    Raises ``Unavailable`` where it was asked for, and is not seen in ``PATIENCE_S``.
    """
    deliveries, handshakes = registry.view.areas.only(DeliveryState), registry.view.areas.only(HandshakeState)
    registry.refresh()
    known = handshakes.known.get(name)
    if not paused and known is not None and known.step in AGAIN:
        log.append([Write(SYSTEM, 0, to_rows([RepeatHandshake(id=uuid4().hex, subscription=name)]))])
    if (name in deliveries.halted) == paused:
        return
    message = SubscriptionChanged(subscription=name, paused=paused, at=clock.now())
    log.append([Write(SYSTEM, 0, to_rows([message]))])
    deadline = clock.monotonic() + PATIENCE_S
    while True:
        registry.refresh()
        if _is_seen(message, deliveries.halted.get(name)):
            return
        if clock.monotonic() >= deadline:
            raise Unavailable(f"it is asked for, and not seen within {PATIENCE_S:g} s; look at /subscriptions/{name}")
        clock.sleep(POLL_S)


def _is_seen(message: SubscriptionChanged, halt: Halt | None) -> bool:
    if message.paused:
        return halt is not None
    return halt is None or halt.at >= message.at  # one that was disabled again meanwhile was resumed before


def _time(at: int) -> datetime:
    """``at``: microseconds since the epoch."""
    return datetime.fromtimestamp(at / 1e6, UTC)
