"""What every stage promises. Subclass ``StageContract`` in a pytest file, and give it the stage, topics and rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ..batch import DEAD, Batch, TopicSpec
from ..clock import ManualClock
from ..errors import OutcomeInvalid, SchemaChanged
from ..log.memory import MemoryLog
from ..log.topic_schema import RowChecks
from ..stages.interface import Keeps, Outcome, Stage, Work
from ..stages.progress import Progress, check_whole
from .stage_runs import IDLE_S, Cut, Made, StageRun, difference

CUTS = {
    "one by one": Cut(rows=1),
    "in pieces of several partitions": Cut(rows=5),
    "as they come": Cut(every=1),
    "by twos": Cut(rows=3, every=2),
    "a partition at a time": Cut(every=3, by_turns=False),
}
SEEDS = range(6)
AWAY_ROUNDS = 10
LETTER = ("topic", "partition", "offset", "error")  # of a dead letter: the rest depends on the tries


class StageContract:
    """``stage``, ``topics`` and ``rows`` are yours to give. What the stage has outside of the log, files or a service,
    is the test's and outlives its processes: keep it on ``self``. What it depends on and may be away ``away`` says."""

    answers_all = True  # each row of a work makes something or fails: none is answered with nothing, or kept
    redriven = True  # it dead-letters rows, so they may be put back

    def topics(self) -> Sequence[TopicSpec]:
        """The source first, then all that it writes to."""
        raise NotImplementedError

    def rows(self) -> Sequence[pa.RecordBatch]:
        """Of the source, by partition: some dozens in all, no two alike, and those among them that fail."""
        raise NotImplementedError

    def stage(self, log: MemoryLog, clock: ManualClock) -> Stage:
        """As a process has it that has just started."""
        raise NotImplementedError

    def prepare(self, log: MemoryLog, clock: ManualClock) -> None:
        """What is in the log before any stage runs."""

    def contents(self, topic: str, row: dict[str, Any]) -> Iterable[object]:
        """What a row that was made stands for. Leave out what time decides; for a row that names a file, say what is in
        it."""
        if topic == DEAD:
            return [{name: row[name] for name in LETTER}]
        return [{name: value for name, value in row.items() if not is_absent(name, value)}]

    def away(self) -> AbstractContextManager[None] | None:
        """Within it, what the stage depends on cannot be reached. None: it depends on nothing."""
        return None

    # -- a pass ---------------------------------------------------------------

    def test_every_row_is_accounted_for(self) -> None:
        run = StageRun(self).settle()
        for work, outcome in run.passes:
            check_accounted(work, outcome, all_of_them=self.answers_all)
        run.check()

    def test_what_it_makes_fits_its_topics(self) -> None:
        run = StageRun(self).settle()
        for _, outcome in run.passes:
            check_fitting(outcome, run.topics)
        run.check()

    def test_what_it_says_of_its_progress_can_be(self) -> None:
        run = StageRun(self).settle(Cut(rows=5))
        if not any(outcome.in_parts for _, outcome in run.passes):
            pytest.skip("it deals with all of a work at once")
        run.check()

    def test_called_by_time_it_answers(self) -> None:
        run = StageRun(self).settle()
        stage = self.stage(run.log, run.clock)
        if not isinstance(stage, Keeps) and all(outcome.wake is None for _, outcome in run.passes):
            pytest.skip("it keeps nothing and asks for no call, so none comes without rows")
        outcome = by_time(stage, run)
        assert not outcome.failures and all(o.parents is None for o in outcome.outputs), (
            "made of rows, of which none came"
        )
        progress = Progress(stage.name, keeps=isinstance(stage, Keeps))
        with allowed():
            progress.settle((), Work.none(run.topics[run.source]), outcome, {})

    def test_what_was_put_back_is_done_at_once(self) -> None:
        if not self.redriven:
            pytest.skip("it dead-letters nothing, so nothing is put back")
        run = StageRun(self)
        run.publish()
        work = replace(Work.of(given(run)), again=True)
        outcome = self.stage(run.log, run.clock).handle(work)
        check_accounted(work, outcome, all_of_them=self.answers_all)
        with allowed():
            check_whole("it", work, outcome)

    # -- the same rows once more ----------------------------------------------

    @pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
    def test_batches_make_no_difference(self, cut: Cut) -> None:
        expected = self._expected()
        run = StageRun(self).settle(cut)
        run.check()
        assert not (differs := difference(expected, run.made())), f"in other batches: {differs}"

    def test_rows_whose_commit_failed_come_again(self) -> None:
        """To the same process, which has seen them."""
        expected = self._expected()
        run = StageRun(self).settle(Cut(rows=5), failing=True)
        assert not (differs := difference(expected, run.made())), f"after commits that failed: {differs}"

    @pytest.mark.parametrize("seed", SEEDS)
    def test_whoever_crashes_nothing_is_lost_or_made_twice(self, seed: int) -> None:
        expected = self._expected()
        run = StageRun(self).crash(seed)
        run.check()
        assert not (differs := difference(expected, run.made())), f"after crashes: {differs}"

    def test_what_was_kept_of_a_partition_that_went_is_forgotten(self) -> None:
        expected, found = self._of_what_was_kept([1]), self._of_what_was_kept([0, 1], gone=0)
        if not expected:
            pytest.skip("it makes nothing of a few rows")
        assert not (more := found - expected), f"made of a partition that went: {list(more)[:3]}"
        assert found == expected, f"forgotten with the partition that went: {list(expected - found)[:3]}"

    def test_while_a_dependency_is_away_it_is_sick_and_loses_nothing(self) -> None:
        if (away := self.away()) is None:
            pytest.skip("it depends on nothing that may be away")
        expected = self._expected()
        run = StageRun(self)
        observed, pump = run.member()
        with away:
            run.publish()
            for _ in range(200):
                pump.step(0.0)
                run.clock.advance(IDLE_S)
                if len(observed.sick) == AWAY_ROUNDS:
                    break
            assert observed.sick, "what it depends on is away, and it does not say so"
        run.work(pump)
        assert not (differs := difference(expected, run.made())), f"after it was away: {differs}"

    # -- what the tests stand on ----------------------------------------------

    def _expected(self) -> Made:
        """Of all rows at once."""
        run = StageRun(self).settle()
        run.check()
        made = run.made()
        assert made, "it makes nothing of these rows"
        return made

    def _of_what_was_kept(self, partitions: Sequence[int], gone: int | None = None) -> Counter[str]:
        """What a stage makes by time of the first rows of some partitions, one of which goes meanwhile."""
        run = StageRun(self)
        stage = self.stage(run.log, run.clock)
        if not isinstance(stage, Keeps):
            pytest.skip("it keeps nothing from one pass to another")
        run.publish()
        batches = [batch.slice(0, 2) for batch in given(run) if batch.partition in partitions]
        for batch in batches:
            stage.assigned(batch.partition, None)
        outcome = stage.handle(Work.of(batches))
        if gone is not None:
            stage.revoked(gone)
        for _ in range(200):
            if outcome.outputs:
                break
            run.clock.advance(IDLE_S if outcome.wake is None else outcome.wake)
            outcome = by_time(stage, run)
        rows = [(o.topic, row) for o in outcome.outputs for row in o.rows.to_pylist()]
        return Counter(repr(each) for topic, row in rows for each in self.contents(topic, row))


