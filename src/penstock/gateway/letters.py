"""The dead letters as somebody who looks after them sees them: which there are, and what became of each.

Everything is read from ``penstock.dead`` at each question; nothing is kept in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..batch import DEAD, Batch, Write, concat_same, data_columns
from ..errors import SchemaChanged
from ..log.interface import ObservedLog
from ..log.topic_schema import concat_evolved
from ..plan.plan import Plan
from ..stages.deliver.dead_events import DeadLetterFormat, dead_event
from ..stages.failures.dead import LEFT_OUT, as_json, event_of, marks
from ..stages.failures.ledger import Became, Ledger, LetterKey, LetterState, column_of, history

LOADED = 1_000  # letters in memory at once
TOLD = 20  # letters that an answer names one by one

Mask = npt.NDArray[np.bool_]
Place = tuple[int, int]  # partition and position in penstock.dead


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters. ``reason``: a part of it. ``since``, ``until``: when the event died, in microseconds since the
    epoch; ``places``: ``TOPIC/PARTITION/OFFSET`` of the events, none: any; ``deliveries``: of subscriptions alone,
    with the event; ``allowed``: of topics for which it says so, None: of any."""

    topic: str | None = None
    stage: str | None = None
    error: str | None = None
    reason: str | None = None
    since: int | None = None
    until: int | None = None
    places: frozenset[str] = frozenset()
    deliveries: bool = False
    allowed: Callable[[str], bool] | None = None

    def among(self, batch: Batch) -> Mask:
        rows, found = batch.rows, np.ones(len(batch), np.bool_)
        for name, value in (("topic", self.topic), ("stage", self.stage), ("error", self.error)):
            if value is not None:
                found &= _mask(pc.equal(rows.column(name), value))
        if self.reason is not None:
            found &= _mask(pc.match_substring(rows.column("reason"), self.reason))
        if self.since is not None:
            found &= batch.appended >= self.since
        if self.until is not None:
            found &= batch.appended < self.until
        if self.places:
            numbers = (rows.column(name).cast(pa.string()) for name in ("partition", "offset"))
            there = pc.binary_join_element_wise(rows.column("topic"), *numbers, "/")
            found &= _mask(pc.is_in(there, pa.array(sorted(self.places))))
        if self.allowed is not None:
            topics = [topic for topic in pc.unique(rows.column("topic")).to_pylist() if self.allowed(topic)]
            found &= _mask(pc.is_in(rows.column("topic"), pa.array(topics, pa.string())))
        if self.deliveries:
            found &= _mask(pc.is_valid(column_of(rows, "outcome"))) & _mask(pc.is_valid(column_of(rows, "event")))
        return found


@dataclass(frozen=True, slots=True)
class Letter:
    """``row``: the columns of the letter; ``died``: when it was written, in microseconds since the epoch."""

    failed: LetterKey
    entry: LetterState
    row: pa.RecordBatch
    died: int

    def described(self) -> dict[str, Any]:
        """All that is known of it, as JSON values but for times."""
        said: dict[str, Any] = data_columns(self.row).to_pylist()[0]
        kept = said.pop("event", None)
        said.pop("mark", None)
        if not said["data"] and kept is not None:
            said["data"] = as_json(data_columns(event_of(kept)))[0]
        return {
            "place": self.failed.place,
            "state": self.entry.became,
            "round": said.pop("round", None) or 0,
            "since": _moment(self.entry.since),
            "died": _moment(self.died),
            **said,
        }

    def as_event(self, plan: Plan, format: DeadLetterFormat) -> msgspec.Raw:
        """As Event Grid tells of it (``dead_events``). It has to be of a delivery."""
        return msgspec.Raw(dead_event(self.row, plan, format))


@dataclass(slots=True)
class RedriveResult:
    """``left``: how many more are to be done as far as one can tell without reading them. ``refused``: which cannot be
    put back, and why; ``reasons``: how many for each reason."""

    count: int = 0
    left: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


