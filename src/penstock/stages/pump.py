"""The one loop: read from the log, let the stage do its one thing, append the results and advance, together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Event

import numpy as np

from ..batch import DEAD, Batch, Lineage, Write
from ..clock import Clock
from ..errors import (
    Corrupt,
    DiskFailed,
    Fenced,
    LogError,
    LogGone,
    LogRefused,
    LogUnreachable,
    LogUnusable,
    Overtaken,
    RowsTooLarge,
)
from ..log.interface import Advance, Reader, Seek
from ..notices import notices
from ..telemetry import logger
from .commit_size import CommitSize
from .emit import Emitter, split_by_partition, spread
from .failures.backoff import Backoff
from .failures.dead import dead_letter_rows, undecodable
from .failures.oversize import within_limits
from .failures.poison_policy import NotYet, Sick
from .failures.telling import Telling
from .interface import Failure, Keeps, Outcome, Stage, Work
from .progress import Progress
from .redrive import Redrive

log = logger(__name__)

TURN_S = 1.0  # seconds between two looks at whether to stop, and who else has joined
WITNESSES_ROWS = 8  # rows of a second try, at least: one that failed by itself is judged beside others, or not at all
FATAL = (LogUnusable, DiskFailed)
"""The process must end: what is on disk is unknown, or no longer for it to write."""

Measure = Callable[[str, float], None]
"""Told what happened: ``events``, ``made``, ``dead``, ``sick``, ``fenced``, ``overtaken`` (counts), ``latency``,
``pass`` (seconds)."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a stage says of itself. ``lag``: seconds, the age of the oldest event of its last pass, or of those held."""

    ready: bool = True
    why: str = ""
    lag: float = 0.0
    error: str = ""  # the last one, also when it is over