def is_absent(name: str, value: object) -> bool:
    """A column of the envelope that is null, or as good as that; other rows of a batch may need it."""
    return name.startswith("_") and (value is None or (name == "_ordinal" and value == 0))


def given(run: StageRun) -> Sequence[Batch]:
    """All that was published, as one read."""
    reader = run.log.reader(None, [run.source], "look")
    batches = reader.read(100_000, 0.0)
    reader.close()
    return [batch for batch in batches if batch.origin is None]


def by_time(stage: Stage, run: StageRun) -> Outcome:
    return stage.handle(Work.none(run.topics[run.source]))


@contextmanager
def allowed() -> Iterator[None]:
    try:
        yield
    except OutcomeInvalid as error:
        raise AssertionError(str(error)) from error


def check_accounted(work: Work, outcome: Outcome, *, all_of_them: bool) -> None:
    failed = np.array([failure.row for failure in outcome.failures], np.int64)
    parents = np.concatenate([failed, *(o.parents for o in outcome.outputs if o.parents is not None)])
    outside = parents[(parents < 0) | (parents >= len(work))].tolist()
    assert not outside, f"made of rows {outside}, of a work of {len(work)}"
    assert len(set(failed.tolist())) == len(failed), "a row failed twice in one pass"
    if all_of_them:
        done = outcome.done
        limits = work.positions if done is None else np.array([done.get(p, -1) for p in work.partitions.tolist()])
        silent = np.setdiff1d(np.flatnonzero(work.positions <= limits), parents).tolist()
        assert not silent, f"rows {silent} are done, made nothing and did not fail"


def check_fitting(outcome: Outcome, topics: dict[str, TopicSpec]) -> None:
    for output in outcome.outputs:
        count = output.rows.num_rows
        assert output.topic in topics, f"it writes to '{output.topic}', which is none of its topics"
        assert output.parents is None or len(output.parents) == count, "a row without a parent, or a parent without one"
        try:
            RowChecks().check(topics[output.topic], output.rows)
        except SchemaChanged as error:
            raise AssertionError(str(error)) from error
        if (partitions := output.partitions) is not None:
            assert len(partitions) == count, "a row without a partition"
            there = (partitions >= 0) & (partitions < topics[output.topic].partitions)
            assert there.all(), f"'{output.topic}' has no partition {partitions[~there].tolist()}"
