"""All further attempts: events wait on the rungs of ``penstock.retry``, a partition each, until they are due.

A row that is due is sent and read again until it is settled; the rung's position passes what is settled with all before
it, in the commit that puts what failed onto its next rung or among the dead letters. While an endpoint is on probation
its events climb without an attempt, so that they are not looked at every few seconds: up to the rung of five minutes,
which is as long as any probation; those of a subscription that is halted climb on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter

import numpy as np
import pyarrow as pa

from ...batch import RETRY, SYSTEM, Batch, Indices, TopicSpec
from ...clock import Clock
from ...destinations.interface import Answer, Parcel
from ...log.topic_schema import concat_evolved
from ...plan.plan import LADDER
from ...system.messages import Message, to_rows
from ..failures.dead import event_of
from ..interface import Outcome, Output, Work
from .attempts import EXPIRED, RUNGS_S, given_up, is_expired, rung_after
from .letters import letters
from .retry import WaitingDelivery, on_rungs, read_waiting
from .subscriptions import Subscription

SETTLING_S = 0.05  # seconds between two looks at what is under way
UNKNOWN = "SubscriptionRemoved"
PROBATION = "Probation"
PROBATION_RUNG = 4  # of five minutes: no probation is longer, and no event is later for it than by that


@dataclass(slots=True, eq=False)
class Attempt:
    """Of rows of one rung, in one request. ``answer``: written in the destination's thread."""

    subscription: Subscription
    answer: Answer | None = None


@dataclass(slots=True)
class Accounts:
    """What is to be stored of rows that are passed: ``parents`` are rows of the work."""

    waiting: list[WaitingDelivery] = field(default_factory=list)
    rungs: list[int] = field(default_factory=list)
    climbed: list[int] = field(default_factory=list)
    dead: list[tuple[WaitingDelivery, str]] = field(default_factory=list)
    buried: list[int] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)

    def outputs(self) -> list[Output]:
        found = [on_rungs(self.waiting, self.rungs, self.climbed)] if self.waiting else []
        found += [letters(self.dead, self.buried)] if self.dead else []
        return [*found, Output(SYSTEM, to_rows(self.told), None)] if self.told else found


