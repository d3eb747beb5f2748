"""The lanes of an ordered subscription in one partition: what was taken of each, what is under way, and how far it is
settled. No I/O.

A lane has the events of the keys that hash to it, in the order of the log, and one request at a time. One that is
blocked, or whose request is slow, holds that request and no more: what is behind it stays in the log, and is read
again when the lane goes on. So a lane may wait for a day while the others go on, and a position for each of them says
all that a restart has to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from ...batch import Batch, Indices, TopicSpec
from ...destinations.interface import Answer
from ...partition import murmur2
from ...schema.egress.rendered import Rendered
from ..emit import keys_of
from .lane_positions import LANES, BlockedLane, LanePositions, OrderedPosition

AHEAD_ROWS, AHEAD_BYTES = 8_192, 16 << 20  # taken together with rows that are not settled; each at most, and one piece
PIECE_BYTES = 1 << 20  # of rows taken at once, about
LANE_EVENTS = 64  # that a lane holds, where its requests have few
_SPREAD, _SHIFT = np.uint32(0x9E3779B9), np.uint32(26)  # Knuth's multiplicative hash; the upper six bits are a lane

Lanes = npt.NDArray[np.int64]
Render = Callable[[Batch], list[Rendered]]


def lanes_of(batch: Batch, topic: TopicSpec) -> Lanes:
    """The lane of each row, by its key: of those without one by the partition, so that all of these have the same.

    The hash is that of the partition, whose rows have it in common modulo their number: it is spread once more.
    """
    keyless = batch.partition % LANES
    keys = keys_of(batch.rows, topic.key)
    if keys is None or keys.null_count == len(keys):
        return np.full(len(batch), keyless, np.int64)
    found = (murmur2(keys).view(np.uint32) * _SPREAD >> _SHIFT).astype(np.int64)
    if keys.null_count:
        found[pc.is_null(keys).to_numpy(zero_copy_only=False)] = keyless
    return found


@dataclass(slots=True, eq=False)
class TakenRows:
    """Rows that were taken together, and how many of them are not settled."""

    batch: Batch
    bytes: int
    left: int


@dataclass(slots=True, eq=False)
class HeldEvent:
    """``before``: the position up to which all of its lane is settled when all before it is."""

    piece: TakenRows
    row: int
    position: int
    before: int
    part: Rendered


@dataclass(slots=True, eq=False)
class LaneRequest:
    """The next one of a lane. ``attempts`` that failed, the last of which was answered with ``failed``. ``due``:
    microseconds since the epoch, before which it is not tried; ``since``: when it was sent, monotonic. ``given_up``:
    it is settled with the commit of what is stored of it. ``answer``: written in the destination's thread."""

    lane: OrderedLane
    events: list[HeldEvent]
    attempts: int = 0
    due: int = 0
    failed: Answer | None = None
    since: float = 0.0
    under_way: bool = False
    given_up: bool = False
    answer: Answer | None = None

    def pieces(self) -> Iterator[tuple[Batch, list[int]]]:
        """Its events as rows of the batches that hold them."""
        for piece, events in groupby(self.events, lambda event: event.piece):
            yield piece.batch, [event.row for event in events]


