"""Stages that deal with their work in parts, and by time, while their members die: on every log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.stages.archive import MANIFEST, Archive, Files
from tests.stages.ladder import RETRY, Deliver, Ladder, Outside, Sender
from tests.stages.lives import Lives, OutputsFirst, PositionsFirst

from penstock.batch import DEAD
from penstock.clock import ManualClock
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Log
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.log.memory import MemoryLog
from penstock.settings import Settings
from penstock.stages.interface import Outcome
from penstock.stages.progress import Progress, Settled
from penstock.stages.pump import Pump

SEEDS = range(20)
PLANTED = range(12)  # seeds, of which one at least has to turn red


@contextmanager
def closing(log: Log) -> Iterator[Log]:
    try:
        yield log
    finally:
        log.close()


def ladder(log: Log, seed: int, clock: ManualClock, **lives: Any) -> None:
    rng = Random(seed)
    never = {n for n in range(1_000) if n % 53 == 0}
    outside = Outside(lambda n: n in never or rng.random() < 0.3)

    def stages() -> list[Any]:
        first, others = Sender(outside), Sender(outside)
        return [(Deliver(first, clock), first.committed), (Ladder(others, clock), others.committed)]

    members = Lives(log, rng, clock, RETRY, stages, **lives)
    every = set(range(members.count))

    def dead() -> list[int]:
        return [json.loads(row["data"])["n"] for row in members.rows(DEAD)]

    members.run(lambda: len(every - outside.settled) < 40 and outside.settled | set(dead()) >= every)
    given_up = dead()
    assert not (lost := every - set(outside.got) - set(given_up)), f"lost: {sorted(lost)}"
    assert len(given_up) == len(set(given_up)), "given up twice"
    assert set(given_up) >= never & every
    assert not outside.repeated, f"sent again, though it is committed that they were: {outside.repeated}"


def archive(log: Log, seed: int, clock: ManualClock, away: float = 0.2, **lives: Any) -> None:
    rng = Random(seed)
    files = Files(lambda: rng.random() < away)
    members = Lives(log, rng, clock, MANIFEST, lambda: [(Archive(files, clock), lambda *_: None)], **lives)

    def named() -> list[int]:
        return [n for row in members.rows(MANIFEST.name) for n in files.written[row["file"]]]

    members.run(lambda: len(set(named())) == members.count)
    rows = named()
    assert not (lost := set(range(members.count)) - set(rows)), f"lost: {sorted(lost)}"
    assert len(rows) == len(set(rows)), "archived twice"


def on_memory(case: Any, seed: int, **lives: Any) -> None:
    clock = ManualClock()
    case(MemoryLog(clock, gap=3), seed, clock, **lives)


cases = pytest.mark.parametrize("case", [ladder, archive])


@cases
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_done_twice_whoever_dies(case: Any, seed: int) -> None:
    on_memory(case, seed)


@cases
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_done_twice_in_a_file(case: Any, seed: int, tmp_path: Path) -> None:
    with closing(EmbeddedLog(tmp_path)) as log:
        case(log, seed, ManualClock(), count=200)


@cases
def test_nothing_is_lost_or_done_twice_on_kafka(case: Any, kafka: str, prefix: str) -> None:
    settings = Settings(member_timeout=6.0, poll_interval=0.1)
    with closing(KafkaLog(Address(kafka, prefix), settings=settings)) as log:
        case(log, 1, ManualClock(), count=120, odds=0.04, jumps=(10.0, 30.0))


# -- planted faults -----------------------------------------------------------


def some_seed(case: Any, **lives: Any) -> None:
    for seed in PLANTED:
        on_memory(case, seed, rounds=2_000, **lives)


@cases
def test_mutant_that_takes_all_for_done_is_found(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Progress.settle

    def settle(self: Progress, batches: Any, work: Any, outcome: Outcome, owned: Any) -> Settled:
        return plain(self, batches, work, replace(outcome, done=None, again={}), owned)

    monkeypatch.setattr(Progress, "settle", settle)
    with pytest.raises(AssertionError, match="lost"):
        some_seed(case)


def test_mutant_that_does_not_read_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pump, "_go_back", lambda *_: True)
    with pytest.raises(AssertionError, match="lost"):
        some_seed(ladder)


def test_mutant_that_calls_nobody_by_time_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pump, "_waking", lambda _: False)
    with pytest.raises(AssertionError, match="lost"):
        some_seed(archive, odds=0.0)  # whoever comes and goes has the rows given again, and the stage called with them


def test_mutant_that_does_not_say_that_kept_rows_come_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Archive, "revoked", lambda *_: None)
    with pytest.raises(AssertionError, match="archived twice"):
        some_seed(archive)


@cases
def test_mutant_that_moves_positions_first_is_found(case: Any) -> None:
    with pytest.raises(AssertionError, match="lost"):
        some_seed(case, reader=PositionsFirst)


@pytest.mark.parametrize(("case", "what"), [(ladder, "sent again|given up twice"), (archive, "archived twice")])
def test_mutant_that_stores_outputs_first_is_found(case: Any, what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        some_seed(case, reader=OutputsFirst)
