"""The first attempt: events of one topic go to those who have subscribed to them.

The topic is read once for all of its subscriptions, and read on while deliveries are under way; the group's position
is that of the last row before which everything is settled. So that nobody waits for an endpoint that is slow, full,
away or paused, its subscription goes on from a position of its own (``state``) after a second, with no copy of an
event. A reader beside the router's serves all of these in turns, and one that has caught up follows the router again.
What fails goes onto the ladder (``retry``), in the commit that passes it. Killed at any moment, what was under way is
sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from ...batch import SYSTEM, Batch, Indices, TopicSpec
from ...clock import Clock
from ...destinations.interface import Answer, Parcel
from ...errors import Overtaken
from ...log.interface import Reader, Seek
from ...notices import notices
from ...plan.plan import router_of
from ...system.messages import Message, to_rows
from ...system.view import View
from ..interface import Outcome, Output, Work
from .attempts import EXPIRED, given_up, rung_after
from .ordered import OrderedDelivery
from .retry import WaitingDelivery, on_rungs, waiting_of
from .shares import Share, Shares
from .state import Behind, DeliveryState, Following, Position
from .subscriptions import Sheets, Subscription
from .tracks import InFlight, Track

SAVE_S = 1.0  # seconds between two stores of a position that moves
SETTLING_S = 0.02  # seconds between two looks at what is under way
WAITING_S = 0.25  # the same, where all wait for endpoints
TAKEN_S = 0.02  # seconds between two looks at whether what a former owner said has been read
CATCH_UP_ROWS = 512  # of one subscription that is behind, in one turn
CATCH_UP_TURNS = 4  # in one pass
NAMES = 1_000  # of subscriptions in one message


class Routing(Protocol):
    """Which events of a batch go to whom."""

    def match(self, batch: Batch) -> tuple[Indices, Indices]:
        """Rows, and the subscription that each is for."""
        ...

    def only(self, subscription: int, batch: Batch) -> Indices:
        """The rows for this one."""
        ...


class Router:
    """``Stage`` and ``Keeps`` of one topic. Used in its pump's thread; endpoints settle from theirs, into ``_settled``
    alone."""

    def __init__(
        self,
        topic: TopicSpec,
        app: str,
        subscriptions: Sequence[Subscription],
        routing: Routing,
        view: View,
        catch_up: Reader,
        ends: Callable[[], Mapping[int, int]],
        clock: Clock,
    ) -> None:
        """``ends``: by partition of the topic, the position that the next event will not be before."""
        self.name, self.source = router_of(topic.name), topic.name
        self._topic, self._app = topic, app
        self._subscriptions, self._routing = list(subscriptions), routing
        self._gone: set[int] = set()  # numbers that no subscription has any more
        self._view, self._positions = view, view.areas.only(DeliveryState)
        self._catch_up, self._clock = catch_up, clock
        self._index = {subscription.name: n for n, subscription in enumerate(subscriptions)}
        self._shares = Shares(self._positions, ends)
        self._settled: deque[InFlight] = deque()
        self._failed: list[tuple[WaitingDelivery, int]] = []  # with the rung of each
        self._new: list[Message] = []  # what is to be stored of positions
        self._ordered = OrderedDelivery(topic, app, self._subscriptions, routing.only, self._read_behind, clock)
        self._turn: deque[Track] = deque()  # those that are not fed, in the order of their turns

    def assigned(self, partition: int, through: int | None) -> None:
        self._shares.assigned(partition, through)

    def revoked(self, partition: int) -> None:
        """What is under way goes on, and nobody counts it any more."""
        self._shares.revoked(partition)
        self._turn = deque(track for track in self._turn if track.partition != partition)
        self._failed, self._new = [], []
        self._ordered.revoked(partition)
        for subscription in self._subscriptions:
            subscription.ended_at = 0  # what was about to be stored may not have been

    def handle(self, work: Work) -> Outcome:
        again: dict[int, float] = {}
        self._land()
        self._learn()
        for partition in np.unique(work.partitions).tolist():
            share = self._shares[partition]
            if share.known:
                self._route(share, work.batch(partition))
            else:
                again[partition] = TAKEN_S
        self._follow_up()
        self._look_at_positions()
        self._deliver_in_order()
        failed, self._failed = self._failed, []
        outputs = [on_rungs([w for w, _ in failed], [rung for _, rung in failed])] if failed else []
        if told := self._new:
            # Without any advance: that is fenced by all that this member owns, and what is told may be of any of it.
            self._new = []
            return Outcome([Output(SYSTEM, to_rows(told), None), *outputs], done={}, again=again, wake=0.0)
        return Outcome(outputs, done=self._done(), again=again, wake=self._wake())

    def close(self) -> None:
        self._catch_up.close()

    def _deliver_in_order(self) -> None:
        ordered = self._ordered
        ordered.step({share.partition: share.read for share in self._shares.known()})
        self._new += ordered.told
        self._failed += [(each, 0) for each in ordered.letters]
        ordered.told, ordered.letters = [], []

    # -- partitions that come -------------------------------------------------

    def _learn(self) -> None:
        if not self._shares.waiting():
            return
        self._view.refresh()
        self._look_at_subscriptions()
        learned, told = self._shares.learn()
        self._new += told
        for share in learned:
            self._begin(share)

    def _look_at_subscriptions(self) -> None:
        """Before a partition begins: whom a former owner knew has to be known before a row is passed."""

    def _begin(self, share: Share) -> None:
        count = len(self._subscriptions)
        share.known = True
        share.fed, share.since = np.ones(count, np.bool_), np.full(count, -1, np.int64)
        found = self._positions.of(self.source, share.partition)
        # Where others were served before, the router may be far behind what there is; else it begins with what comes.
        latest = max(share.read, share.end - 1) if found else share.read
        new: list[str] = []
        for n, subscription in enumerate(self._subscriptions):
            if n in self._gone:
                share.fed[n] = False
                continue
            position = found.get(subscription.name)
            if subscription.ordered:
                self._begin_in_order(share, n, position, latest)
            elif position is None and not subscription.earliest:
                new.append(subscription.name)
                share.since[n] = latest
            elif position is None or position.own:
                own = -1 if position is None else position.through
                track = share.tracks[n] = Track(n, share.partition, own, fed=False, own=own)
                share.fed[n] = False
                self._turn.append(track)
                if position is None:
                    self._say_behind(track, own)
            else:
                share.since[n] = position.through
        if new:
            self._say_following(share, new, latest)

    def _begin_in_order(self, share: Share, n: int, position: Position | None, latest: int) -> None:
        share.fed[n] = False
        if position is None:
            through = -1 if self._subscriptions[n].earliest else latest
        else:
            through = position.through if position.own else max(position.through, share.read)
        stored = self._positions.lanes(self.source, share.partition).get(self._subscriptions[n].name)
        self._ordered.begin(n, share.partition, through, stored)

    # -- rows that come -------------------------------------------------------

    def _route(self, share: Share, batch: Batch) -> None:
        rows, whose = self._routing.match(batch)
        self._ordered.offer(batch, rows, whose, share.read)
        wanted = share.fed[whose] & (batch.positions[rows] > share.since[whose])
        rows, whose = rows[wanted], whose[wanted]
        order = np.lexsort((rows, whose))
        rows, whose = rows[order], whose[order]
        bounds = np.flatnonzero(np.diff(whose, prepend=-1, append=-1)) if len(whose) else np.zeros(1, np.int64)
        before, share.read = share.read, batch.through
        rendered = Sheets(batch, self._topic, self._app)
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            n = int(whose[start])
            track = share.tracks.get(n)
            if track is None:
                track = share.tracks[n] = Track(n, share.partition, before)
            chosen = rows[start:stop].tolist()
            if (taken := self._give(track, batch, chosen, rendered, before)) < len(chosen):
                track.fed = share.fed[n] = False
                track.read = _position_before(batch, chosen[taken], before)
                self._turn.append(track)

    def _give(self, track: Track, batch: Batch, rows: list[int], sheets: Sheets, before: int) -> int:
        """Send these rows, as far as there is room. How many were dealt with. ``before``: the last position before the
        batch."""
        subscription, now = self._subscriptions[track.subscription], self._clock.monotonic()
        room = subscription.room()
        if room <= 0:
            return 0
        rows = rows[: room * subscription.batch_events]
        parts = sheets.of(subscription, rows)
        parcels: list[Parcel] = []
        taken = 0
        for start, stop in subscription.batches([len(part.body) for part in parts]):
            if len(parcels) == room:
                break
            chosen = rows[start:stop]
            flight = InFlight(track, batch, chosen, _position_before(batch, chosen[0], before), now)
            track.flights.append(flight)
            places = [f"{batch.topic}/{batch.partition}/{batch.positions[row]}" for row in chosen]
            parcels.append(subscription.parcel(places, parts[start:stop], 1, flight))
            taken = stop
        subscription.destination.send(parcels, self._settle)
        return taken

    def _settle(self, parcel: Parcel) -> None:
        """In the destination's thread."""
        flight = parcel.sender
        assert isinstance(flight, InFlight)
        flight.answer = parcel.answer
        self._settled.append(flight)

    # -- what has come back ---------------------------------------------------

    def _land(self) -> None:
        tracks: dict[Track, None] = {}
        while self._settled:
            tracks[self._settled.popleft().track] = None
        for track in tracks:
            share = self._shares.get(track.partition)
            if share is None or share.tracks.get(track.subscription) is not track:
                continue  # of a partition that was given back
            for flight in track.landed():
                self._account(flight)
            if not track.flights and track.fed and track.own is None:
                del share.tracks[track.subscription]

    def _account(self, flight: InFlight) -> None:
        answer = flight.answer
        assert answer is not None
        subscription, expired = self._subscriptions[flight.track.subscription], answer.outcome == EXPIRED
        if not expired and (told := subscription.note(answer)) is not None:
            self._new.append(told)
        if answer.ok:
            return
        attempts = 1 if answer.began and not expired else 0
        why = EXPIRED if expired else given_up(subscription.policy, attempts, answer)
        rung = 0 if why is not None else rung_after(attempts, answer.retry_after_s)
        waiting = waiting_of(subscription.name, flight.batch, flight.rows, answer, attempts, why)
        self._failed += [(each, rung) for each in waiting]

    # -- those that are behind ------------------------------------------------

    def _follow_up(self) -> None:
        """A turn for some of those that are not fed and have room."""
        turns = 0
        for _ in range(len(self._turn)):
            track = self._turn.popleft()
            share = self._shares[track.partition]
            if self._subscriptions[track.subscription].room() > 0:
                if track.read >= share.goal:  # nothing has to be read for it
                    self._catch_up_with(share, track)
                elif turns < CATCH_UP_TURNS:
                    turns += 1
                    self._catch_up_with(share, track)
            if not track.fed:
                self._turn.append(track)

    def _catch_up_with(self, share: Share, track: Track) -> None:
        """What follows for it, as far as the router has read. Where it has come there too, it is fed by the router."""
        goal = share.goal
        if track.read < goal:
            batch = self._read_behind(track.subscription, track.partition, track.read)
            if batch is not None:
                start, stop = np.searchsorted(batch.positions, [track.read, goal], side="right").tolist()
                if not self._take_up(track, batch.slice(start, stop)):
                    return
                track.read = min(batch.through, goal)
                if track.read < goal:
                    return
        track.fed = share.fed[track.subscription] = True
        track.read = max(track.read, goal)
        share.since[track.subscription] = track.read

    def _take_up(self, track: Track, batch: Batch) -> bool:
        """Whether there was room for all that is for this subscription."""
        if not len(batch):
            return True
        rows = self._routing.only(track.subscription, batch)
        policy, now, before = self._subscriptions[track.subscription].policy, self._clock.now(), track.read
        expired = rows[batch.appended[rows] < now - policy.ttl_s * 1e6]
        if len(expired):
            answer = Answer(False, EXPIRED, reason="it was not tried in time", began=now)
            first = _position_before(batch, int(expired[0]), before)
            flight = InFlight(track, batch, expired.tolist(), first, self._clock.monotonic(), answer)
            track.flights.append(flight)
            self._settled.append(flight)
        left = rows[~np.isin(rows, expired)].tolist()
        taken = self._give(track, batch, left, Sheets(batch, self._topic, self._app), before)
        if taken < len(left):
            track.read = _position_before(batch, left[taken], before)
        return taken == len(left)

    def _read_behind(self, subscription: int, partition: int, after: int) -> Batch | None:
        """The next rows for it behind this position; None: there are none.

        Raises ``Corrupt``, which holds the whole topic, as it would where the router came to the same rows.
        """
        topic = self.source
        self._catch_up.seek(Seek(topic, None, "pause"))
        self._catch_up.seek(Seek(topic, partition, max(after, 0)))
        self._catch_up.seek(Seek(topic, partition, "resume"))
        try:
            batches = self._catch_up.read(CATCH_UP_ROWS, 0.0)
        except Overtaken as error:
            name = self._subscriptions[subscription].name
            notices().tell(
                f"overtaken {name}/{partition}",
                f"retention overtook subscription '{name}': {error}",
                mend=f"those events are gone for it; a longer retain= of topic '{topic}' gives it more time",
            )
            batches = self._catch_up.read(CATCH_UP_ROWS, 0.0)
        return next((batch for batch in batches if batch.partition == partition), None)

    # -- positions ------------------------------------------------------------

    def _look_at_positions(self) -> None:
        now = self._clock.monotonic()
        for share in self._shares:
            following: dict[int, list[str]] = {}
            for n, track in list(share.tracks.items()):
                through = track.through(share.read)
                if track.own is None:
                    if not track.fed or track.is_slow(now):
                        self._say_behind(track, through)
                elif track.fed and through >= share.committed and not track.is_slow(now):
                    track.own = None
                    following.setdefault(through, []).append(self._subscriptions[n].name)
                    share.since[n] = max(share.since[n], through)
                    if not track.flights:
                        del share.tracks[n]
                elif through != track.own and now >= track.saved_at + SAVE_S:
                    self._say_behind(track, through)
            for since, names in following.items():
                self._say_following(share, names, since)

    def _say_behind(self, track: Track, through: int) -> None:
        track.own, track.saved_at = through, self._clock.monotonic()
        name = self._subscriptions[track.subscription].name
        self._new.append(Behind(topic=self.source, partition=track.partition, subscription=name, through=through))

    def _say_following(self, share: Share, names: Sequence[str], since: int) -> None:
        for start in range(0, len(names), NAMES):
            some = tuple(names[start : start + NAMES])
            self._new.append(Following(topic=self.source, partition=share.partition, subscriptions=some, since=since))

    def _done(self) -> dict[int, int]:
        """Through which row everything is settled for all who follow, and for those who would if this waited."""
        done, now = {}, self._clock.monotonic()
        for share in self._shares:
            tracks = share.tracks.values()
            waits = [e.through(share.read) for e in tracks if e.own is None or (e.fed and not e.is_slow(now))]
            through = min([share.read, *waits])
            if through > share.committed:
                done[share.partition] = share.committed = through
        return done

    def _wake(self) -> float | None:
        found = [wake for wake in (self._wake_followed(), self._ordered.wake()) if wake is not None]
        return min(found, default=None)

    def _wake_followed(self) -> float | None:
        if any(track.flights for share in self._shares for track in share.tracks.values()):
            return SETTLING_S
        if self._shares.waiting():
            return TAKEN_S
        if any(self._subscriptions[track.subscription].room() > 0 for track in self._turn):
            return 0.0
        return WAITING_S if self._turn else None


def _position_before(batch: Batch, row: int, before: int) -> int:
    return before if row == 0 else int(batch.positions[row - 1])
