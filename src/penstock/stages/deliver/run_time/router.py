"""A router whose subscriptions come and go while it runs.

One that comes begins at the positions that are stored of it, and catches up with the router as one does that was slow;
so nobody else waits for it, and what was published between its putting and its first delivery is not lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ....batch import TopicSpec
from ....clock import Clock
from ....log.interface import Reader
from ....system.view import View
from ...interface import Outcome, Work
from ..router import Router, Routing
from ..shares import Share
from ..subscriptions import Subscription
from ..tracks import Track

CHANGES_S = 0.4  # seconds between two looks of a router with nothing to do at who has come or gone


class ChangingRouting(Routing, Protocol):
    """One to which subscriptions may come, and from which they may go, by their numbers."""

    def add(self, subscription: int, wanted: Any) -> None: ...

    def remove(self, subscription: int) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class RouteChange:
    """``subscription``: what there is of this name from here on; None: nothing. ``wanted``: for ``Routing.add``.
    ``begun``: another where it does not go on from the place of the one before."""

    name: str
    subscription: Subscription | None = None
    wanted: Any = None
    begun: int = 0


class ChangingRouter(Router):
    """``changes`` is written by others' threads, and read in the pump's."""

    def __init__(
        self,
        topic: TopicSpec,
        app: str,
        subscriptions: Sequence[Subscription],
        routing: ChangingRouting,
        view: View,
        catch_up: Reader,
        ends: Callable[[], Mapping[int, int]],
        clock: Clock,
        sync: Callable[[], None],
    ) -> None:
        """As ``Router``. ``sync`` has what the view says of subscriptions at run time in ``changes``."""
        super().__init__(topic, app, subscriptions, routing, view, catch_up, ends, clock)
        self.changes: deque[RouteChange] = deque()
        self._changing, self._sync = routing, sync
        self._begun: dict[str, int] = {}

    def handle(self, work: Work) -> Outcome:
        self._take_changes()
        outcome = super().handle(work)
        return replace(outcome, wake=CHANGES_S) if outcome.wake is None else outcome

    def _look_at_subscriptions(self) -> None:
        self._sync()
        self._take_changes()

    def _take_changes(self) -> None:
        while self.changes:
            change = self.changes.popleft()
            n = self._index.get(change.name)
            if n is not None and (change.subscription is None or self._begun.get(change.name) != change.begun):
                self._drop(change.name, n)
                n = None
            if change.subscription is None:
                continue
            if n is None:
                self._put(change, change.subscription)
            else:
                self._replace(n, change, change.subscription)

    def _put(self, change: RouteChange, subscription: Subscription) -> None:
        """It begins, in every partition in hand, where what is stored says."""
        if self._gone:
            n = self._gone.pop()
            self._subscriptions[n] = subscription
        else:
            n = len(self._subscriptions)
            self._subscriptions.append(subscription)
        self._index[change.name], self._begun[change.name] = n, change.begun
        self._changing.add(n, change.wanted)
        for share in self._shares.known():
            self._begin_one(share, n, subscription)

    def _begin_one(self, share: Share, n: int, subscription: Subscription) -> None:
        if (lacking := max(n + 1, 2 * n) - len(share.fed)) > 0 and n >= len(share.fed):
            share.fed = np.concatenate([share.fed, np.zeros(lacking, np.bool_)])
            share.since = np.concatenate([share.since, np.full(lacking, -1, np.int64)])
        position = self._positions.of(self.source, share.partition).get(subscription.name)
        if subscription.ordered:
            self._begin_in_order(share, n, position, share.first)
            return
        if position is None:  # of a partition that came later than it
            own = -1 if subscription.earliest else share.first
        else:
            own = position.through if position.own else max(position.through, share.first)
        # Nothing has to be read for one that begins where the router is, or with what that has not come to yet.
        track = share.tracks[n] = Track(n, share.partition, own, fed=own >= share.goal, own=own)
        share.fed[n], share.since[n] = track.fed, own
        if not track.fed:
            self._turn.append(track)
        if position is None or not position.own:
            self._say_behind(track, own)

    def _replace(self, n: int, change: RouteChange, subscription: Subscription) -> None:
        """What is under way to the one before is never settled: it goes on from before that."""
        lanes = self._ordered.end(n)
        self._subscriptions[n] = subscription
        self._changing.remove(n)
        self._changing.add(n, change.wanted)
        for share in self._shares.known():
            stored, track = lanes.get(share.partition), share.tracks.pop(n, None)
            if track is not None:
                self._forget(track)
            if track is not None:
                through = track.through(share.read)
            else:
                through = share.read if stored is None else stored.through
            if subscription.ordered:
                share.fed[n] = False
                self._ordered.begin(n, share.partition, through, None if stored is None else stored.known)
            elif stored is not None or track is not None:
                share.fed[n] = False
                own = through if track is None else track.own
                again = share.tracks[n] = Track(n, share.partition, through, fed=False, own=own)
                self._turn.append(again)
                if stored is not None:
                    self._say_behind(again, through)

    def _drop(self, name: str, n: int) -> None:
        """What is under way to it is never settled, and nobody counts it any more."""
        del self._index[name]
        self._begun.pop(name, None)
        self._changing.remove(n)
        self._gone.add(n)
        self._ordered.end(n)
        for share in self._shares.known():
            share.fed[n] = False
            if (track := share.tracks.pop(n, None)) is not None:
                self._forget(track)
        self._new = [told for told in self._new if getattr(told, "subscription", "") != name]

    def _forget(self, track: Track) -> None:
        self._turn = deque(each for each in self._turn if each is not track)
