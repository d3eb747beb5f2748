"""The stage of a model: every event of a topic scored with the version that an alias points to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..batch import Indices, TopicSpec, concat_same
from ..clock import Clock
from ..errors import (
    ArtifactDamaged,
    Busy,
    InputInvalid,
    InvalidEvent,
    ModelRefused,
    PredictionInvalid,
    PredictionMisshapen,
    RunnerDied,
    TaskFailed,
)
from ..models.interface import ModelVersion
from ..models.packing import zeros
from ..models.signature import FeatureColumns
from ..plan.plan import ScoreSpec
from ..runner.interface import RowFailure
from ..schema.evolution import conform
from ..schema.ingress.values import MadeValues
from ..settings import Settings
from .batch_size import BatchSize
from .failures.bisection import CallLimits, PassedRows, bisect
from .failures.in_hand import InHand
from .failures.poison_policy import PoisonPolicy, Sick
from .interface import Failure, Outcome, Output, Work
from .scoring.deployment import PinnedVersion
from .scoring.versions import Versions

PAIRS = 8  # of rows, tried when a model answers another number of rows: is it the model, or some of the rows?


@dataclass(frozen=True, slots=True)
class Scored:
    """Answers, and the rows of their call that they are of."""

    answers: pa.RecordBatch
    rows: Indices


class Score:
    """Scores ``source`` into ``target``, with the version that ``versions`` chooses for each work."""

    def __init__(
        self,
        spec: ScoreSpec,
        target: TopicSpec,
        versions: Versions,
        clock: Clock,
        settings: Settings,
        *,
        in_hand: InHand | None = None,
    ) -> None:
        self.name, self.source = spec.name, spec.source
        self.budget = BatchSize(settings.batch_time, settings.batch_rows)
        self._spec, self._target, self._versions = spec, target, versions
        self._clock = clock
        self._in_hand = in_hand
        self._patience = PoisonPolicy(clock, settings.poison_after if spec.ttl is None else spec.ttl, spec.timeout)
        self._limits = CallLimits(spec.timeout, spec.attempts, self.budget.expect)
        self._made = MadeValues(target.schema)
        self._intake: tuple[str, FeatureColumns] | None = None  # of the version at work; the pump's thread only
        self._rowwise = ""  # the version that has answered several rows as it must; the pump's thread only

    def handle(self, work: Work) -> Outcome:
        self.budget.lag = (self._clock.now() - int(work.appended.min())) / 1e6
        with self._versions.for_work(work) as version:
            parts, failures = bisect(
                lambda rows, limit: self._call(version, work.rows, rows, limit),
                work,
                patience=self._patience,
                limits=self._limits,
                clock=self._clock,
                in_hand=self._in_hand,
            )
        outputs, unfit = self._predictions(work.rows, parts, version.artifact.version)
        return Outcome([*outputs, *self._versions.records(work, version)], [*failures, *unfit])

    def answer(self, rows: pa.RecordBatch, timeout: float) -> tuple[pa.RecordBatch, ModelVersion]:
        """Score a caller's rows as the stream's: the model's outputs, and the version that made them.

        Raises ``NotFound`` while there is no version, ``InvalidEvent`` for columns and values that the model cannot
        read, ``Busy`` for columns that only the version still being loaded might, and what ``Runner.predict`` raises.
        """
        with self._versions.for_call() as version:
            try:
                features = self._asked(rows, version)
                return version.predict(features, min(timeout, self._spec.timeout)), version.artifact.version
            except InputInvalid as error:
                raise InvalidEvent(error.reason, row=error.rows[0]) from error

    def _asked(self, rows: pa.RecordBatch, version: PinnedVersion) -> pa.RecordBatch:
        try:
            return FeatureColumns(version.artifact.version.signature)(rows)
        except ModelRefused as error:
            if version.behind:  # they may be the columns of the version that is being loaded
                raise Busy(f"{error}; {version.behind}") from error
            raise InvalidEvent(str(error)) from error

    # -- scoring --------------------------------------------------------------

    def _reads(self, version: ModelVersion) -> FeatureColumns:
        if self._intake is None or self._intake[0] != version.ref:
            self._intake = version.ref, FeatureColumns(version.signature)
        return self._intake[1]

    def _call(
        self, lease: PinnedVersion, scored: pa.RecordBatch, rows: Indices, limit: float
    ) -> tuple[Scored, Sequence[RowFailure]]:
        """Score these rows but those that the model cannot read: nothing can be waited for that would mend them."""
        left = np.arange(len(rows), dtype=np.int64)
        failures: list[RowFailure] = []
        while len(left):
            try:
                return Scored(self._predict(lease, scored, rows[left], limit), left), failures
            except InputInvalid as error:
                failures += [_unread(int(left[row]), error) for row in error.rows]
                left = np.delete(left, error.rows)
        return Scored(zeros(lease.artifact.version.signature.outputs, 0), left), failures

    def _predict(self, lease: PinnedVersion, scored: pa.RecordBatch, rows: Indices, limit: float) -> pa.RecordBatch:
        """Raises ``InputInvalid``, and ``Sick`` for a version that cannot be used here."""
        version = lease.artifact.version
        part = scored if len(rows) == scored.num_rows else scored.take(pa.array(rows))
        try:
            features = self._reads(version)(part)
        except ModelRefused as error:
            raise Sick(f"model {version.ref} does not fit topic '{self.source}': {error}") from error
        try:
            with self.budget.timed(len(rows), self._clock, version.ref):
                answers = lease.predict(features, limit)
        except (ArtifactDamaged, ModelRefused) as error:
            raise Sick(f"model {version.ref} cannot be used: {error}") from error
        except PredictionMisshapen as error:
            if self._answers_each_row(lease, features, limit):  # but for some, which are looked for
                raise PredictionInvalid(str(error)) from error
            # The model's fault: rows that it answers alone say nothing.
            raise Sick(f"{error}; promote a version that does", unavailable=True) from error
        if len(rows) > 1:
            self._rowwise = version.ref
        return answers

    def _answers_each_row(self, lease: PinnedVersion, features: pa.RecordBatch, limit: float) -> bool:
        """Has this version answered several rows as it must, or does it answer any two of the first ones so?"""
        ref = lease.artifact.version.ref
        for start in range(0, min(features.num_rows - 1, 2 * PAIRS), 2):
            if self._rowwise == ref:
                break
            try:
                lease.predict(features.slice(start, 2), limit)
                self._rowwise = ref
            except (PredictionInvalid, InputInvalid, TaskFailed, RunnerDied):
                continue
        return self._rowwise == ref

    def _predictions(
        self, scored: pa.RecordBatch, parts: Sequence[PassedRows[Scored]], version: ModelVersion
    ) -> tuple[list[Output], list[Failure]]:
        """And the rows whose predictions the topic does not take: outside its bounds, or none of its values."""
        if not parts:
            return [], []
        parents = np.concatenate([part.rows[part.value.rows] for part in parts])
        if not len(parents):
            return [], []
        answers = concat_same([part.value.answers for part in parts])
        kept = scored.select(list(self._spec.keep))
        if len(parts) > 1 or len(parents) < kept.num_rows:
            kept = kept.take(pa.array(parents))
        rows = pa.RecordBatch.from_arrays(
            [*kept.columns, *answers.columns], names=[*kept.schema.names, *answers.schema.names]
        )
        rows = conform(rows, self._target.schema)
        bad = self._made.faults(rows)
        unfit = [Failure(int(parents[row]), "PredictionInvalid", reason, "", 1) for row, reason in bad.items()]
        if bad:
            good = np.setdiff1d(np.arange(len(parents)), list(bad))
            rows, parents = rows.take(pa.array(good)), parents[good]
        return [Output(self._target.name, rows, parents, version.name, version.version)], unfit


def _unread(row: int, error: InputInvalid) -> RowFailure:
    return RowFailure(row, type(error).__name__, error.reason, rejected=True)