class Ladder:
    """``Stage`` and ``Keeps``. Used in its pump's thread; endpoints settle from theirs, into ``Attempt.answer`` alone.

    ``topics``: those that events may be of, by name.
    """

    def __init__(
        self,
        app: str,
        topics: Mapping[str, TopicSpec],
        subscriptions: Mapping[str, Subscription],
        clock: Clock,
        sync: Callable[[], None] = lambda: None,
    ) -> None:
        """``sync`` has ``subscriptions`` be as is stored: one that was put at run time may be known to another courier,
        which has failed to deliver to it, before it is known here."""
        self.name, self.source = LADDER, RETRY
        self._app, self._topics, self._subscriptions, self._clock = app, topics, subscriptions, clock
        self._sync = sync
        self._attempts: dict[int, dict[int, Attempt]] = {}  # by rung and position, of rows that no commit has passed

    def assigned(self, partition: int, through: int | None) -> None:
        self._attempts[partition] = {}

    def revoked(self, partition: int) -> None:
        """What is under way goes on, and nobody counts it any more."""
        del self._attempts[partition]

    def handle(self, work: Work) -> Outcome:
        if work.again:
            return _put_back(work)
        now = self._clock.now()
        settled, done, again = Accounts(), dict[int, int](), dict[int, float]()
        due = {p: self._due(work, p, now, again) for p in np.unique(work.partitions).tolist()}
        rows = np.concatenate(list(due.values())) if due else np.zeros(0, np.int64)
        waiting = dict(zip(rows.tolist(), read_waiting(work.rows.take(pa.array(rows))), strict=True))
        if any(each.subscription not in self._subscriptions for each in waiting.values()):
            self._sync()
        self._forget_unsettled(work, waiting)
        self._send(work, waiting, now)
        for partition, mine in due.items():
            attempts = self._attempts[partition]
            for row in mine.tolist():
                position = int(work.positions[row])
                since = int(work.appended[row])
                if not self._settle(attempts.get(position), waiting[row], partition, row, now, since, settled):
                    again[partition] = min(again.get(partition, SETTLING_S), SETTLING_S)
                    break
                attempts.pop(position, None)
                done[partition] = position
        return Outcome(settled.outputs(), done=done, again=again)

    def _due(self, work: Work, partition: int, now: int, again: dict[int, float]) -> Indices:
        """The rows of a rung that wait for nothing any more; the head is always the next."""
        mine = np.flatnonzero(work.partitions == partition)
        at = work.appended[mine] + round(RUNGS_S[partition] * 1e6)
        later = np.flatnonzero(at > now)
        if not len(later):
            return mine
        again[partition] = (int(at[later[0]]) - now) / 1e6
        return mine[: later[0]]

    def _forget_unsettled(self, work: Work, waiting: Mapping[int, WaitingDelivery]) -> None:
        """What was under way to a subscription that is gone, or is another by now, settles never."""
        for row, each in waiting.items():
            attempts, position = self._attempts[int(work.partitions[row])], int(work.positions[row])
            attempt = attempts.get(position)
            if attempt is None or attempt.answer is not None:
                continue
            if attempt.subscription is not self._subscriptions.get(each.subscription):
                del attempts[position]

    # -- sending --------------------------------------------------------------

    def _send(self, work: Work, waiting: Mapping[int, WaitingDelivery], now: int) -> None:
        """All that is due, that is not under way, and that its endpoint has room for."""
        wanted = [
            row
            for row, each in waiting.items()
            if int(work.positions[row]) not in self._attempts[int(work.partitions[row])]
            and self._why_not(each, now, int(work.appended[row])) is None
        ]
        wanted.sort(key=lambda row: (waiting[row].subscription, waiting[row].topic, waiting[row].attempts))
        alike = attrgetter("subscription", "topic", "attempts")
        for (name, topic, attempts), rows in groupby(wanted, key=lambda row: alike(waiting[row])):
            if (to := self._subscriptions.get(name)) is not None:
                self._send_some(work, to, self._topics[topic], attempts, list(rows), waiting)

    def _send_some(
        self,
        work: Work,
        to: Subscription,
        topic: TopicSpec,
        attempts: int,
        rows: list[int],
        waiting: Mapping[int, WaitingDelivery],
    ) -> None:
        if (room := to.room()) <= 0:
            return
        rows = rows[: room * to.batch_events]
        each = [waiting[row] for row in rows]
        events = concat_evolved(topic.schema, [event_of(one.event) for one in each])
        numbers = np.arange(len(rows), dtype=np.int64)
        published = np.array([one.published for one in each], np.int64)
        parts = to.render(Batch(topic.name, 0, numbers, published, events), numbers, topic, self._app)
        parcels: list[Parcel] = []
        for start, stop in to.batches([len(part.body) for part in parts]):
            if len(parcels) == room:
                break
            places = [f"{one.topic}/{one.partition}/{one.offset}" for one in each[start:stop]]
            attempt = Attempt(to)
            for row in rows[start:stop]:
                self._attempts[int(work.partitions[row])][int(work.positions[row])] = attempt
            parcels.append(to.parcel(places, parts[start:stop], attempts + 1, attempt))
        to.destination.send(parcels, _settle)

    # -- what became of it ----------------------------------------------------

    def _settle(
        self,
        attempt: Attempt | None,
        waiting: WaitingDelivery,
        rung: int,
        row: int,
        now: int,
        since: int,
        settled: Accounts,
    ) -> bool:
        """Whether all is known of this row, which is on this rung ``since`` then, and what is to be stored of it."""
        subscription = self._subscriptions.get(waiting.subscription)
        if attempt is None:
            why = self._why_not(waiting, now, since)
            if why is None:
                return False
            if why == PROBATION:
                settled.waiting.append(replace(waiting, outcome=PROBATION))
                halted = subscription is not None and subscription.halted
                settled.rungs.append(min(rung + 1, len(RUNGS_S) - 1 if halted else PROBATION_RUNG))
                settled.climbed.append(row)
            else:
                settled.dead.append((waiting, why))
                settled.buried.append(row)
            return True
        if (answer := attempt.answer) is None:
            return False
        subscription = attempt.subscription
        if (told := subscription.note(answer)) is not None:
            settled.told.append(told)
        if answer.ok:
            return True
        tried = replace(
            waiting,
            attempts=waiting.attempts + bool(answer.began),
            tried=answer.began,
            outcome=answer.outcome,
            reason=answer.reason,
        )
        if (why := given_up(subscription.policy, tried.attempts, answer)) is not None:
            settled.dead.append((tried, why))
            settled.buried.append(row)
        else:
            settled.waiting.append(tried)
            settled.rungs.append(rung_after(tried.attempts, answer.retry_after_s))
            settled.climbed.append(row)
        return True

    def _why_not(self, waiting: WaitingDelivery, now: int, since: int) -> str | None:
        """Why it is not tried now that it is due."""
        subscription = self._subscriptions.get(waiting.subscription)
        if waiting.given_up is not None:
            return waiting.given_up
        if subscription is None or waiting.topic not in self._topics:
            return UNKNOWN
        if subscription.begun and (since < subscription.begun or waiting.topic != subscription.source):
            return UNKNOWN  # it waits for one that had this name before, perhaps for somebody else's endpoint
        if is_expired(subscription.policy, waiting.published, now):
            return EXPIRED
        return None if subscription.open else PROBATION


def _put_back(work: Work) -> Outcome:
    """Onto the rung that waits for nothing."""
    rows = np.arange(len(work), dtype=np.int64)
    return Outcome([Output(RETRY, work.rows, rows, partitions=np.zeros(len(work), np.int32))])


def _settle(parcel: Parcel) -> None:
    attempt = parcel.sender
    assert isinstance(attempt, Attempt)
    attempt.answer = parcel.answer
