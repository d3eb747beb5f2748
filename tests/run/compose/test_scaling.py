"""From what processes measure and the log tells to the number of workers."""

from __future__ import annotations

import uuid

import pytest

from penstock.clock import ManualClock
from penstock.log.interface import GroupState
from penstock.models.decide import RegistryState
from penstock.models.interface import Alias
from penstock.models.messages import Activated
from penstock.run.compose.scaling import LOAD, WANTED, WINDOW_S, Scaling, load_of
from penstock.stages.metrics import CAPACITY, CONSUMED
from penstock.stages.scaling import StageLoad
from penstock.telemetry.metrics import by_stage


@pytest.fixture
def stage() -> str:
    """The metrics are the process's: each test has a stage of its own."""
    return f"stage-{uuid.uuid4().hex}"


class Watched:
    """A gateway's view, with a clock moved by hand."""

    def __init__(self, stage: str, capacity: float = 1_000.0, mark: str = "") -> None:
        self.stage, self.clock, self.models = stage, ManualClock(), RegistryState()
        self.scaling = Scaling(self.clock, mark)
        CAPACITY.labels(stage).set(capacity)

    def window(self, done: float, *states: GroupState) -> float:
        """After one more window in which the workers dealt with so many events."""
        CONSUMED.labels(self.stage, "t").inc(done)
        self.clock.advance(WINDOW_S)
        self.scaling.observe(states)
        self.scaling.decide(self.models)
        return by_stage(WANTED).get(self.stage, -1.0)

    def state(self, partition: int, through: int, lag: int, late: float, owner: str | None = "worker-1") -> GroupState:
        return GroupState(self.stage, "t", partition, through, owner, lag, late)

    def load(self) -> StageLoad:
        found = LOAD.make().collect()
        values = {s.labels["what"]: s.value for m in found for s in m.samples if s.labels["stage"] == self.stage}
        load = load_of(values)
        assert load is not None
        return load


def test_rate_and_lag_become_workers(stage: str) -> None:
    watched = Watched(stage)
    assert watched.window(50_000.0) == -1.0, "what was before the first look came in at no known rate"
    states = [watched.state(p, 1, 0, 0.0) for p in range(4)]
    assert watched.window(700 * WINDOW_S, *states) == pytest.approx(1.0)
    states = [watched.state(p, 2, 15_000, 8.0) for p in range(4)]
    assert watched.window(700 * WINDOW_S, *states) == pytest.approx(
        4.0
    )  # 4.7 s would be 7.7 workers; it has 4 partitions
    assert watched.load() == StageLoad(4_700.0, 1_000.0, 60_000, 8.0, 4)


def test_within_a_window_nothing_changes(stage: str) -> None:
    watched = Watched(stage)
    watched.window(0)
    states = [watched.state(p, 1, 0, 0.0) for p in range(4)]
    assert watched.window(700 * WINDOW_S, *states) == pytest.approx(1.0)
    CONSUMED.labels(stage, "t").inc(1_000_000)
    watched.clock.advance(WINDOW_S / 2)
    watched.scaling.decide(watched.models)
    assert by_stage(WANTED)[stage] == pytest.approx(1.0)


def test_each_of_two_hosts_answers_for_a_half(stage: str) -> None:
    watched = Watched(stage)
    owners = ["worker-1@10.0.0.1", "worker-1@10.0.0.2"]
    states = [watched.state(p, 1, 30_000, 6.0, owners[p % 2]) for p in range(4)]
    watched.window(0, *states)
    watched.window(0, *states)
    assert watched.load() == StageLoad(0.0, 1_000.0, 60_000, 6.0, 2)
    assert by_stage(WANTED)[stage] == pytest.approx(1.0)


def test_runs_that_brokers_see_at_one_address_are_told_apart_by_their_marks(stage: str) -> None:
    watched = Watched(stage, mark="aaaaaa")
    owners = ["worker-1.aaaaaa@10.0.0.1", "worker-2.aaaaaa@10.0.0.1", "worker-1.bbbbbb@10.0.0.1"]
    states = [watched.state(p, 1, 30_000, 6.0, owners[p % 3]) for p in range(6)]
    watched.window(0, *states)
    watched.window(0, *states)
    assert watched.load() == StageLoad(0.0, 1_000.0, 90_000, 6.0, 3)


def test_a_run_without_a_partition_leaves_the_need_to_those_that_have_them(stage: str) -> None:
    watched = Watched(stage, mark="cccccc")
    states = [watched.state(p, 1, 30_000, 6.0, f"worker-{p}.bbbbbb@10.0.0.1") for p in range(4)]
    watched.window(0, *states)
    assert watched.window(0, *states) == 0.0


def test_while_partitions_change_hands_the_share_stays(stage: str) -> None:
    watched = Watched(stage, mark="aaaaaa")
    owners = ["worker-1.aaaaaa@10.0.0.1", "worker-1.bbbbbb@10.0.0.2"]
    states = [watched.state(p, 1, 30_000, 6.0, owners[p % 2]) for p in range(4)]
    watched.window(0, *states)
    watched.window(0, *states)
    nobodys = [watched.state(p, 1, 30_000, 6.0, None) for p in range(4)]
    watched.window(0, *nobodys)
    assert watched.load().lag == 60_000


def test_a_partition_that_a_worker_holds_without_a_move_asks_for_nothing(stage: str) -> None:
    watched = Watched(stage)
    for n in range(4):
        watched.window(70 * WINDOW_S, watched.state(0, 5, 1_000 * n + 1, 60.0), watched.state(1, n, 1, 0.0))
    assert (watched.load().held, watched.load().lag, watched.load().rate) == (1, 1, 70.0)


@pytest.mark.parametrize("how", ["behind", "just moved", "not at all"])
def test_never_less_while_a_version_is_rolled_out(stage: str, how: str) -> None:
    watched = Watched(stage)
    active = Activated(stage=stage, topic="t", partition=0, from_offset=0, model="m", version=1, epoch=1)
    watched.models.activations[stage, "t", 0] = active
    watched.models.aliases["m", "champion"] = Alias("m", "champion", 1, 1)
    watched.window(0, watched.state(0, 0, 1, 0.0), watched.state(1, 0, 1, 0.0))
    watched.window(1_400 * WINDOW_S, watched.state(0, 1, 1, 0.0), watched.state(1, 1, 1, 0.0))
    for epoch in range(2, 6):
        if how == "behind":
            watched.models.aliases["m", "champion"] = Alias("m", "champion", 2, 2)
        elif how == "just moved":
            watched.models.aliases["m", "champion"] = Alias("m", "champion", 1, epoch)
        wanted = watched.window(0, watched.state(0, epoch, 1, 0.0), watched.state(1, epoch, 1, 0.0))
    assert wanted == pytest.approx(0.0 if how == "not at all" else 2.0)