@dataclass(slots=True, eq=False)
class OrderedLane:
    """``taken``: through which position its events were taken. ``closed``: it takes none before its request is settled.
    ``repeat``: what a former owner has tried, to be tried again as it was."""

    track: LaneTrack
    number: int
    taken: int
    held: deque[HeldEvent] = field(default_factory=deque)
    head: LaneRequest | None = None
    closed: bool = False
    repeat: BlockedLane | None = None

    @property
    def through(self) -> int:
        """How far all of its events are settled."""
        if self.head is not None and not self.head.given_up:
            return self.head.events[0].before
        return self.held[0].before if self.held else self.taken

    def form(self, batches: Callable[[Sequence[int]], Iterator[tuple[int, int]]], most: int) -> LaneRequest | None:
        """Its next request, of ``most`` events at most, as ``batches`` cuts them; None: it holds none, or not yet all
        that was tried together before, for which there is room."""
        repeat, limit = self.repeat, None
        if repeat is not None:
            if self.taken < repeat.last and len(self.held) < most and not self.track.full:
                return None
            limit = repeat.last
        events = [e for e, _ in zip(self.held, range(most), strict=False) if limit is None or e.position <= limit]
        self.repeat = None
        if not events:
            return None if not self.held else self.form(batches, most)
        _, stop = next(iter(batches([len(event.part.body) for event in events])))
        self.head = LaneRequest(self, [self.held.popleft() for _ in range(stop)])
        if repeat is not None:
            failed = Answer(False, repeat.outcome, reason=repeat.reason, began=repeat.tried)
            self.head.attempts, self.head.due, self.head.failed = repeat.attempts, repeat.due, failed
            self.let_go()
        return self.head

    def let_go(self) -> None:
        """Hold its request alone; what is behind it is taken again."""
        assert self.head is not None
        if self.closed:
            return
        self.closed = True
        for event in self.held:
            self.track.release(event)
        self.held.clear()
        self.taken = self.head.events[-1].position
        self.head.events = [
            HeldEvent(piece, row, event.position, event.before, event.part)
            for piece, events in self._copied(self.head.events)
            for row, event in enumerate(events)
        ]

    def settle(self) -> None:
        """The request is dealt with: the next may follow."""
        assert self.head is not None
        for event in self.head.events:
            self.track.release(event)
        self.head, self.closed, self.track.moved = None, False, True

    def split(self, count: int) -> None:
        """The first events of the request alone are it; the others follow with its attempts."""
        assert self.head is not None
        head, rest = self.head, self.head.events[count:]
        if rest:
            head.events = head.events[:count]
            self.held.extendleft(reversed(rest))
            self.repeat = blocked_by(head, rest, due=0) if head.attempts else None

    def join_while(self, holds: Callable[[HeldEvent], bool]) -> None:
        """Add to the request what follows, as far as that holds."""
        assert self.head is not None
        while self.held and holds(self.held[0]):
            self.head.events.append(self.held.popleft())

    def _copied(self, events: list[HeldEvent]) -> list[tuple[TakenRows, list[HeldEvent]]]:
        """With rows of their own, so that they keep no others in memory; those have no share in what is ahead."""
        found = []
        for piece, group in groupby(events, lambda event: event.piece):
            some = list(group)
            batch = piece.batch.take(np.array([event.row for event in some], np.int64))
            found.append((TakenRows(batch, 0, 0), some))
            for event in some:
                self.track.release(event)
        return found


def blocked_by(head: LaneRequest, events: Sequence[HeldEvent], due: int) -> BlockedLane:
    """As it is stored. ``events``: of the request, those that wait."""
    failed = head.failed or Answer(False, "")
    return BlockedLane(
        head.lane.number, events[0].position, events[-1].position, len(events), head.attempts, failed.began, due,
        failed.outcome, failed.reason,
    )  # fmt: skip


