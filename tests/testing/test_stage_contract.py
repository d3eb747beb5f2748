"""Faults planted in stages: each must turn the check of the suite red that guards against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.stages.archive import MANIFEST, Archive, Files
from tests.stages.lives import IN

from penstock.batch import Indices, TopicSpec
from penstock.clock import ManualClock
from penstock.log.memory import MemoryLog
from penstock.stages.failures.poison_policy import Sick
from penstock.stages.interface import Failure, Outcome, Output, Stage, Work
from penstock.testing import StageContract
from penstock.testing.stage_contract import CUTS

OUT = TopicSpec("out", pa.schema([pa.field("n", pa.int64(), nullable=False)]), 2)

Planted = Callable[["Doubles", Work], Outcome]


class Doubles:
    """Twice each number, unless something else is planted."""

    name, source = "doubles", IN.name

    def __init__(self, suite: OfDoubles) -> None:
        self.suite, self.calls = suite, 0
        self.seen: set[tuple[int, int]] = set()

    def handle(self, work: Work) -> Outcome:
        self.calls += 1
        return self.suite.planted(self, work)

    def plain(self, work: Work) -> Outcome:
        if self.suite.is_away:
            raise Sick("whoever doubles is away", unavailable=True)
        return Outcome([doubled(work)])


def doubled(work: Work, plus: int = 0, *, parents: Indices | None = None) -> Output:
    """Of the rows ``parents``, or of all."""
    if parents is None:
        parents = np.arange(len(work), dtype=np.int64)
    values = pa.array(work.rows.column("n").to_numpy()[parents] * 2 + plus)
    return Output(OUT.name, pa.RecordBatch.from_arrays([values], schema=OUT.schema), parents)


class OfDoubles(StageContract):
    def __init__(self, planted: Planted = Doubles.plain) -> None:
        self.planted, self.is_away = planted, False
        self.outside: set[tuple[int, int]] = set()

    def topics(self) -> Sequence[TopicSpec]:
        return [IN, OUT]

    def rows(self) -> Sequence[pa.RecordBatch]:
        ns = [range(p, 40, IN.partitions) for p in range(IN.partitions)]
        return [pa.RecordBatch.from_arrays([pa.array(each, pa.int64())], schema=IN.schema) for each in ns]

    def stage(self, log: MemoryLog, clock: ManualClock) -> Stage:
        return Doubles(self)

    @contextmanager
    def _away(self) -> Iterator[None]:
        self.is_away = True
        yield
        self.is_away = False

    def away(self) -> AbstractContextManager[None] | None:
        return self._away()


class OfAnArchive(StageContract):
    answers_all = False
    kind = Archive

    def __init__(self, kind: type[Archive]) -> None:
        self.kind, self.files = kind, Files()

    def topics(self) -> Sequence[TopicSpec]:
        return [IN, MANIFEST]

    def rows(self) -> Sequence[pa.RecordBatch]:
        return OfDoubles().rows()

    def stage(self, log: MemoryLog, clock: ManualClock) -> Stage:
        return self.kind(self.files, clock)

    def contents(self, topic: str, row: Mapping[str, Any]) -> Iterable[object]:
        return self.files.written[row["file"]]


# -- a pass -------------------------------------------------------------------


def with_parents(stage: Doubles, work: Work) -> Outcome:
    return Outcome([replace(doubled(work), parents=np.arange(1, len(work) + 1))])


def without_the_last(stage: Doubles, work: Work) -> Outcome:
    return Outcome([doubled(work, parents=np.arange(len(work) - 1))])


def failing_twice(stage: Doubles, work: Work) -> Outcome:
    return Outcome([doubled(work)], [Failure(0, "E", "bad", "", 1), Failure(0, "E", "bad", "", 1)])


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (with_parents, r"made of rows \[40\], of a work of 40"),
        (without_the_last, r"rows \[39\] are done, made nothing and did not fail"),
        (failing_twice, "a row failed twice"),
    ],
)
def test_rows_that_are_not_accounted_for_are_found(planted: Planted, said: str) -> None:
    OfDoubles().test_every_row_is_accounted_for()
    with pytest.raises(AssertionError, match=said):
        OfDoubles(planted).test_every_row_is_accounted_for()


def elsewhere(stage: Doubles, work: Work) -> Outcome:
    return Outcome([replace(doubled(work), topic="nowhere")])


def as_texts(stage: Doubles, work: Work) -> Outcome:
    made = doubled(work)
    texts = pa.RecordBatch.from_arrays([made.rows.column("n").cast(pa.string())], names=["n"])
    return Outcome([replace(made, rows=texts)])


def beyond_the_partitions(stage: Doubles, work: Work) -> Outcome:
    return Outcome([replace(doubled(work), partitions=np.full(len(work), 2, np.int32))])


def one_parent_less(stage: Doubles, work: Work) -> Outcome:
    return Outcome([replace(doubled(work), parents=np.arange(1, len(work)))])


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (elsewhere, "writes to 'nowhere', which is none of its topics"),
        (as_texts, "topic 'out': column 'n' is string, expected int64"),
        (beyond_the_partitions, r"'out' has no partition \[2"),
        (one_parent_less, "a row without a parent"),
    ],
)
def test_outputs_that_fit_no_topic_are_found(planted: Planted, said: str) -> None:
    OfDoubles().test_what_it_makes_fits_its_topics()
    with pytest.raises(AssertionError, match=said):
        OfDoubles(planted).test_what_it_makes_fits_its_topics()


def through(work: Work, more: int = 0) -> dict[int, int]:
    return {p: int(work.positions[work.partitions == p][-1]) + more for p in np.unique(work.partitions).tolist()}


def beyond(stage: Doubles, work: Work) -> Outcome:
    return Outcome([doubled(work)], done=through(work, 1))


def back(stage: Doubles, work: Work) -> Outcome:
    """Every second time it has done less than before."""
    return Outcome([doubled(work)], done=through(work) if stage.calls % 2 else dict.fromkeys(through(work), -1))


def neither(stage: Doubles, work: Work) -> Outcome:
    return Outcome([], done={})


def never(stage: Doubles, work: Work) -> Outcome:
    return Outcome([], done={}, again=dict.fromkeys(through(work), 1.0))


def no_time(stage: Doubles, work: Work) -> Outcome:
    return Outcome([doubled(work)], wake=-1.0)


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (beyond, "is said to be done through .*, and was given through"),
        (back, "is said to be done through -1, and was through"),
        (neither, "neither done nor again, in a stage that keeps none"),
        (never, "rows were never dealt with"),
        (no_time, "wake=-1.0 is no number of seconds"),
    ],
)
def test_progress_that_cannot_be_is_found(planted: Planted, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        OfDoubles(planted).test_what_it_says_of_its_progress_can_be()


def of_rows_that_did_not_come(stage: Doubles, work: Work) -> Outcome:
    return Outcome([doubled(work)] if len(work) else [], [] if len(work) else [Failure(0, "E", "", "", 1)], wake=60.0)


def done_though_nothing_came(stage: Doubles, work: Work) -> Outcome:
    return Outcome([doubled(work)] if len(work) else [], done=None if len(work) else {0: 4}, wake=60.0)


@pytest.mark.parametrize(
    ("planted", "said"),
    [(of_rows_that_did_not_come, "of which none came"), (done_though_nothing_came, "nothing of it was given")],
)
def test_a_wrong_answer_to_a_call_by_time_is_found(planted: Planted, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        OfDoubles(planted).test_called_by_time_it_answers()


@pytest.mark.parametrize("planted", [neither, never])
def test_what_was_put_back_and_is_not_done_is_found(planted: Planted) -> None:
    OfDoubles().test_what_was_put_back_is_done_at_once()
    with pytest.raises(AssertionError, match="all have to be done at once"):
        OfDoubles(planted).test_what_was_put_back_is_done_at_once()


# -- the same rows once more --------------------------------------------------


def beside_others(stage: Doubles, work: Work) -> Outcome:
    return Outcome([doubled(work, plus=len(work))])


def by_its_place_in_the_batch(stage: Doubles, work: Work) -> Outcome:
    return Outcome([replace(doubled(work), partitions=np.arange(len(work), dtype=np.int32) % OUT.partitions)])


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (beside_others, "in other batches: .*made otherwise"),
        (without_the_last, "in other batches: lost"),
        (by_its_place_in_the_batch, "in other batches: made in another order, or in other partitions"),
    ],
)
@pytest.mark.parametrize("cut", CUTS)
def test_what_depends_on_its_batch_is_found(planted: Planted, said: str, cut: str) -> None:
    OfDoubles().test_batches_make_no_difference(CUTS[cut])
    with pytest.raises(AssertionError, match=said):
        OfDoubles(planted).test_batches_make_no_difference(CUTS[cut])


def new_rows(seen: set[tuple[int, int]], work: Work) -> Indices:
    """Those that did not come before."""
    places = list(zip(work.partitions.tolist(), work.positions.tolist(), strict=True))
    new = np.array([row for row, place in enumerate(places) if place not in seen], np.int64)
    seen.update(places)
    return new


def known_to_the_process(stage: Doubles, work: Work) -> Outcome:
    new = new_rows(stage.seen, work)
    stage.plain(work)
    return Outcome([doubled(work, parents=new)])


def test_rows_that_are_passed_over_when_they_come_again_are_found() -> None:
    OfDoubles().test_rows_whose_commit_failed_come_again()
    with pytest.raises(AssertionError, match="after commits that failed: lost"):
        OfDoubles(known_to_the_process).test_rows_whose_commit_failed_come_again()


class Noting(OfDoubles):
    """What was read is noted outside of the log, before it is stored that it was dealt with."""

    def prepare(self, log: MemoryLog, clock: ManualClock) -> None:
        self.outside.clear()


def known_outside(stage: Doubles, work: Work) -> Outcome:
    return Outcome([doubled(work, parents=new_rows(stage.suite.outside, work))])


def test_rows_that_a_crash_loses_are_found() -> None:
    OfDoubles().test_whoever_crashes_nothing_is_lost_or_made_twice(0)
    with pytest.raises(AssertionError, match="after crashes: lost"):
        Noting(known_outside).test_whoever_crashes_nothing_is_lost_or_made_twice(0)


class Deaf(Archive):
    def revoked(self, partition: int) -> None: ...


class Forgetful(Archive):
    def revoked(self, partition: int) -> None:
        self.kept.clear()


def test_rows_that_are_made_twice_are_found() -> None:
    with pytest.raises(AssertionError, match="made twice"):
        for seed in range(6):
            OfAnArchive(Deaf).test_whoever_crashes_nothing_is_lost_or_made_twice(seed)


@pytest.mark.parametrize(
    ("kind", "said"), [(Deaf, "made of a partition that went"), (Forgetful, "forgotten with the partition that went")]
)
def test_what_is_kept_of_a_partition_that_went_is_found(kind: type[Archive], said: str) -> None:
    OfAnArchive(Archive).test_what_was_kept_of_a_partition_that_went_is_forgotten()
    with pytest.raises(AssertionError, match=said):
        OfAnArchive(kind).test_what_was_kept_of_a_partition_that_went_is_forgotten()


def says_nothing(stage: Doubles, work: Work) -> Outcome:
    return Outcome() if stage.suite.is_away else Outcome([doubled(work)])


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (says_nothing, "is away, and it does not say so"),
        (known_to_the_process, "after it was away: lost"),
    ],
)
def test_an_outage_that_loses_rows_is_found(planted: Planted, said: str) -> None:
    OfDoubles().test_while_a_dependency_is_away_it_is_sick_and_loses_nothing()
    with pytest.raises(AssertionError, match=said):
        OfDoubles(planted).test_while_a_dependency_is_away_it_is_sick_and_loses_nothing()
