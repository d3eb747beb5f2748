"""How far subscriptions have come is said by the same rows on the other log, wherever those are there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.migrate.test_migrate import quiet

from penstock.batch import RETRY, SNAPSHOTS, SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.log.embedded import EmbeddedLog
from penstock.log.memory import MemoryLog
from penstock.migrate import parents_first
from penstock.migrate.migrate import End, migrate
from penstock.migrate.translate import Translation
from penstock.models.artifacts import Artifacts
from penstock.run.compose.backends import AppLog
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, open_registry
from penstock.stages.deliver.lane_positions import LANES, BlockedLane, OrderedPosition
from penstock.stages.deliver.retry import RETRY_TOPIC, WaitingDelivery, waiting_rows
from penstock.stages.deliver.state import Began, Behind, DeliveryState, Following
from penstock.system.messages import to_rows
from penstock.system.owner import snapshot
from penstock.system.snapshots import SNAPSHOT_TOPIC

NUMBERS = TopicSpec("numbers", pa.schema([("n", pa.int64())]), 1)
COUNT = 40


def filled(log: AppLog) -> None:
    for topic in (SYSTEM_TOPIC, RETRY_TOPIC, NUMBERS):
        log.create(topic)
    pieces = [pa.record_batch({"n": pa.array(range(first, first + 8))}) for first in range(0, COUNT, 8)]
    at = np.concatenate([log.append([Write("numbers", 0, piece)])[0].positions for piece in pieces]).tolist()
    place: dict[str, Any] = {"topic": "numbers", "partition": 0}
    beyond = tuple(at[20] - at[10] if lane == 3 else 0 for lane in range(LANES))
    blocked = (BlockedLane(5, at[11], at[14], 2, 1, 1, 2, "Busy", "503"),)
    told = [
        Following(subscriptions=("live",), since=at[-1], **place),
        Behind(subscription="behind", through=at[7] + 1, **place),  # where no row is
        Began(subscription="new", topic="numbers", through=(-1,)),
        OrderedPosition(subscription="ordered", through=at[10], split="s", beyond=beyond, blocked=blocked, **place),
    ]
    waiting = WaitingDelivery("live", "numbers", 0, at[9], "i", 1, 1, 1, "Busy", "503", None, b"")
    log.append([Write(SYSTEM, 0, to_rows(told)), Write(RETRY, 2, waiting_rows([waiting]))])


def forgotten(log: AppLog) -> None:
    """What was said is in a snapshot alone."""
    log.create(SNAPSHOT_TOPIC)
    with closing(open_registry(log, ManualClock(), "owner")) as registry:
        registry.refresh()
        parts, told = snapshot(registry.view)
    log.append([Write(SNAPSHOTS, 0, parts)])
    log.reset(SYSTEM_TOPIC)
    log.append([Write(SYSTEM, 0, told)])


def check_positions_are_translated(folder: Path, prepare: Callable[[AppLog], None] = lambda log: None) -> None:
    """From a log with gaps, in many rounds, onto one without."""
    here, there = MemoryLog(gap=3), EmbeddedLog(folder / "there")
    with closing(there):
        filled(here)
        prepare(here)
        source, target = (End(n, log, Artifacts(folder / n), owners=False) for n, log in (("h", here), ("t", there)))
        lines = migrate(source, target, quiet)
        assert [line for line in lines if not line.same] == []
        with closing(open_registry(there, ManualClock(), "new")) as registry:
            registry.refresh()
            state = registry.view.areas.only(DeliveryState)
        through = {name: position.through for name, position in state.of("numbers", 0).items()}
        expected = {"live": COUNT - 1, "behind": 7, "new": -1, "ordered": 10}
        assert through == expected, "a subscription goes on from another event"
        lanes = state.lanes("numbers", 0)["ordered"]
        assert (lanes.ends()[3], lanes.ends()[4]) == (20, 10) and len(lanes.beyond) == LANES
        assert [(each.first, each.last) for each in lanes.blocked] == [(11, 14)]
        with closing(there.reader(None, [RETRY], "look")) as reader:
            assert [row["offset"] for b in reader.read(10, 0.0) for row in b.rows.to_pylist()] == [9]


def test_positions_of_subscriptions_are_those_of_the_same_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parents_first, "ROWS", 3)
    check_positions_are_translated(tmp_path)


def test_also_where_only_a_snapshot_tells_of_them(tmp_path: Path) -> None:
    check_positions_are_translated(tmp_path, forgotten)


@pytest.mark.parametrize("prepare", [lambda log: None, forgotten])
def test_mutant_that_leaves_positions_as_they_are_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[AppLog], None]
) -> None:
    """The comparison makes the same mistake, so it does not see it."""
    monkeypatch.setattr(Translation, "through", lambda self, place, position: position)
    with pytest.raises(AssertionError, match="from another event"):
        check_positions_are_translated(tmp_path, prepare)


def test_mutant_that_does_not_wait_for_what_is_spoken_of_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parents_first, "ROWS", 3)
    monkeypatch.setattr(parents_first, "_mentioned", lambda batch: iter(()))
    with pytest.raises(AssertionError, match=r"penstock\.(system|retry)|from another event"):
        check_positions_are_translated(tmp_path)