class LaneTrack:
    """All lanes of a subscription in a partition. For the router's thread."""

    def __init__(
        self, subscription: int, topic: TopicSpec, partition: int, through: int, stored: LanePositions | None, most: int
    ) -> None:
        """``through``: the position behind which it begins, where nothing is ``stored``. ``most``: events of a
        request."""
        self.subscription, self.partition = subscription, partition
        self.alive = True  # in this member's hands
        self.said: OrderedPosition | None = None
        self.moved = True  # since its position was looked at
        self._topic = topic
        self._limit = max(LANE_EVENTS, 2 * most)
        self._split = f"{LANES} by {topic.key or ''}"
        self._ahead_rows = self._ahead_bytes = 0
        self._turn = 0
        same = stored is not None and stored.split == self._split
        ends = stored.ends() if stored is not None and same else [through if stored is None else stored.through] * LANES
        self.lanes = [OrderedLane(self, number, end) for number, end in enumerate(ends)]
        if stored is not None and same:
            for blocked in stored.blocked:
                self.lanes[blocked.lane].repeat = blocked

    # -- what is taken --------------------------------------------------------

    def next_start(self, front: int) -> int | None:
        """Behind which position to read for it; None: nothing. In turns for those lanes that are furthest ahead, so
        that they do not wait for the others, and for those furthest back. ``front``: the last row that there is."""
        starts = [lane.taken for lane in self.lanes if self._wants(lane) and lane.taken < front]
        if not starts or self.full:
            return None
        self._turn += 1
        return max(starts) if self._turn % 2 else min(starts)

    def lags(self, front: int) -> bool:
        """Whether a lane could take what lies before there."""
        return any(lane.taken < front and self._wants(lane) for lane in self.lanes)

    def take(self, batch: Batch, rows: Indices, after: int, through: int, render: Render) -> list[OrderedLane]:
        """Give the lanes that want some their part of ``rows``, those of a batch that are for the subscription; the
        batch has all rows behind ``after`` through ``through``. Those lanes that got some."""
        wanting = [lane for lane in self.lanes if self._wants(lane) and after <= lane.taken < through]
        self.moved = self.moved or bool(wanting)
        if not wanting or self.full:
            return []
        if len(batch) and (most := max(1, PIECE_BYTES * len(batch) // max(1, batch.rows.nbytes))) < len(batch):
            through, rows = int(batch.positions[most - 1]), rows[rows < most]
        taken, room = np.full(LANES, through, np.int64), np.zeros(LANES, np.int64)
        for lane in wanting:
            taken[lane.number], room[lane.number] = lane.taken, self._limit - len(lane.held)
        numbers = lanes_of(batch, self._topic)[rows]
        fit, left = _fitting(numbers, batch.positions[rows], taken, room)
        stops = {number: _position_before(batch, int(rows[row]), after) for number, row in left.items()}
        for lane in wanting:
            lane.taken = max(lane.taken, stops.get(lane.number, through))
        if not len(fit):
            return []
        rows, numbers = rows[fit], numbers[fit]
        before = np.where(rows > 0, batch.positions[rows - 1], after)
        part = batch if len(rows) == len(batch) else batch.take(rows)
        return self._hold(part, numbers, np.maximum(before, taken[numbers]), render(part))

    def skip(self, after: int, through: int) -> None:
        """There are no rows behind ``after`` through ``through``."""
        for lane in self.lanes:
            if self._wants(lane) and after <= lane.taken < through:
                lane.taken, self.moved = through, True

    def _hold(self, part: Batch, numbers: Lanes, before: Indices, parts: Sequence[Rendered]) -> list[OrderedLane]:
        size = part.rows.nbytes + sum(len(each.body) for each in parts)
        piece = TakenRows(part, size, len(part))
        self._ahead_rows += len(part)
        self._ahead_bytes += size
        found: dict[OrderedLane, None] = {}
        places = zip(numbers.tolist(), part.positions.tolist(), before.tolist(), parts, strict=True)
        for row, (number, position, earlier, each) in enumerate(places):
            lane = self.lanes[number]
            lane.held.append(HeldEvent(piece, row, position, earlier, each))
            found[lane] = None
        return list(found)

    def release(self, event: HeldEvent) -> None:
        piece = event.piece
        piece.left -= 1
        if piece.left == 0:
            self._ahead_rows -= len(piece.batch)
            self._ahead_bytes -= piece.bytes

    def _wants(self, lane: OrderedLane) -> bool:
        return not lane.closed and len(lane.held) <= self._limit // 2

    @property
    def full(self) -> bool:
        return self._ahead_rows >= AHEAD_ROWS or self._ahead_bytes >= AHEAD_BYTES

    # -- what is settled ------------------------------------------------------

    def position(self, topic: str, name: str) -> OrderedPosition:
        """As it is to be stored. ``name``: of the subscription."""
        ends = [lane.through for lane in self.lanes]
        through = min(ends)
        beyond = tuple(end - through for end in ends) if max(ends) > through else ()
        blocked = tuple(found for lane in self.lanes if (found := _blocked(lane)) is not None)
        return OrderedPosition(
            topic=topic,
            partition=self.partition,
            subscription=name,
            through=through,
            split=self._split,
            beyond=beyond,
            blocked=blocked,
        )


def _blocked(lane: OrderedLane) -> BlockedLane | None:
    if lane.head is not None and not lane.head.given_up:
        return blocked_by(lane.head, lane.head.events, lane.head.due) if lane.head.attempts else None
    if lane.repeat is not None and not lane.held and lane.taken >= lane.repeat.last:
        lane.repeat = None  # those events are gone
    return lane.repeat


def _fitting(whose: Lanes, positions: Indices, taken: Lanes, room: Lanes) -> tuple[Indices, dict[int, int]]:
    """Which rows lanes have room for, rising; and of each lane with too little the first row that is left."""
    fresh = np.flatnonzero(positions > taken[whose])
    order = fresh[np.argsort(whose[fresh], kind="stable")]
    sorted_ = whose[order]
    first = np.flatnonzero(np.diff(sorted_, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    fits = rank < room[sorted_]
    left = dict(zip(sorted_[~fits][::-1].tolist(), order[~fits][::-1].tolist(), strict=True))
    return np.sort(order[fits]), left


def _position_before(batch: Batch, row: int, after: int) -> int:
    return after if row == 0 else int(batch.positions[row - 1])
