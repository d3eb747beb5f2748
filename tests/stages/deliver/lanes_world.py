"""One partition with an ordered subscription, without a log: what is published, stored, sent and seen, step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from penstock.batch import Batch, Indices, TopicSpec
from penstock.clock import ManualClock
from penstock.destinations.interface import Answer, DestinationStatus, Parcel
from penstock.stages.deliver.attempts import RetryPolicy
from penstock.stages.deliver.lane_positions import OrderedPosition
from penstock.stages.deliver.lanes import LaneTrack
from penstock.stages.deliver.ordered import OrderedDelivery
from penstock.stages.deliver.state import DeliveryState
from penstock.stages.deliver.subscriptions import Subscription
from penstock.stages.failures.dead import event_of
from penstock.system.messages import Message

KEYED = TopicSpec("in", pa.schema([("n", pa.int64()), ("key", pa.string())]), 1, key="key")
READ_ROWS = 64


@dataclass
class Window:
    """A destination whose answers are given by hand."""

    limit: int = 64
    open: bool = True
    under_way: deque[tuple[Parcel, Callable[[Parcel], None]]] = field(default_factory=deque)

    def room(self) -> int:
        return self.limit - len(self.under_way) if self.open else 0

    def send(self, parcels: Sequence[Parcel], settled: Callable[[Parcel], None]) -> None:
        assert len(parcels) <= self.room()
        self.under_way.extend((parcel, settled) for parcel in parcels)

    def status(self) -> DestinationStatus:
        return DestinationStatus()

    def close(self) -> None: ...


class LaneWorld:
    """``most``: events of a request. An event is a number with a key; its position is twice the number."""

    def __init__(self, most: int = 1, concurrency: int = 64, policy: RetryPolicy | None = None) -> None:
        self.clock = ManualClock()
        self.most, self.concurrency, self.policy = most, concurrency, policy or RetryPolicy(5, 3_600.0)
        self.keys: list[str | None] = []  # of each number
        self.appended: list[int] = []
        self.state = DeliveryState()
        self.accepted: set[int] = set()
        self.requests: list[tuple[int, ...]] = []
        self.dead: dict[int, str] = {}  # as it is stored
        self.dead_attempts: dict[int, int] = {}
        self.earliest = 0  # the first number that the topic still has
        self.offered = 0  # numbers that the router has read
        self.told: list[Message] = []
        self.late: list[Parcel] = []  # of those who died, still on their way
        self.window = Window()
        self.begin()

    # -- who delivers ---------------------------------------------------------

    def begin(self) -> None:
        """Another goes on from what is stored; what the one before had under way may arrive or not."""
        self.late += [parcel for parcel, _ in self.window.under_way]
        self.window = Window()
        format: Any = "cloudevents-batch" if self.most > 1 else "cloudevents"
        self.subscription = Subscription(
            "to", self.window, self.policy, format, self.most, ordered=True, concurrency=self.concurrency
        )
        self.delivery = OrderedDelivery(KEYED, "app", [self.subscription], self._only, self._read, self.clock)
        stored = self.state.lanes("in", 0).get("to")
        self.delivery.begin(0, 0, -1, stored)
        self.offered = len(self.keys)

    @property
    def track(self) -> LaneTrack:
        return self.delivery._tracks[0, 0]

    def publish(self, keys: Sequence[str | None]) -> None:
        self.keys += keys
        self.appended += [self.clock.now()] * len(keys)

    def offer(self) -> None:
        """The router reads what is new."""
        first, self.offered = self.offered, len(self.keys)
        if first < self.offered:
            batch = self._batch(range(first, self.offered))
            rows = np.arange(len(batch))
            self.delivery.offer(batch, rows, np.zeros(len(rows), np.int64), 2 * first - 2)

    def step(self, *, dies: bool = False) -> None:
        """``dies``: before what it says is stored."""
        if self.offered:
            self.delivery.step({0: 2 * self.offered - 2})
        if dies:
            self.begin()
            return
        for message in self.delivery.told:
            self.state.apply(message)
            self.told.append(message)
        for letter in self.delivery.letters:
            self.dead[event_of(letter.event).column("n")[0].as_py()] = letter.given_up or ""
            self.dead_attempts[letter.offset // 2] = letter.attempts
        self.delivery.told, self.delivery.letters = [], []
        self.check_memory()

    def check_memory(self) -> None:
        track = self.track
        held = sum(len(lane.held) + len(lane.head.events if lane.head else ()) for lane in track.lanes)
        pieces = {id(e.piece): e.piece for lane in track.lanes for e in lane.held}
        kept = sum(len(piece.batch) for piece in pieces.values())
        assert held <= 64 * self.most + track._ahead_rows and kept <= track._ahead_rows, "more is held than is counted"
        assert track._ahead_rows <= 64 * track._limit + READ_ROWS, "without bounds"

    # -- who receives ---------------------------------------------------------

    def answer(self, ok: bool = True, at: int = 0, **more: Any) -> None:
        """The request that has been under way for the longest, or that behind it."""
        parcel, settled = self.window.under_way[at]
        del self.window.under_way[at]
        began = more.pop("began", self.clock.now())
        if began:
            self._see(parcel, ok)
        parcel.answer = Answer(ok, "Delivered" if ok else "Busy", began=began, **more)
        settled(parcel)

    def arrive_late(self) -> None:
        self._see(self.late.pop(0), ok=True)

    def _see(self, parcel: Parcel, ok: bool) -> None:
        found = msgspec.json.decode(parcel.body)
        ns = [each["data"]["n"] for each in found] if isinstance(found, list) else [found["n"]]
        assert len({self.keys[n] for n in ns}) <= 1 or self.most > 1
        self.requests.append(tuple(ns))
        seen = set(self.accepted)
        for n in ns:
            if n not in seen:
                same = [m for m in range(self.earliest, n) if self.keys[m] == self.keys[n]]
                before = [m for m in same if m not in seen and m not in self.dead]
                assert not before, f"{n} has passed {before} of the key {self.keys[n]}"
            seen.add(n)
        if ok:
            self.accepted |= set(ns)

    def settle_all(self) -> None:
        """All that is left is answered well."""
        self.window.open = True
        self.subscription.paused = False
        for _ in range(10_000):
            self.offer()
            self.step()
            while self.window.under_way:
                self.answer()
            if self.track.position("in", "to").through == 2 * len(self.keys) - 2:
                self.clock.advance(2.0)
                self.step()
                self.step()
                break
            self.clock.advance(0.0 if self.delivery._behind else 10.0)
        lost = set(range(len(self.keys))) - self.accepted - set(self.dead)
        assert not lost, f"lost: {sorted(lost)}"
        assert not self.keys or self.state.of("in", 0)["to"].through == 2 * len(self.keys) - 2, "its place lies behind"

    # -- the topic ------------------------------------------------------------

    def _only(self, _: int, batch: Batch) -> Indices:
        return np.arange(len(batch), dtype=np.int64)

    def _read(self, _: int, __: int, after: int) -> Batch | None:
        first = max(after // 2 + 1, self.earliest)
        ns = range(first, min(first + READ_ROWS, len(self.keys)))
        return self._batch(ns) if len(ns) else None

    def _batch(self, ns: range) -> Batch:
        columns = [pa.array(list(ns), pa.int64()), pa.array([self.keys[n] for n in ns], pa.string())]
        rows = pa.RecordBatch.from_arrays(columns, schema=KEYED.schema)
        at = np.array(ns, np.int64) * 2
        return Batch("in", 0, at, np.array([self.appended[n] for n in ns], np.int64), rows)


def stored(world: LaneWorld) -> OrderedPosition:
    """As of now."""
    return world.track.position("in", "to")
