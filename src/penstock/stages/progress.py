"""How far a stage that deals with its work in parts has come, and what of it may be committed.

What it was given and has not dealt with lies with it, or comes again; the group's position waits in either case. Rows
that could not be decoded are no row of any work: they wait here, for the position to pass them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..batch import Batch, Positions, Rejected
from ..errors import OutcomeInvalid
from ..log.interface import Advance, OwnedPartition
from .interface import Outcome, Work

NONE: Positions = np.empty(0, np.int64)


@dataclass(slots=True)
class Given:
    """What a stage was given of one partition since it came, or came again. Positions; None: none."""

    read: int  # the last, undecodable rows included
    row: int | None = None  # the last that was a row of a work
    done: int | None = None  # what the stage said last
    committed: int | None = None  # what followed from it
    rejected: list[Rejected] = field(default_factory=list)  # that no commit has passed

    @property
    def through(self) -> int | None:
        """How far the partition is dealt with: where all rows are, so is what follows them undecoded."""
        return self.read if self.row is None or self.done == self.row else self.done


@dataclass(frozen=True, slots=True)
class Settled:
    """What of a pass is to be committed. ``heads``: batches of the undecodable rows that the advances pass."""

    heads: Sequence[Batch]
    advances: Sequence[Advance]
    rows: int  # of the work, less those that come again


@dataclass(slots=True)
class Progress:
    """Of one stage, in the thread of its pump. False while it has always dealt with all that it was given."""

    stage: str
    keeps: bool  # whether it may keep rows for a later pass
    _given: dict[int, Given] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._given)

    def settle(
        self, batches: Sequence[Batch], work: Work, outcome: Outcome, owned: Mapping[int, OwnedPartition]
    ) -> Settled:
        """Raises ``OutcomeInvalid``; whatever is raised before the commit is stored, ``clear`` has to follow."""
        for batch in batches:
            self._take(batch)
        said = outcome.done
        if said is None:
            said = {b.partition: int(b.positions[-1]) for b in batches if len(b)}
        for partition, through in said.items():
            self._say(partition, through, owned)
        beyond = self._beyond(work)
        self._check(work, outcome, beyond)
        heads, advances = [], []
        for partition, given in self._given.items():
            at = given.through
            if at is None or (given.committed is not None and at <= given.committed):
                continue
            given.committed = at
            advances.append(Advance(work.topic, partition, at))
            if passed := [r for r in given.rejected if r.position <= at]:
                given.rejected = given.rejected[len(passed) :]
                heads.append(Batch(work.topic, partition, NONE, NONE, work.rows.slice(0, 0), rejected=passed))
        again = beyond & np.isin(work.partitions, list(outcome.again))
        return Settled(heads, advances, len(work) - int(again.sum()))

    def put_off(self, partition: int) -> None:
        """What is not done comes again."""
        given = self._given.get(partition)
        if given is None or given.committed is None:
            self.forget(partition)
        else:
            given.row, given.read, given.rejected = given.done, given.committed, []

    def forget(self, partition: int) -> None:
        """It is another member's by now."""
        self._given.pop(partition, None)

    def clear(self) -> None:
        self._given.clear()

    def _take(self, batch: Batch) -> None:
        given = self._given.setdefault(batch.partition, Given(batch.through))
        given.read = batch.through
        given.rejected.extend(batch.rejected)
        if len(batch):
            given.row = int(batch.positions[-1])

    def _say(self, partition: int, through: int, owned: Mapping[int, OwnedPartition]) -> None:
        given, assignment = self._given.get(partition), owned.get(partition)
        committed = None if assignment is None else assignment.through
        if given is None:
            if through != committed:  # else nothing new is said
                raise self._wrong(partition, f"is said to be done through {through}, and nothing of it was given")
            return
        last = committed if given.row is None else given.row
        if last is None or through > last:
            raise self._wrong(partition, f"is said to be done through {through}, and was given through {last}")
        before = committed if given.done is None else given.done
        if through < (-1 if before is None else before):
            raise self._wrong(partition, f"is said to be done through {through}, and was through {before} before")
        given.done = through

    def _beyond(self, work: Work) -> npt.NDArray[np.bool_]:
        """Which rows of the work are not dealt with."""
        partitions, places = np.unique(work.partitions, return_inverse=True)
        done = [self._given[p].done for p in partitions.tolist()]
        limits = np.array([-1 if at is None else at for at in done], np.int64)
        found: npt.NDArray[np.bool_] = work.positions > limits[places]
        return found

    def _check(self, work: Work, outcome: Outcome, beyond: npt.NDArray[np.bool_]) -> None:
        for partition, seconds in outcome.again.items():
            if partition not in self._given:
                raise self._wrong(partition, "is to be read again, and nothing of it was given")
            _check_seconds(self.stage, "again", seconds)
        if outcome.wake is not None:
            _check_seconds(self.stage, "wake", outcome.wake)
        if not beyond.any():
            return
        failed = np.array([failure.row for failure in outcome.failures], np.int64)
        made = np.concatenate([failed, *(o.parents for o in outcome.outputs if o.parents is not None)])
        if len(early := made[beyond[made]]):
            partition, position = int(work.partitions[early[0]]), int(work.positions[early[0]])
            raise self._wrong(partition, f"has something made of {position}, which is not done")
        left = {p for p in np.unique(work.partitions[beyond]).tolist() if p not in outcome.again}
        if left and not self.keeps:
            raise self._wrong(min(left), "has rows that are neither done nor again, in a stage that keeps none")

    def _wrong(self, partition: int, what: str) -> OutcomeInvalid:
        return OutcomeInvalid(f"{self.stage}: partition {partition} {what}")


def check_whole(stage: str, work: Work, outcome: Outcome) -> None:
    """For a work of which nothing can come again. Raises ``OutcomeInvalid`` for what is not done."""
    done = outcome.done
    if outcome.again or (
        done is not None
        and any(at > done.get(p, -1) for p, at in zip(work.partitions.tolist(), work.positions.tolist(), strict=True))
    ):
        raise OutcomeInvalid(f"{stage}: of events that were put back all have to be done at once")


def _check_seconds(stage: str, name: str, seconds: float) -> None:
    """Raises ``OutcomeInvalid`` for what is no time to wait."""
    if not (math.isfinite(seconds) and seconds >= 0):
        raise OutcomeInvalid(f"{stage}: {name}={seconds} is no number of seconds")