class Letters:
    """Over one log. Used by one thread at a time."""

    def __init__(self, log: ObservedLog, plan: Plan) -> None:
        self._log, self._plan = log, plan

    def found(self, wanted: LetterFilter, states: frozenset[Became]) -> list[tuple[LetterKey, LetterState]]:
        """Those in one of these states, the oldest first. Raises ``Corrupt`` where ``penstock.dead`` is damaged."""
        ledger, right = Ledger(), set[Place]()
        for batch in history(self._log, self._ends()):
            ledger.take(batch)
            right.update((batch.partition, at) for at in batch.positions[wanted.among(batch)].tolist())
        there = ((f, e) for f, e in ledger.entries.items() if e.became in states and (e.partition, e.at) in right)
        return sorted(there, key=lambda each: (each[1].since, each[1].partition, each[1].at))

    def load(self, known: Sequence[tuple[LetterKey, LetterState]]) -> list[Letter]:
        """Their rows, in the same order."""
        rows: dict[Place, tuple[pa.RecordBatch, int]] = {}
        places = {(entry.partition, entry.at) for _, entry in known}
        firsts: dict[int, int] = {}
        lasts: dict[int, int] = {}
        for partition, at in places:
            firsts[partition] = min(at, firsts.get(partition, at))
            lasts[partition] = max(at, lasts.get(partition, at))
        for batch in history(self._log, dict.fromkeys(self._ends(), -1) | lasts, firsts):
            for row, at in enumerate(batch.positions.tolist()):
                if (batch.partition, at) in places:
                    rows[batch.partition, at] = batch.rows.slice(row, 1), int(batch.appended[row])
        return [
            Letter(failed, entry, *rows[entry.partition, entry.at])
            for failed, entry in known
            if (entry.partition, entry.at) in rows
        ]

    def redrive(self, wanted: LetterFilter, *, rounds: int, most: int, dry: bool) -> RedriveResult:
        """Ask for up to ``most`` of them to be put back. A letter that was put back ``rounds`` times stays."""
        done = RedriveResult()
        hopeful: list[tuple[LetterKey, LetterState]] = []
        for failed, entry in self.found(wanted, frozenset({"dead"})):
            why = self._never(failed) or _too_often(entry, rounds)
            if why:
                _refuse(done, failed, why)
            else:
                hopeful.append((failed, entry))
        taken = 0
        while taken < len(hopeful) and (dry or done.count < most):
            part = hopeful[taken : taken + (LOADED if dry else min(LOADED, most - done.count))]
            taken += len(part)
            good = [letter for letter in self.load(part) if self._check(done, letter)]
            done.count += len(good)
            if not dry:
                self._mark(good, "redriven")
        done.left = done.count if dry else len(hopeful) - taken
        done.count = 0 if dry else done.count
        return done

    def drop(self, wanted: LetterFilter, *, most: int, dry: bool) -> RedriveResult:
        """Say of up to ``most`` of them that nothing is to be done."""
        there = self.found(wanted, frozenset({"dead"}))
        if dry:
            return RedriveResult(left=len(there))
        part = self.load(there[:most])
        self._mark(part, "dropped")
        return RedriveResult(count=len(part), left=max(len(there) - most, 0))

    # -- what keeps an event from being put back ------------------------------

    def _never(self, failed: LetterKey) -> str:
        stages = {stage.name: stage.source for stage in self._plan.stages}
        stages |= {subscription.name: subscription.source for subscription in self._plan.subscriptions}
        if failed.topic not in {spec.name for spec in self._log.topics()}:
            return f"topic '{failed.topic}' is gone"
        if failed.stage not in stages:
            return f"this app has no stage and no subscription '{failed.stage}'"
        if stages[failed.stage] != failed.topic:
            return f"'{failed.stage}' reads topic '{stages[failed.stage]}' now, not '{failed.topic}'"
        return ""

    def _check(self, done: RedriveResult, letter: Letter) -> bool:
        why = self._unfit(letter)
        if why:
            _refuse(done, letter.failed, why)
        return not why

    def _unfit(self, letter: Letter) -> str:
        kept = column_of(letter.row, "event")[0].as_py()
        if kept is None:
            return _why_unknown(letter.row)
        schema = next(spec.schema for spec in self._log.topics() if spec.name == letter.failed.topic)
        try:
            concat_evolved(schema, [event_of(kept)])
        except (SchemaChanged, ValueError) as error:
            return f"it does not fit topic '{letter.failed.topic}' as it is now: {error}"
        return ""

    # -- the log --------------------------------------------------------------

    def _mark(self, letters: Sequence[Letter], mark: str) -> None:
        """In one transaction, each where its letter is."""
        rows: dict[int, list[pa.RecordBatch]] = {}
        for letter in letters:
            rows.setdefault(letter.entry.partition, []).append(marks(letter.row, mark))
        self._log.append([Write(DEAD, partition, concat_same(parts)) for partition, parts in rows.items()])

    def _ends(self) -> Mapping[int, int]:
        return {partition: end - 1 for partition, end in self._log.ends(DEAD).items()}


def _refuse(done: RedriveResult, failed: LetterKey, why: str) -> None:
    done.reasons[why] += 1
    if len(done.refused) < TOLD:
        done.refused.append({"place": failed.place, "stage": failed.stage, "reason": why})


def _too_often(entry: LetterState, rounds: int) -> str:
    if entry.round < rounds:
        return ""
    return (
        f"it was put back {entry.round} times and failed again each time: mend it first, then ask with a higher limit"
    )


def _why_unknown(row: pa.RecordBatch) -> str:
    said = row.to_pylist()[0]
    if said["error"] == "Undecodable":
        return "its bytes could not be decoded, so there is no event to put back: publish a mended one"
    if not said["data"] or LEFT_OUT in said["reason"]:
        return "its data fit no record and are not in the letter: publish the event again"
    return "it was written by a version that did not keep the event exactly: publish its data again"


def _mask(values: Any) -> Mask:
    found: Mask = values.fill_null(False).to_numpy(zero_copy_only=False)
    return found


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1e6, UTC)
