"""The stage of a user's function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ..batch import SYSTEM, Indices, TopicSpec, concat_same, data_columns
from ..clock import Clock
from ..declare.planning.where import holds
from ..errors import NotOffered, ResultMisshapen, RunnerDied, SchemaChanged, TaskFailed
from ..plan.plan import FunctionSpec
from ..runner.interface import Applied, RowFailure, Runner, Services, SetAlias, Wish
from ..schema.evolution import conform
from ..settings import Settings
from ..system.messages import to_rows
from .batch_size import BatchSize
from .envelope import enveloped, placed
from .failures.bisection import CallLimits, PassedRows, bisect
from .failures.in_hand import InHand
from .failures.poison_policy import PoisonPolicy, Sick
from .interface import Failure, Outcome, Output, Work
from .model_service import EventServices, Place
from .system_events import as_messages, rows_of


@dataclass(frozen=True, slots=True)
class Made:
    """What calls made: rows, the row of the work that each was made of, and the commands with the row that asked."""

    rows: pa.RecordBatch | None
    parents: Indices
    commands: Sequence[tuple[int, Wish]] = ()


class Transform:
    """Runs the function of one stage over its source. ``target``: where its results go; None: nowhere.

    A function that is given a handle gets one row a call, so that what it asks for belongs to one event; ``services``
    answers it.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        target: TopicSpec | None,
        runner: Runner,
        clock: Clock,
        settings: Settings,
        *,
        services: EventServices | None = None,
        in_hand: InHand | None = None,
    ) -> None:
        self.name, self.source = spec.name, spec.source
        self.budget = BatchSize(settings.batch_time, settings.batch_rows)
        self._spec = spec
        self._target = target
        self._runner = runner
        self._clock = clock
        self._services = services
        self._in_hand = in_hand
        self._patience = PoisonPolicy(clock, settings.poison_after if spec.ttl is None else spec.ttl, spec.timeout)
        self._limits = CallLimits(spec.timeout, spec.attempts, self.budget.expect)

    def handle(self, work: Work) -> Outcome:
        self.budget.lag = (self._clock.now() - int(work.appended.min())) / 1e6
        chosen = self._chosen(work)
        if not len(chosen):
            return Outcome()
        part = work if len(chosen) == len(work) else work.take(chosen)
        if self._spec.event is not None:
            part = replace(part, rows=as_messages(self._spec.event, part.rows))
        if self._spec.takes == "envelope":
            part = enveloped(part)
        elif self._spec.takes == "event":
            part = placed(part)
        try:
            parts, failures = bisect(
                lambda rows, limit: self._call(part, rows, limit),
                part,
                patience=self._patience,
                limits=self._limits,
                clock=self._clock,
                in_hand=self._in_hand,
            )
        except Sick as sick:
            sick.poison = _among(sick.poison, chosen)
            raise
        return Outcome(self._outputs(part, parts, chosen), _among(failures, chosen))

    # -- which rows -----------------------------------------------------------

    def _chosen(self, work: Work) -> Indices:
        """The rows that this function is for: all of a topic, or the system events of its type and condition."""
        if self._spec.event is None:
            return np.arange(len(work), dtype=np.int64)
        rows = rows_of(self._spec.event, work.rows)
        if self._spec.where is None or not len(rows):
            return rows
        told = as_messages(self._spec.event, work.rows.take(pa.array(rows)))
        return rows[holds(self._spec.where, self._spec.event, told.column("json"))]

    # -- one call -------------------------------------------------------------

    def _call(self, work: Work, rows: Indices, limit: float) -> tuple[Made, Sequence[RowFailure]]:
        if self._spec.handles:
            return self._one_by_one(work, rows, limit)
        whole = len(rows) == len(work)
        applied = self._apply(work.rows if whole else work.rows.take(pa.array(rows)), limit, None)
        return self._made(applied, rows), applied.failures

    def _one_by_one(self, work: Work, rows: Indices, limit: float) -> tuple[Made, Sequence[RowFailure]]:
        made: list[Made] = []
        failures: list[RowFailure] = []
        for nth, row in enumerate(rows.tolist()):
            services = self._services.at(self._place(work, row), self._spec.handles) if self._services else None
            try:
                applied = self._apply(work.rows.slice(row, 1), limit, services)
            except TaskFailed as error:
                if error.unavailable or len(rows) == 1:
                    raise
                failures.append(RowFailure(nth, error.error, error.reason, error.traceback, transient=error.transient))
                continue
            except RunnerDied as error:
                raise RunnerDied(error.reason, nth) from error
            failures += [
                RowFailure(nth, f.error, f.reason, f.traceback, f.rejected, f.transient) for f in applied.failures
            ]
            made.append(self._made(applied, rows[nth : nth + 1]))
        return _merged(made), failures

    def _apply(self, rows: pa.RecordBatch, limit: float, services: Services | None) -> Applied:
        """Raises ``Sick`` for an answer that no choice of rows would mend: alone they would pass with wrong values."""
        with self.budget.timed(rows.num_rows, self._clock):
            try:
                return self._runner.apply(self.name, rows, timeout=limit, services=services)
            except ResultMisshapen as error:
                place = f"{self._spec.place}: " if self._spec.place else ""
                raise Sick(f"{place}{error}", unavailable=True) from error

    def _made(self, applied: Applied, rows: Indices) -> Made:
        first = int(rows[0])
        for wish in applied.commands:
            verb, what = ("alias", "moves an alias") if isinstance(wish, SetAlias) else ("subscribe", "subscribes")
            if not any(verb in handle.verbs for handle in self._spec.handles):
                reason = f"stage '{self.name}' {what}, and its function asks for no handle that does"
                raise TaskFailed(NotOffered.__name__, reason, "")
        commands = [(first, command) for command in applied.commands]
        if applied.rows is None or self._target is None:
            return Made(None, np.zeros(0, np.int64), commands)
        try:
            made = conform(data_columns(applied.rows), self._target.schema)
        except SchemaChanged as error:
            reason = f"stage '{self.name}' returned rows that do not fit topic '{self._target.name}': {error}"
            raise TaskFailed("OutputMismatch", reason, "") from error
        return Made(made, rows[applied.parents], commands)

    # -- all together ---------------------------------------------------------

    def _outputs(self, work: Work, parts: Sequence[PassedRows[Made]], chosen: Indices) -> list[Output]:
        whole = _merged([part.value for part in parts])
        outputs: list[Output] = []
        if whole.rows is not None and self._target is not None:
            outputs.append(Output(self._target.name, whole.rows, chosen[whole.parents]))
        if whole.commands:
            outputs.append(self._commands(work, whole.commands, chosen))
        return outputs

    def _commands(self, work: Work, wanted: Sequence[tuple[int, Wish]], chosen: Indices) -> Output:
        rows = np.array([row for row, _ in wanted], np.int64)
        nths = [int((rows[:i] == row).sum()) for i, row in enumerate(rows)]
        asked = [self._place(work, row).command(wish, nth) for (row, wish), nth in zip(wanted, nths, strict=True)]
        return Output(SYSTEM, to_rows(asked), chosen[rows])

    def _place(self, work: Work, row: int) -> Place:
        return Place(self.name, work.topic, int(work.partitions[row]), int(work.positions[row]))


def _merged(parts: Sequence[Made]) -> Made:
    rows = [part.rows for part in parts if part.rows is not None]
    commands = [command for part in parts for command in part.commands]
    if not rows:
        return Made(None, np.zeros(0, np.int64), commands)
    return Made(concat_same(rows), np.concatenate([part.parents for part in parts if part.rows is not None]), commands)


def _among(failures: Sequence[Failure], chosen: Indices) -> list[Failure]:
    return [Failure(int(chosen[f.row]), f.error, f.reason, f.traceback, f.attempts) for f in failures]