class Pump:
    """Drives one stage over what one reader owns. One thread; ``status`` is for any.

    ``rows`` answers how many rows to read at once; ``redrive`` deals with events put back, between two passes. The
    positions move only in the transaction that stores the outputs: killed at any moment, the work is either done or not
    begun.
    """

    def __init__(
        self,
        stage: Stage,
        reader: Reader,
        emitter: Emitter,
        clock: Clock,
        *,
        rows: Callable[[], int],
        measure: Measure = lambda _name, _value: None,
        redrive: Redrive | None = None,
    ) -> None:
        self.failed = False  # ended by an error; the process must exit with one
        self._said = Status()  # replaced as a whole, so that any thread may read it
        self._oldest: int | None = None  # append time of the oldest event in hand or held
        self._stage = stage
        self._reader = reader
        self._emitter = emitter
        self._clock = clock
        self._rows = rows
        self._measure = measure
        self._redrive = redrive
        self._backoff = Backoff(clock)
        self._telling = Telling(stage.name, clock)
        self._pace = CommitSize()
        self._keeper = stage if isinstance(stage, Keeps) else None
        self._progress = Progress(stage.name, keeps=self._keeper is not None)
        self._epochs: dict[int, int] = {}  # of the partitions that the keeper was told of
        self._later: dict[int, float] = {}  # partitions that are paused, and until when (monotonic)
        self._wake: float | None = None  # when the stage is to be called though nothing came (monotonic)
        self._rewind = False
        self._damaged: dict[tuple[str, int], str] = {}
        self._overtaken: dict[tuple[str, int], str] = {}  # what was told: a held stage goes back, and meets it again

    @property
    def status(self) -> Status:
        """As of now: events grow older while a call hangs and while they are held."""
        said, oldest = self._said, self._oldest
        return said if oldest is None else replace(said, lag=self._age(oldest))

    def run(self, stop: Event) -> None:
        """Until ``stop``: then the batch in hand is finished and committed, and the group left.

        Raises only what must end the process (``FATAL``), and errors that are no ``Exception``.
        """
        try:
            if self._redrive is not None:  # it joins a group too, beside the source's: that may take as long
                self._redrive.turn(1, idle=True)
            while not stop.is_set():
                self.step(TURN_S)
        except BaseException as error:
            self.failed = True
            self._say(ready=False, why=f"stopped: {error}", error=str(error))
            log.critical("stage stopped", stage=self._stage.name, exc_info=True)
            raise
        finally:
            self._reader.close()
            if self._redrive is not None:
                self._redrive.close()

    def wait_as_member(self) -> None:
        """Before ``run``, in its thread, while nobody can deal with anything: what retention takes meanwhile is missed
        by the group, and told."""
        self._rewind = True
        self._rest(0.0)

    def step(self, wait: float) -> int:
        """One pass; waits up to ``wait`` seconds when there is nothing to do. Returns the rows dealt with."""
        self._telling.remind()
        if (left := self._backoff.left()) > 0:
            self._rest(min(left, wait))
            if left > wait:
                return 0
        try:
            if self._rewind:
                self._begin_again()
            rows = max(self._rows(), WITNESSES_ROWS) if self._backoff.trying_again else self._rows()
            rows, redrive = int(min(rows, self._pace.rows)), self._redrive
            wait = self._resume_due(wait)
            batches = self._read(rows, None if redrive is not None and redrive.busy else wait)
            if self._keeper is not None:
                self._tell(self._keeper, batches)
            done = self._handle(batches) if batches or self._waking() else 0
            return done if redrive is None else done + redrive.turn(rows, idle=not batches)
        except Sick as sick:
            return self._hold(sick)
        except FATAL:
            raise
        except Exception as error:
            # A fault of ours or of the log: nothing is known of the rows, so they are held like any others.
            if not isinstance(error, LogUnreachable | LogRefused | LogGone):  # no line of code is to blame
                log.error("pass failed", stage=self._stage.name, exc_info=True)
            return self._hold(Sick(f"{type(error).__name__}: {error}"))

    # -- a pass ---------------------------------------------------------------

    def _begin_again(self) -> None:
        """Before any read: going on after rows that were read and not dealt with would advance past them."""
        self._reader.seek(Seek(self._stage.source, None, "committed"))
        self._reader.seek(Seek(self._stage.source, None, "resume"))
        for partition in self._later:
            self._reader.seek(Seek(self._stage.source, partition, "pause"))
        self._progress.clear()
        if self._keeper is not None:
            for partition in list(self._epochs):
                self._keeper.revoked(partition)
                del self._epochs[partition]
        if self._redrive is not None:
            self._redrive.begin_again()
        self._rewind = False

    def _tell(self, keeper: Keeps, batches: Sequence[Batch]) -> None:
        """After the read in which they came or went, and before the stage is given what was read of them."""
        owned = self._reader.owned(self._stage.source)
        for partition in [p for p, epoch in self._epochs.items() if p not in owned or owned[p].epoch != epoch]:
            keeper.revoked(partition)
            del self._epochs[partition]
            self._progress.forget(partition)
            if all(b.partition != partition for b in batches):  # else the log had not waited for this
                self._go_back(partition)
            self._wake = self._clock.monotonic()
        for partition in owned.keys() - self._epochs.keys():
            self._epochs[partition] = owned[partition].epoch
            keeper.assigned(partition, owned[partition].through)
            self._wake = self._clock.monotonic()

    def _go_back(self, partition: int) -> bool:
        """What is in hand of it is given up; false where it is another member's by now."""
        try:
            self._reader.seek(Seek(self._stage.source, partition, "committed"))
        except Fenced:
            return False
        return True

    def _read(self, rows: int, wait: float | None) -> Sequence[Batch]:
        try:
            batches = self._reader.read(rows, wait)
        except Overtaken as error:
            self._tell_overtaken(error)
            return ()
        except Corrupt as error:
            place = (error.topic, error.partition)
            if place in self._damaged:  # said again: do not spin on it
                self._clock.sleep(wait or 0.0)
            else:
                log.error("partition damaged", stage=self._stage.name, error=str(error))
            self._damaged[place] = str(error)
            self._say(ready=False, why="; ".join(self._damaged.values()), error=str(error))
            return ()
        if not batches and not self._rewind and not self._waking():
            self._nothing_left()
        return batches

    def _tell_overtaken(self, error: Overtaken) -> None:
        place = (error.topic, error.partition)
        if self._overtaken.get(place) == str(error):
            return
        self._overtaken[place] = str(error)
        self._measure("overtaken", 1)
        self._say(error=str(error))
        notices().tell(
            f"overtaken {self._stage.name}",
            f"retention overtook the stage: {error}",
            stage=self._stage.name,
            mend=f"those events are gone for it; a longer retain= of topic '{error.topic}' gives it more time",
        )

    def _nothing_left(self) -> None:
        """All is done; or what was held is another member's by now, whose business it is to say so."""
        self._oldest = None
        if self._said.lag or not self._said.ready:
            self._backoff.over()
            self._say(lag=0.0, ready=not self._damaged, why="; ".join(self._damaged.values()))

    def _handle(self, batches: Sequence[Batch]) -> int:
        """``batches``: none where the stage is called by time."""
        began = self._clock.monotonic()
        work = Work.of(batches) if batches else Work.none(self._emitter.topics[self._stage.source])
        self._oldest = int(work.appended.min()) if len(work) else None
        try:
            outcome = self._stage.handle(work) if (called := bool(len(work)) or not batches) else Outcome()
        except Sick as sick:
            if not sick.poison or self._keeper is not None:
                raise
            return self._dead_letter(batches, work, sick.poison)
        heads, rows = batches, len(work)
        if self._progress or outcome.in_parts:
            settled = self._progress.settle(batches, work, outcome, self._reader.owned(self._stage.source))
            heads, advances, rows = settled.heads, settled.advances, settled.rows
        else:
            advances = [Advance(b.topic, b.partition, b.through) for b in batches]
        if not self._commit(heads, work, outcome, advances):
            self._rewind = True
            return 0
        if called:
            self._put_off(outcome)
        if not batches:
            self._nothing_left()
            return 0
        self._finished(work, rows, batches, began)
        return rows + sum(len(b.rejected) for b in batches)

    def _commit(self, batches: Sequence[Batch], work: Work, outcome: Outcome, advances: Sequence[Advance]) -> bool:
        """Outputs, dead letters and positions in one transaction, less what other members own by now.

        False where nothing was stored because what is left cannot be told from what others own.
        """
        lost: frozenset[int] = frozenset()
        timed = not advances  # there may be outputs all the same
        while (advances := [a for a in advances if a.partition not in lost]) or timed:
            writes = self._emitter.writes(work, self._with_letters(work, outcome), without=lost)
            mine = {a.partition for a in advances}
            writes += [w for b in batches if b.partition in mine for w in self._undecodable(b)]
            if not (advances or writes):
                return True
            began = self._clock.monotonic()
            try:
                self._reader.commit(advances, writes)
            except LogUnreachable:
                self._pace.failed(len(work), self._clock.monotonic() - began)
                raise
            except RowsTooLarge as error:
                batches, outcome = within_limits(batches, work, outcome, writes, error)
                log.error("rows too large for the log", stage=self._stage.name, reason=str(error))
            except Fenced as error:
                lost = lost | {partition for topic, partition in error.lost if topic == work.topic}
                self._pace.failed(len(work), self._clock.monotonic() - began)
                self._measure("fenced", len(error.lost))
                log.warning("partitions lost, their work is dropped", stage=self._stage.name, lost=str(error))
                for partition in lost:
                    self._progress.forget(partition)
                if timed or self._inseparable(outcome):
                    return False
                if not any(a.partition in lost for a in advances):
                    raise  # fenced for what was not committed: never try the same again
            else:
                self._pace.stored(self._clock.monotonic() - began)
                self._measure("made", sum(w.rows.num_rows for w in writes))
                if dead := self._telling.dead(writes):
                    self._measure("dead", dead)
                return True
        return True

    def _inseparable(self, outcome: Outcome) -> bool:
        """Whether outputs may be of rows that were kept, whose partitions nobody knows."""
        return self._keeper is not None and any(output.parents is None for output in outcome.outputs)

    def _with_letters(self, work: Work, outcome: Outcome) -> Outcome:
        if not outcome.failures:
            return outcome
        dead = dead_letter_rows(self._stage.name, work, outcome.failures, self._emitter.keys(work))
        return replace(outcome, outputs=[*outcome.outputs, dead])

    def _undecodable(self, batch: Batch) -> list[Write]:
        rows = undecodable(self._stage.name, batch, self._clock.now())
        if rows is None:
            return []
        origin = Lineage(self._stage.name, batch.topic, self._emitter.code)
        count = self._emitter.topics[DEAD].partitions
        partitions = spread(rows.column("topic"), np.zeros(rows.num_rows, np.int32), count)
        return [Write(DEAD, p, part, origin) for p, part in split_by_partition(rows, partitions)]

    def _finished(self, work: Work, rows: int, batches: Sequence[Batch], began: float) -> None:
        self._backoff.over()
        lag = 0.0 if self._oldest is None else self._age(self._oldest)
        self._oldest = None
        for batch in batches:
            self._damaged.pop((batch.topic, batch.partition), None)
        self._measure("events", rows)
        self._measure("latency", lag)
        self._measure("pass", self._clock.monotonic() - began)
        self._say(lag=lag, ready=not self._damaged, why="; ".join(self._damaged.values()))

    def _dead_letter(self, batches: Sequence[Batch], work: Work, poison: Sequence[Failure]) -> int:
        """Dead-letter heads whose time is up, advance past them alone, and go on at once with what lay behind them."""
        through = {int(work.partitions[f.row]): int(work.positions[f.row]) for f in poison}
        advances = [Advance(work.topic, partition, position) for partition, position in through.items()]
        heads = [
            replace(b, rejected=[r for r in b.rejected if r.position < through[b.partition]])
            for b in batches
            if b.partition in through
        ]
        log.error("rows that failed alone for too long", stage=self._stage.name, reasons=[f.reason for f in poison])
        self._rewind = True
        self._commit(heads, work, Outcome(failures=poison), advances)
        self._backoff.over()
        return len(poison)

    # -- by time --------------------------------------------------------------

    def _put_off(self, outcome: Outcome) -> None:
        """What the stage said of later, once what it said of now is stored: a sick one is called again by what it said
        before."""
        self._wake = None if outcome.wake is None else self._clock.monotonic() + outcome.wake
        for partition, seconds in outcome.again.items():
            self._progress.put_off(partition)
            if self._go_back(partition):
                self._reader.seek(Seek(self._stage.source, partition, "pause"))
                self._later[partition] = self._clock.monotonic() + seconds

    def _resume_due(self, wait: float) -> float:
        """Read again what was put off until now. How long a read may wait, at most ``wait`` seconds."""
        if not self._later and self._wake is None:
            return wait
        now = self._clock.monotonic()
        for partition in [p for p, until in self._later.items() if until <= now]:
            self._reader.seek(Seek(self._stage.source, partition, "resume"))
            del self._later[partition]
        moments = [*self._later.values(), *([] if self._wake is None else [self._wake])]
        return min([wait, *(max(0.0, moment - now) for moment in moments)])

    def _waking(self) -> bool:
        return self._wake is not None and self._clock.monotonic() >= self._wake

    # -- holding --------------------------------------------------------------

    def _hold(self, sick: Sick) -> int:
        """Go back to the committed positions and wait. Rows judged poison are dead-lettered first, and nothing else."""
        self._rewind = True
        self._backoff.hold(sick)
        self._say(ready=False, why=sick.reason)
        if not isinstance(sick, NotYet):
            self._measure("sick", 1)
            self._telling.sick(sick)
            self._say(error=sick.reason)
        return 0

    def _rest(self, seconds: float) -> None:
        """Wait as a member: with nothing in hand, so that one that joins gets its share of what is held at once."""
        try:
            self._reader.seek(Seek(self._stage.source, None, "committed"))
            self._reader.seek(Seek(self._stage.source, None, "pause"))
            self._read(1, 0.0)
            if self._redrive is not None:
                self._redrive.rest()
        except FATAL:
            raise
        except LogError as error:  # the next pass meets it again, and says so
            self._say(error=str(error))
        self._clock.sleep(seconds)

    # -- what it says ---------------------------------------------------------

    def _say(self, **changed: bool | str | float) -> None:
        self._said = replace(self._said, **changed)  # type: ignore[arg-type]  # the fields' own names and types

    def _age(self, appended: int) -> float:
        return max(self._clock.now() - appended, 0) / 1e6
