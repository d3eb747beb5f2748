"""The ordered subscriptions of one topic: in each partition 64 lanes by key, and one request at a time in each.

What may be tried again waits in its place, and its lane with it; what is given up is a dead letter in its place, and
its lane goes on once that is stored. Other lanes go on. How far each lane has come is a row of ``penstock.system``,
with the attempts of those that wait: so whoever goes on from there begins each lane with what it waited for, and what
a receiver gets for the first time it gets in the order of the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import count

import numpy as np

from ...batch import Batch, Indices, TopicSpec
from ...clock import Clock
from ...destinations.interface import Answer, Parcel
from ...schema.egress.rendered import Rendered
from ...system.messages import Message
from .attempts import EXPIRED, RUNGS_S, RetryPolicy, given_up, is_expired, rung_after
from .lane_positions import LanePositions, OrderedPosition
from .lanes import HeldEvent, LaneRequest, LaneTrack, OrderedLane
from .retry import WaitingDelivery, waiting_of
from .subscriptions import Subscription
from .tracks import PATIENCE_S

SAVE_S = 1.0  # seconds between two stores of a position that moves
SETTLING_S = 0.005  # seconds between two looks at what is under way: the next of a lane waits for it
WAITING_S = 0.25  # the same, where all wait for their endpoints
UNSENT_S = 1.0  # seconds until the next try of what could not be sent, where nobody says how long
TURNS = 4  # reads in one pass

Only = Callable[[int, Batch], Indices]
"""The rows of a batch that are for a subscription."""
ReadBehind = Callable[[int, int, int], Batch | None]
"""The next rows for a subscription in a partition, behind a position; None: there are none."""


class OrderedDelivery:
    """For the router's thread; endpoints settle from theirs, into ``_settled`` alone.

    ``told``: what is to be stored of positions and endpoints, and ``letters``: what is given up, both in the commit of
    this pass. When the next begins, that is stored: else all partitions would have been revoked.
    """

    def __init__(
        self,
        topic: TopicSpec,
        app: str,
        subscriptions: Sequence[Subscription],
        only: Only,
        read: ReadBehind,
        clock: Clock,
    ) -> None:
        self.told: list[Message] = []
        self.letters: list[WaitingDelivery] = []
        self._topic, self._app, self._subscriptions, self._only = topic, app, subscriptions, only
        self._read, self._clock = read, clock
        self._tracks: dict[tuple[int, int], LaneTrack] = {}  # by subscription and partition
        self._behind: dict[LaneTrack, None] = {}  # those with something to read, perhaps; in the order of turns
        self._look_at = 0.0  # when all positions are looked at next, monotonic
        self._ready: dict[int, dict[OrderedLane, None]] = {}  # lanes with something to send, by subscription
        self._under_way: dict[int, int] = {}  # requests, by subscription
        self._waiting: list[tuple[int, int, LaneRequest]] = []  # a heap by when each is due
        self._count = count()
        self._flying: deque[LaneRequest] = deque()  # in the order of sending
        self._settled: deque[LaneRequest] = deque()
        self._passing: list[OrderedLane] = []  # whose request is given up, as this pass stores

    # -- partitions -----------------------------------------------------------

    def begin(self, subscription: int, partition: int, through: int, stored: LanePositions | None) -> None:
        most = self._subscriptions[subscription].batch_events
        track = LaneTrack(subscription, self._topic, partition, through, stored, most)
        self._tracks[subscription, partition] = track
        self._behind[track] = None
        self._look_at = 0.0
        self._ready.setdefault(subscription, {})
        self._under_way.setdefault(subscription, 0)

    def revoked(self, partition: int) -> None:
        """What is under way goes on, and nobody counts it any more."""
        self._give_back([track for (_, whose), track in self._tracks.items() if whose == partition])
        self.told, self.letters = [], []

    def end(self, subscription: int) -> dict[int, OrderedPosition]:
        """As ``revoked``, in every partition; between two passes. How far it was in each."""
        ended = [track for (whose, _), track in self._tracks.items() if whose == subscription]
        name = self._subscriptions[subscription].name
        positions = {track.partition: track.position(self._topic.name, name) for track in ended}
        self._give_back(ended)
        return positions

    def _give_back(self, tracks: Sequence[LaneTrack]) -> None:
        for track in tracks:
            del self._tracks[track.subscription, track.partition]
            track.alive = False
            self._behind.pop(track, None)
            for lane in track.lanes:
                self._ready[track.subscription].pop(lane, None)
                if lane.head is not None and lane.head.under_way:
                    self._under_way[track.subscription] -= 1
        self._passing = [lane for lane in self._passing if lane.track.alive]
        self._waiting = [each for each in self._waiting if each[2].lane.track.alive]
        heapify(self._waiting)
        self.told, self.letters = [], []  # of a pass that came to nothing

    # -- a pass ---------------------------------------------------------------

    def offer(self, batch: Batch, rows: Indices, whose: Indices, before: int) -> None:
        """What the router has read, for those that are as far; the others will read it themselves. ``before``: the
        position that it follows."""
        for (subscription, partition), track in self._tracks.items():
            if partition != batch.partition:
                continue
            if not self._subscriptions[subscription].halted:
                self._take(track, batch, rows[whose == subscription], before, batch.through)
            if track.lags(batch.through):
                self._behind[track] = None

    def step(self, fronts: Mapping[int, int]) -> None:
        """``fronts``: through which row there is something, by partition."""
        for lane in self._passing:
            self._go_on(lane)
        self._passing = []
        self._land()
        self._look_at_time()
        self._catch_up(fronts)
        for subscription in self._ready:
            self._send(subscription)
        self._look_at_positions()

    def wake(self) -> float | None:
        """Seconds until the next pass, though nothing comes; None: nothing is to do."""
        if not self._tracks:
            return None
        if self._passing:
            return 0.0
        found = [SETTLING_S] if any(self._under_way.values()) else []
        waiting = {subscription for subscription, ready in self._ready.items() if ready}
        waiting |= {track.subscription for track in self._behind}
        found += [SETTLING_S if self._room(subscription) > 0 else WAITING_S for subscription in waiting]
        if self._waiting:
            found.append(max(SETTLING_S, (self._waiting[0][0] - self._clock.now()) / 1e6))
        if any(track.moved for track in self._tracks.values()):
            found.append(max(0.0, self._look_at - self._clock.monotonic()))
        return min(found, default=None)

    # -- what comes -----------------------------------------------------------

    def _catch_up(self, fronts: Mapping[int, int]) -> None:
        """Some reads for those whose lanes have room, and whose endpoints do."""
        turns = 0
        for track in list(self._behind):
            if turns == TURNS:
                break
            start = track.next_start(front := fronts[track.partition])
            if start is None:  # until one of its lanes goes on
                del self._behind[track]
                continue
            if self._subscriptions[track.subscription].room() <= 0:
                continue
            turns += 1
            self._behind[track] = self._behind.pop(track)
            batch = self._read(track.subscription, track.partition, start)
            if batch is None:
                track.skip(start, front)
                continue
            first, last = np.searchsorted(batch.positions, [start, front], side="right").tolist()
            through, batch = min(batch.through, front), batch.slice(first, last)
            if len(batch):
                self._take(track, batch, self._only(track.subscription, batch), start, through)
            else:
                track.skip(start, through)

    def _take(self, track: LaneTrack, batch: Batch, rows: Indices, after: int, through: int) -> None:
        def render(part: Batch) -> list[Rendered]:
            every = np.arange(len(part), dtype=np.int64)
            return self._subscriptions[track.subscription].render(part, every, self._topic, self._app)

        ready = self._ready[track.subscription]
        for lane in track.take(batch, rows, after, through, render):
            if lane.head is None:
                ready[lane] = None

    # -- sending --------------------------------------------------------------

    def _room(self, n: int) -> int:
        subscription = self._subscriptions[n]
        return min(subscription.room(), subscription.concurrency - self._under_way[n])

    def _send(self, n: int) -> None:
        subscription, ready = self._subscriptions[n], self._ready[n]
        room, now = self._room(n), self._clock.now()
        parcels: list[Parcel] = []
        for lane in list(ready) if room > 0 else ():
            if len(parcels) >= room:
                break
            del ready[lane]
            head = lane.head or lane.form(subscription.batches, subscription.batch_events)
            if head is None:
                if lane.held:  # it waits for the rest of what was tried together
                    ready[lane] = None
            elif not self._expire(head, now):
                if head.due > now:
                    self._wait(head)
                else:
                    parcels.append(self._parcel(head, subscription))
        if parcels:
            self._under_way[n] += len(parcels)
            subscription.destination.send(parcels, self._settle)

    def _parcel(self, head: LaneRequest, subscription: Subscription) -> Parcel:
        head.under_way, head.since, head.answer = True, self._clock.monotonic(), None
        self._flying.append(head)
        places = [f"{self._topic.name}/{head.lane.track.partition}/{event.position}" for event in head.events]
        return subscription.parcel(places, [event.part for event in head.events], head.attempts + 1, head)

    def _settle(self, parcel: Parcel) -> None:
        """In the destination's thread."""
        head = parcel.sender
        assert isinstance(head, LaneRequest)
        head.answer = parcel.answer
        self._settled.append(head)

    # -- what has come back ---------------------------------------------------

    def _land(self) -> None:
        while self._settled:
            head = self._settled.popleft()
            lane, n = head.lane, head.lane.track.subscription
            if not lane.track.alive or lane.head is not head:
                continue  # of a partition that was given back
            answer = head.answer
            assert answer is not None
            head.under_way = False
            self._under_way[n] -= 1
            subscription = self._subscriptions[n]
            if (told := subscription.note(answer)) is not None:
                self.told.append(told)
            if answer.ok:
                self._go_on(lane)
                continue
            if not answer.began and not answer.final:  # it was not sent
                wait_s = UNSENT_S if answer.retry_after_s is None else answer.retry_after_s
                self._block(head, wait_s)
                continue
            head.attempts, head.failed = head.attempts + bool(answer.began), answer
            if (why := given_up(subscription.policy, head.attempts, answer)) is not None:
                self._give_up(head, answer, why)
            else:
                self._block(head, RUNGS_S[rung_after(head.attempts, answer.retry_after_s)])

    def _go_on(self, lane: OrderedLane) -> None:
        lane.settle()
        self._behind[lane.track] = None
        if lane.held:
            self._ready[lane.track.subscription][lane] = None

    def _block(self, head: LaneRequest, seconds: float) -> None:
        head.due = self._clock.now() + round(seconds * 1e6)
        head.lane.track.moved = True
        self._let_go(head)
        self._wait(head)

    def _let_go(self, head: LaneRequest) -> None:
        head.lane.let_go()
        self._behind[head.lane.track] = None  # there is room for others

    def _wait(self, head: LaneRequest) -> None:
        heappush(self._waiting, (head.due, next(self._count), head))

    def _expire(self, head: LaneRequest, now: int) -> bool:
        """Give up those of its events whose time is over, which are the first; whether there are any."""
        policy = self._subscriptions[head.lane.track.subscription].policy
        old = 0
        for event in head.events:
            if not _is_old(event, policy, now):
                break
            old += 1
        if old:
            head.lane.split(old)
            if not head.attempts:
                head.lane.join_while(lambda event: _is_old(event, policy, now))
            never = Answer(False, EXPIRED, reason="it was not tried in time", began=now)
            self._give_up(head, head.failed or never, EXPIRED)
        return old > 0

    def _give_up(self, head: LaneRequest, answer: Answer, why: str) -> None:
        """The lane goes on in the next pass: a request behind it that leaves before this is stored might be answered,
        and this one tried again after a kill."""
        name = self._subscriptions[head.lane.track.subscription].name
        for batch, rows in head.pieces():
            self.letters += waiting_of(name, batch, rows, answer, head.attempts, why)
        head.given_up = head.lane.track.moved = True
        self._passing.append(head.lane)

    def _look_at_time(self) -> None:
        """Those that are due are ready, and lanes that are slow let go of what is behind their request."""
        now, moment = self._clock.now(), self._clock.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, head = heappop(self._waiting)
            if head.lane.track.alive and head.lane.head is head:
                self._ready[head.lane.track.subscription][head.lane] = None
        while self._flying and (not self._flying[0].under_way or self._flying[0].since + PATIENCE_S <= moment):
            head = self._flying.popleft()
            if head.under_way and head.lane.track.alive and head.lane.head is head:
                self._let_go(head)

    # -- positions ------------------------------------------------------------

    def _look_at_positions(self) -> None:
        now = self._clock.monotonic()
        looked: Iterable[LaneTrack] = {lane.track: None for lane in self._passing}
        if now >= self._look_at:
            self._look_at = now + SAVE_S
            looked = [track for track in self._tracks.values() if track.moved]
        for track in looked:
            track.moved = False
            found = track.position(self._topic.name, self._subscriptions[track.subscription].name)
            if found != track.said:
                track.said = found
                self.told.append(found)


def _is_old(event: HeldEvent, policy: RetryPolicy, now: int) -> bool:
    return is_expired(policy, int(event.piece.batch.appended[event.row]), now)
