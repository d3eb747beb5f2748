"""Events put back: what a stage does with rows of ``penstock.dead`` that ask it to take an event once more.

Each stage reads that topic beside its source, in another group of its own. An event that is put back is handled as the
row of the source that it was, so what is made of it has the ids that it would have had; no other stage sees it. The
outputs, what became of the letter and the position move in one transaction. See decision record 0009.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from ..batch import DEAD, Batch, Indices, Positions, Write
from ..clock import Clock
from ..errors import Corrupt, DiskFailed, Fenced, LogUnreachable, LogUnusable, Overtaken, RowsTooLarge, SchemaChanged
from ..log.interface import Advance, Log, Reader, Seek
from ..log.topic_schema import concat_evolved
from ..notices import notices
from ..telemetry import logger
from .emit import Emitter
from .failures.dead import answered, event_of
from .failures.ledger import Ledger, asked_of, column_of, history
from .failures.oversize import events_of, without
from .failures.poison_policy import Sick
from .interface import Failure, Outcome, Output, Stage, Work, concat_promote
from .progress import check_whole

log = logger(__name__)

PATIENCE = 10.0
"""Seconds for which events put back are held together when none of them passes, before each is judged by itself. They
have failed alone before, so less speaks for a sick dependency than where events come for the first time."""

FIRST_S, LONGEST_S = 0.5, 5.0  # seconds between two tries
TURN_S = 1.0  # seconds of judging one by one, and between two commits of rows that ask nothing of this stage
LOOK_S = 1.0  # seconds between two looks while the source has work


def group_of(stage: str) -> str:
    """The group in which a stage reads ``penstock.dead``. Not that of its source: on Kafka the members of a group share
    out all its topics together, and one could have all of the source."""
    return f"penstock.redrive.{stage}"


@dataclass(slots=True)
class RedriveBatch:
    """What one batch of ``penstock.dead`` asks of this stage.

    ``letters`` are its rows that ask, ``at`` their positions. ``work``: those of their events that can be read, and
    ``rows[i]`` the letter of the work's row ``i``. ``failures``: letters whose event failed again, by their row.
    """

    partition: int
    through: int
    letters: pa.RecordBatch
    at: Positions
    work: Work | None
    rows: Indices
    failures: dict[int, Failure] = field(default_factory=dict)


class Redrive:
    """Used by the pump of the stage, in its thread, between two passes over the source.

    ``reader``: of ``penstock.dead``, in the group of ``group_of``. ``stages``: whose letters these are, if the stage
    answers for others; some may come and go. ``busy``: the last look found something, and there may be more.
    """

    def __init__(
        self,
        stage: Stage,
        reader: Reader,
        emitter: Emitter,
        events: Log,
        clock: Clock,
        *,
        measure: Callable[[str, float], None] = lambda _name, _value: None,
        stages: Collection[str] | None = None,
    ) -> None:
        self._stage, self._reader, self._emitter, self._events, self._clock = stage, reader, emitter, events, clock
        self._measure = measure
        self._key = f"redrive/{stage.name}"  # of the notice while events put back wait
        self._stages = (stage.name,) if stages is None else stages
        self._ledger = Ledger(self._stages)
        self._folded: dict[int, int] = {}  # by partition of penstock.dead: through which position
        self._passed: dict[int, int] = {}  # rows that ask nothing of this stage, read and not committed
        self._committed_at = clock.monotonic()
        self._held_since: float | None = None
        self._until = 0.0
        self._tries = 0
        self._looked_at = -math.inf
        self.busy = False

    def begin_again(self) -> None:
        """The reader goes back to what is committed: what was passed is read again."""
        self._passed.clear()
        self._reader.seek(Seek(DEAD, None, "committed"))
        self._reader.seek(Seek(DEAD, None, "pause" if self._waits() else "resume"))

    def rest(self) -> None:
        """The stage is held, and these with it, as a member with nothing in hand. ``begin_again`` ends it."""
        self._go_back()
        self._reader.read(1, None)

    def turn(self, rows: int, *, idle: bool) -> int:
        """Deal with up to ``rows`` rows of ``penstock.dead``; where the source is not ``idle``, once a second. Returns
        the events dealt with. Raises only what must end the process: events put back never hold those of the source."""
        now = self._clock.monotonic()
        if not idle and not self.busy and now < self._looked_at + LOOK_S:
            return 0
        self._looked_at, self.busy = now, False
        try:
            batches = self._read(rows)
            if self._held_since is not None and not batches:
                self._look_again()
            done = sum([self._take(batch) for batch in batches])
            self._commit_passed(idle=not batches)
            self.busy = bool(batches)
            return done
        except (LogUnusable, DiskFailed):
            raise
        except Fenced as error:
            self._passed.clear()
            self._measure("fenced", len(error.lost))
        except Sick as sick:
            self._hold(sick.reason)
        except Exception as error:
            if not isinstance(error, LogUnreachable):
                log.error("putting back failed", stage=self._stage.name, exc_info=True)
            self._hold(f"{type(error).__name__}: {error}")
        return 0

    def close(self) -> None:
        self._reader.close()

    def _read(self, rows: int) -> Sequence[Batch]:
        """What was put back in a damaged partition waits for a repair, and what has expired is gone; others go on."""
        try:
            return self._reader.read(rows, None)
        except Corrupt as error:
            notices().tell(f"{self._key}/{error.partition}", str(error), stage=self._stage.name, mend="penstock repair")
        except Overtaken as error:
            self._measure("overtaken", 1)
            log.warning("letters have expired that were not looked at", stage=self._stage.name, reason=str(error))
        return ()

    # -- one batch ------------------------------------------------------------

    def _take(self, batch: Batch) -> int:
        rows = asked_of(batch, self._stages)
        if len(rows):
            rows = self._that_count(batch, rows)
        if not len(rows):
            self._passed[batch.partition] = batch.through
            return 0
        return self._deal_with(self._asked(batch, rows))

    def _that_count(self, batch: Batch, rows: Indices) -> Indices:
        """Less those whose letter had been put back or dropped before, by somebody who was a moment faster."""
        at = batch.positions[rows]
        if self._folded.get(batch.partition, -1) < at[-1]:
            others = dict.fromkeys(range(self._emitter.topics[DEAD].partitions), -1)
            for part in history(self._events, others | {batch.partition: int(at[-1])}):
                known = np.searchsorted(part.positions, self._folded.get(part.partition, -1), side="right")
                self._ledger.take(part.slice(int(known), len(part)))
                self._folded[part.partition] = part.through
        counting = [e.marked for e in self._ledger.entries.values() if e.partition == batch.partition]
        return rows[np.isin(at, counting)]

    def _asked(self, batch: Batch, rows: Indices) -> RedriveBatch:
        letters = batch.rows.take(pa.array(rows))
        asked = RedriveBatch(batch.partition, batch.through, letters, batch.positions[rows], None, rows[:0])
        events: list[pa.RecordBatch] = []
        readable: list[int] = []
        for row, kept in enumerate(column_of(letters, "event").to_pylist()):
            try:
                events.append(concat_evolved(self._emitter.topics[self._stage.source].schema, [event_of(kept or b"")]))
                readable.append(row)
            except (SchemaChanged, ValueError) as error:
                reason = f"it cannot be read as an event of topic '{self._stage.source}' as it is now: {error}"
                asked.failures[row] = Failure(row, "CannotRedrive", reason, "", 1)
        asked.rows = np.array(readable, np.int64)
        if events:
            mine = letters.take(pa.array(asked.rows))
            places = (mine.column(name).to_numpy() for name in ("partition", "offset"))
            appended = batch.appended[rows][asked.rows]
            partitions, positions = places
            asked.work = Work(self._stage.source, concat_promote(events), partitions, positions, appended, again=True)
        return asked

    def _deal_with(self, asked: RedriveBatch) -> int:
        outcome, count = Outcome(), len(asked.letters)
        if asked.work is not None:
            try:
                outcome = self._handle(asked.work)
            except Sick as sick:
                if sick.unavailable or not sick.alone or not self._patience_is_over():
                    raise
                asked, outcome = self._one_by_one(asked, asked.work)
        self._commit(asked, outcome)
        if len(asked.letters) < count:  # the others have failed together, and wait for their turn
            self.begin_again()
        else:
            self._over()
        return len(asked.letters)

    def _handle(self, work: Work) -> Outcome:
        outcome = self._stage.handle(work)
        check_whole(self._stage.name, work, outcome)
        return outcome

    def _one_by_one(self, asked: RedriveBatch, work: Work) -> tuple[RedriveBatch, Outcome]:
        """None passes: each is judged by itself, as many as a turn holds. The others are read again after it."""
        outputs: list[Output] = []
        failures: list[Failure] = []
        end = self._clock.monotonic() + TURN_S
        row = 0
        while row < len(work) and (row == 0 or self._clock.monotonic() < end):
            try:
                alone = self._handle(work.take(np.array([row], np.int64)))
                outputs += [_made_of(output, row) for output in alone.outputs]
                failures += [replace(failure, row=row) for failure in alone.failures]
            except Sick as sick:
                if sick.unavailable or not sick.alone:
                    raise
                failures.append(replace(sick.alone[0], row=row))
            row += 1
        return _first(asked, row), Outcome(outputs, failures)

    # -- what became of them --------------------------------------------------

    def _commit(self, asked: RedriveBatch, outcome: Outcome) -> None:
        """Outputs, what became of each letter, and the position, together."""
        bare: set[int] = set()
        while True:
            failures = asked.failures | {int(asked.rows[f.row]): f for f in outcome.failures}
            writes = [] if asked.work is None else self._emitter.writes(asked.work, outcome)
            writes.append(Write(DEAD, asked.partition, answered(asked.letters, failures, bare)))
            try:
                self._reader.commit([Advance(DEAD, asked.partition, asked.through)], writes)
                break
            except RowsTooLarge as error:
                outcome = self._smaller(asked, outcome, writes, error, bare)
        self._passed.pop(asked.partition, None)
        self._measure("made", sum(w.rows.num_rows for w in writes))
        if failures:
            self._measure("dead", len(failures))
        log.info(
            "events put back", stage=self._stage.name, done=len(asked.letters) - len(failures), failed=len(failures)
        )

    def _smaller(
        self, asked: RedriveBatch, outcome: Outcome, writes: Sequence[Write], error: RowsTooLarge, bare: set[int]
    ) -> Outcome:
        """Events that made a row too large fail; letters that are too large lose what is not needed to put them back.
        Raises ``error`` where there is nothing of either kind."""
        makers, letters = events_of(writes, error)
        places = list(zip(*(asked.letters.column(n).to_pylist() for n in ("partition", "offset")), strict=True))
        large = {row for row, place in enumerate(places) if place in letters}
        new = [i for i, row in enumerate(asked.rows.tolist()) if places[row] in makers]
        if not new and large <= bare:
            raise error
        bare |= large
        kept = [without(output, np.array(new, np.int64)) for output in outcome.outputs]
        return Outcome(kept, [*outcome.failures, *(Failure(i, "TooLarge", str(error), "", 1) for i in new)])

    def _commit_passed(self, *, idle: bool) -> None:
        """Rows that ask nothing of this stage, once in a while: not a transaction for every letter of any stage."""
        now = self._clock.monotonic()
        if self._passed and (idle or now >= self._committed_at + TURN_S):
            self._reader.commit([Advance(DEAD, p, through) for p, through in self._passed.items()], [])
            self._passed.clear()
            self._committed_at = now

    # -- holding --------------------------------------------------------------

    def _waits(self) -> bool:
        return self._held_since is not None and self._clock.monotonic() < self._until

    def _look_again(self) -> None:
        """What waited is read again; or it does not come back, because another member owns it by now."""
        if self._waits():
            return
        if self._clock.monotonic() >= self._until + LONGEST_S:
            self._over()
        self._reader.seek(Seek(DEAD, None, "resume"))

    def _patience_is_over(self) -> bool:
        return self._held_since is not None and self._clock.monotonic() >= self._held_since + PATIENCE

    def _hold(self, reason: str) -> None:
        """Go back to the committed positions of ``penstock.dead`` and wait; the source goes on meanwhile."""
        now = self._clock.monotonic()
        if self._held_since is None:
            self._held_since, self._tries = now, 0
        self._until = now + min(FIRST_S * 2.0**self._tries, LONGEST_S)
        self._tries = min(self._tries + 1, 16)
        notices().tell(
            self._key, f"events put back wait: {reason}", stage=self._stage.name, mend="they are tried again"
        )
        try:
            self._go_back()
        except (LogUnusable, DiskFailed):
            raise
        except Exception as error:  # the next turn meets it again
            log.warning("events put back wait", stage=self._stage.name, error=str(error))

    def _go_back(self) -> None:
        self._passed.clear()
        self._reader.seek(Seek(DEAD, None, "committed"))
        self._reader.seek(Seek(DEAD, None, "pause"))

    def _over(self) -> None:
        self._held_since = None
        notices().settle(self._key)


def _first(asked: RedriveBatch, count: int) -> RedriveBatch:
    """The letters of the first ``count`` rows of the work, and those before them."""
    if asked.work is None or count == len(asked.work):
        return asked
    letters = int(asked.rows[count])
    return replace(
        asked,
        through=int(asked.at[letters - 1]),
        letters=asked.letters.slice(0, letters),
        rows=asked.rows[:count],
        work=asked.work.take(np.arange(count, dtype=np.int64)),
        failures={row: failure for row, failure in asked.failures.items() if row < letters},
    )


def _made_of(output: Output, row: int) -> Output:
    parents = None if output.parents is None else np.full(len(output.parents), row, np.int64)
    return replace(output, parents=parents)
