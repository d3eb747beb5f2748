"""What became of events just published: rows of one topic whose lineage leads back to them, over several hops.

Between a source and a target one thread tails the topics on the way, with anonymous readers, and only while somebody
waits. Outputs of an event at a stage become visible together, with the stage's position (one transaction); so an event
that has a child in hand has all of them, and of the others the stage's committed position tells whether there are any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa

from ...batch import Batch, Indices, column
from ...partition import group
from ...plan.graph import Hop
from ...plan.plan import Plan
from ...schema.encode import to_dicts
from ...stages.ingest.intake import Receipt

NOWHERE = 2**31 - 1  # the partition of a parent that a row does not have


@dataclass(slots=True)
class Known:
    """Rows of one topic that descend from the request: sorted positions a partition, each one's row in the request,
    and which of them have a child at each stage."""

    positions: dict[int, Indices] = field(default_factory=dict)
    roots: dict[int, Indices] = field(default_factory=dict)
    with_child: dict[tuple[str, int], Indices] = field(default_factory=dict)  # (stage, partition): positions
    _childless: dict[str, dict[int, int]] = field(default_factory=dict)  # stage: partition: last position
    _changed: dict[str, set[int]] = field(default_factory=dict)  # stage: partitions

    def add(self, partition: int, positions: Indices, roots: Indices) -> None:
        for changed in self._changed.values():
            changed.add(partition)
        all_ = np.concatenate([self.positions.get(partition, positions[:0]), positions])
        order = np.argsort(all_, kind="stable")
        self.positions[partition] = all_[order]
        self.roots[partition] = np.concatenate([self.roots.get(partition, roots[:0]), roots])[order]

    def children(self, stage: str, partitions: Indices, parents: Indices) -> tuple[Indices, Indices]:
        """Which rows have their parent here, and those parents' rows in the request."""
        rows: list[Indices] = []
        roots: list[Indices] = []
        places = np.nan_to_num(partitions, nan=NOWHERE).astype(np.int32)
        for partition, some in group(places):  # not over all that are known: of these there may be as many as batches
            here = self.positions.get(partition)
            if here is None:
                continue
            at = np.searchsorted(here, parents[some]).clip(max=len(here) - 1)
            hits = here[at] == parents[some]
            found = some[hits]
            if len(found):
                rows.append(found)
                roots.append(self.roots[partition][at[hits]])
                key = (stage, partition)
                before = self.with_child.get(key, parents[:0])
                self.with_child[key] = np.union1d(before, parents[found])
                self._changed.get(stage, set()).add(partition)
        if not rows:
            return parents[:0], parents[:0]
        return np.concatenate(rows), np.concatenate(roots)

    def new(self, partition: int, positions: Indices) -> Any:
        """A mask: which of these are not known yet."""
        return ~np.isin(positions, self.positions.get(partition, positions[:0]))

    def childless(self, stage: str) -> Mapping[int, int]:
        """The last position of each partition that has no child of that stage yet: looked for anew in those only of
        which something was learnt since."""
        left = self._childless.setdefault(stage, {})
        for partition in self._changed.setdefault(stage, set(self.positions)):
            here = self.positions[partition]
            having = self.with_child.get((stage, partition), here[:0])
            if len(without := here[~np.isin(here, having)]):
                left[partition] = int(without[-1])
            else:
                left.pop(partition, None)
        self._changed[stage].clear()
        return left


class Followed(Protocol):
    """The tail that a waiter hangs on."""

    source: str
    target: str
    hops: Sequence[Hop]
    plan: Plan

    def leave(self, waiter: Waiter) -> None: ...


class Waiter:
    """One request that waits. Joined before its events are stored, armed with their positions afterwards."""

    def __init__(self, tail: Followed, loop: asyncio.AbstractEventLoop) -> None:
        self._tail, self._loop = tail, loop
        self._receipt: Receipt | None = None
        self._early: list[list[Batch]] = []  # rounds that came before the positions were known
        self._known: dict[str, Known] = {}
        self.done: asyncio.Future[None] = loop.create_future()
        self.results: list[dict[str, Any]] = []
        self.complete = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._tail.leave(self)

    @property
    def armed(self) -> bool:
        return self._receipt is not None

    def arm(self, receipt: Receipt) -> None:
        self._receipt = receipt

    def release(self) -> None:
        """Wait no longer: the answer says what there is. On the event loop."""
        if not self.done.done():
            self.done.set_result(None)

    # -- on the tail's thread -------------------------------------------------

    def give_up(self) -> None:
        """``release``: nothing more can be seen."""
        self._loop.call_soon_threadsafe(self.release)

    def observe(self, batches: Sequence[Batch], groups: Mapping[tuple[str, str, int], int] | None) -> None:
        """One round: what was read, parents before children, and how far each stage was before the reading.

        ``groups`` None: it is a part of a round, of which nothing follows about the stages.
        """
        if self._receipt is None:
            if batches:
                self._early.append(list(batches))
            return
        if not self._known:
            self._start(self._receipt)
            batches = [b for round_ in self._early for b in round_] + list(batches)
            self._early.clear()
        found = [rows for batch in batches for rows in self._match(batch)]
        complete = groups is not None and not any(self._open(hop, groups) for hop in self._tail.hops)
        if found or complete:
            self._loop.call_soon_threadsafe(self._tell, found, complete)

    def _start(self, receipt: Receipt) -> None:
        source = self._known[self._tail.source] = Known()
        for partition, rows in group(receipt.partitions):
            source.add(partition, receipt.positions[rows], rows)
        for hop in self._tail.hops:
            self._known.setdefault(hop.target, Known())

    def _match(self, batch: Batch) -> Iterable[dict[str, Any]]:
        if batch.origin is None or batch.origin.topic not in self._known:
            return []
        parents = column(batch.rows, "_parent").to_numpy(zero_copy_only=False)
        partitions = column(batch.rows, "_parent_partition").to_numpy(zero_copy_only=False)
        rows, roots = self._known[batch.origin.topic].children(batch.origin.stage, partitions, parents)
        fresh = self._known[batch.topic].new(batch.partition, batch.positions[rows])  # who looks back may see it twice
        rows, roots = rows[fresh], roots[fresh]
        if not len(rows):
            return []
        order = np.argsort(rows, kind="stable")
        rows, roots = rows[order], roots[order]
        self._known[batch.topic].add(batch.partition, batch.positions[rows], roots)
        if batch.topic != self._tail.target:
            return []
        plan = self._tail.plan
        objects = to_dicts(taken(batch, rows), plan.topic(batch.topic), plan.app)
        return [o | {"row": root} for o, root in zip(objects, roots.tolist(), strict=True)]

    def _open(self, hop: Hop, groups: Mapping[tuple[str, str, int], int]) -> bool:
        """May this stage still make something of what is known?"""
        left = self._known[hop.source].childless(hop.stage)
        return any(groups.get((hop.stage, hop.source, p), -1) < last for p, last in left.items())

    # -- on the event loop ----------------------------------------------------

    def _tell(self, found: list[dict[str, Any]], complete: bool) -> None:
        self.results += found
        if complete and not self.done.done():
            self.complete = True
            self.release()


def taken(batch: Batch, rows: Indices) -> Batch:
    return Batch(
        batch.topic,
        batch.partition,
        batch.positions[rows],
        batch.appended[rows],
        batch.rows.take(pa.array(rows)),
        batch.origin,
    )
