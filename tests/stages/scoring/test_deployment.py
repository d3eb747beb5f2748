"""A next version is loaded beside the one that scores, which goes on until the next is warm, or for good."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.stages.scoring.held_call import HeldCall

from penstock.batch import SYSTEM, Write
from penstock.errors import (
    ArtifactDamaged,
    Busy,
    InvalidEvent,
    LogFull,
    PenstockError,
    RunnerDied,
    StoreUnreachable,
    StoreUnusable,
)
from penstock.models.artifacts import Artifacts
from penstock.models.interface import Alias, ModelVersion, Signature
from penstock.models.messages import Activated, Promoted, Registered
from penstock.models.registry import Registry
from penstock.models.signature import to_json
from penstock.plan.plan import ModelSpec, ScoreSpec
from penstock.run.compose.bootstrap import open_registry
from penstock.runner.interface import Applied, Artifact, Services
from penstock.stages.failures.backoff import Backoff
from penstock.stages.score import Score
from penstock.stages.scoring import deployment as deployments
from penstock.stages.scoring.deployment import Deployment
from penstock.stages.scoring.slots import Slot, Slots
from penstock.stages.scoring.versions import AliasVersions
from penstock.system.messages import to_rows

SIGNATURE = Signature(pa.schema([pa.field("n", pa.int64())]), pa.schema([pa.field("copy", pa.int64())]))

PATIENCE_S = 60.0  # seconds that a call may take which waits for nothing


@dataclass
class Shelf:
    """What the artifacts hold, for both runners: which versions fail to load, and who loaded what."""

    broken: dict[int, PenstockError] = field(default_factory=dict)
    loads: list[tuple[int, int]] = field(default_factory=list)  # (runner, version)


class Remembers:
    """A runner as the child is: it loads what it does not hold, a death loses all. n + 1,000 * version."""

    def __init__(self, number: int, shelf: Shelf) -> None:
        self.number, self.shelf = number, shelf
        self.held: set[int] = set()
        self.alive = True
        self.closed = 0

    def apply(self, stage: str, rows: pa.RecordBatch, *, timeout: float, services: Services | None = None) -> Applied:
        raise NotImplementedError

    def start(self) -> None: ...

    def predict(self, model: Artifact, rows: pa.RecordBatch, *, timeout: float) -> pa.RecordBatch:
        version = model.version.version
        if not self.alive:
            self.alive, self.held = True, set()
            raise RunnerDied("killed by SIGKILL")
        if version not in self.held:
            self.shelf.loads.append((self.number, version))
            if (error := self.shelf.broken.get(version)) is not None:
                if isinstance(error, RunnerDied):
                    self.held = set()
                raise error
            self.held.add(version)
        n = rows.column("n").to_numpy()
        return pa.RecordBatch.from_arrays([pa.array(n + 1_000 * version)], schema=SIGNATURE.outputs)

    def inspect(
        self, artifact: Path, *, name: str, inputs: pa.Schema | None, outputs: list[str], trusted: bool, timeout: float
    ) -> tuple[str, Signature]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed += 1
        self.held = set()


class Yard:
    """A scorer with its deployment. A load runs when the test says so: ``load``."""

    def __init__(self, rig: Any, folder: Path, versions: int = 5) -> None:
        self.rig, self.artifacts, self.epoch = rig, Artifacts(folder), 0
        self.shelf = Shelf()
        self.runners = Remembers(0, self.shelf), Remembers(1, self.shelf)
        self.pending: list[Callable[[], None]] = []
        self.failed: list[str] = []
        for number in range(1, versions + 1):
            digest = self.artifacts.put(f"model {number}".encode())
            self.append(
                Registered(
                    model="m",
                    version=number,
                    digest=digest,
                    runtime="adds",
                    signature=to_json(SIGNATURE),
                    created=0,
                    causationid=f"c{number}",
                )
            )
        self.registry = self.view()
        self.deployment, self.stage = self.scorer(self.runners, self.registry)
        self.pump = rig.pump(self.stage)

    def view(self) -> Registry:
        return open_registry(self.rig.log, self.rig.clock, "view")

    def scorer(self, runners: tuple[Any, ...], registry: Registry) -> tuple[Deployment, Score]:
        rig = self.rig
        made = Deployment(
            "scores",
            registry,
            self.artifacts,
            Slots(runners, rig.clock, rows=rig.settings.batch_rows),
            rig.clock,
            rig.settings,
            failed=self.note,
            background=self.pending.append,
        )
        spec = ScoreSpec("scores", "in", "out", "m", keep=("n",))
        versions = AliasVersions(spec, ModelSpec("m", ("copy",)), registry, made)
        return made, Score(spec, rig.topics["out"], versions, rig.clock, rig.settings)

    def alias(self) -> Alias:
        alias = self.registry.alias("m")
        assert alias is not None
        return alias

    def note(self, version: ModelVersion) -> None:
        self.failed.append(version.ref)

    def append(self, event: Registered | Promoted | Activated) -> None:
        self.rig.log.append([Write(SYSTEM, 0, to_rows([event]))])

    def promote(self, version: int) -> None:
        self.epoch += 1
        self.append(
            Promoted(
                model="m",
                alias="champion",
                from_version=None,
                to_version=version,
                epoch=self.epoch,
                causationid=f"p{self.epoch}",
            )
        )

    def activated_elsewhere(self, partition: int) -> None:
        """Another member scored this partition with version 2, as the alias last said."""
        self.append(
            Activated(
                stage="scores",
                topic="in",
                partition=partition,
                from_offset=0,
                model="m",
                version=2,
                epoch=self.epoch,
                alias="champion",
            )
        )

    def load(self) -> None:
        """Let what is being loaded come to its end."""
        assert self.pending, "nothing is being loaded"
        while self.pending:
            self.pending.pop(0)()

    def score(self, *partitions: int) -> dict[int, int]:
        """One pass over a row of each partition; the version that each was scored with."""
        before = len(self.made())
        for partition in partitions or (0,):
            self.rig.publish([7], partition)
        self.pump.step(0.0)
        new = self.made()[before:]
        assert all(copy == 7 + 1_000 * version for _, version, copy in new)
        return {partition: version for partition, version, _ in new}

    def made(self) -> list[tuple[int, int, int]]:
        return [
            (batch.partition, batch.origin.version, copy)
            for batch in self.rig.read("out")
            for copy in batch.rows.column("copy").to_pylist()
        ]

    def records(self, partition: int = 0) -> list[tuple[int, int]]:
        """(version, epoch) of each activation of a partition, in order."""
        found = [json.loads(r["json"]) for r in self.rig.rows(SYSTEM) if r["_type"] == "penstock.model.activated"]
        return [(r["version"], r["epoch"]) for r in found if r["partition"] == partition]


@pytest.fixture
def yard(rig: Any, tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(rig, tmp_path)
    yield yard
    assert rig.rows("penstock.dead") == []


@pytest.fixture
def busy(yard: Yard) -> Yard:
    """Version 1 scores."""
    yard.promote(1)
    assert yard.score() == {0: 1} and not yard.pending
    return yard


# -- the swap -----------------------------------------------------------------


def test_the_old_version_goes_on_until_the_new_one_is_warm(busy: Yard) -> None:
    busy.promote(2)
    assert [busy.score() for _ in range(3)] == [{0: 1}] * 3, "it scores before it is warm"
    assert len(busy.pending) == 1, "it is loaded once"
    assert busy.deployment.standing.behind == "m@champion is m/2, which is being loaded; m/1 goes on"
    busy.load()
    assert busy.score() == {0: 2}
    assert busy.records() == [(1, 1), (2, 2)]
    assert busy.shelf.loads == [(0, 1), (1, 2)], "what scores loads nothing"
    assert busy.deployment.standing == deployments.Standing("m/2")


def test_a_pass_keeps_the_version_that_it_began_with(busy: Yard) -> None:
    """A call of somebody else makes the roles change in the middle of a pass."""
    busy.promote(2)
    busy.score()
    with busy.deployment.version(busy.alias()) as lease:
        busy.load()
        with busy.deployment.version(busy.alias()) as later:
            assert (lease.artifact.version.version, later.artifact.version.version) == (1, 2)
            rows = pa.record_batch({"n": pa.array([1], pa.int64())})
            assert lease.predict(rows, 1.0).column("copy").to_pylist() == [1_001]
            assert later.predict(rows, 1.0).column("copy").to_pylist() == [2_001]
    assert busy.shelf.loads == [(0, 1), (1, 2)]


def test_nothing_is_loaded_beside_a_pass_that_is_not_over(busy: Yard) -> None:
    busy.promote(2)
    busy.score()
    with busy.deployment.version(busy.alias()):
        busy.load()
        busy.deployment.look(busy.alias())
        busy.promote(3)
        busy.registry.refresh()
        busy.deployment.look(busy.alias())
        assert not busy.pending, "the runner of version 1 is still wanted"
    busy.score()
    busy.load()
    assert busy.score() == {0: 3}


def test_calls_follow_the_stream(busy: Yard) -> None:
    rows = pa.record_batch({"n": pa.array([5], pa.int64())})
    busy.promote(2)
    assert busy.stage.answer(rows, 1.0)[1].ref == "m/1"
    busy.load()
    assert busy.stage.answer(rows, 1.0)[1].ref == "m/2"
    assert busy.score() == {0: 2} and busy.records() == [(1, 1), (2, 2)]


def test_a_call_with_the_columns_of_the_version_that_is_loaded_is_told_to_come_again(busy: Yard) -> None:
    other = pa.record_batch({"z": pa.array([5], pa.int64())})
    with pytest.raises(InvalidEvent, match="'n'"):
        busy.stage.answer(other, 1.0)
    busy.promote(2)
    with pytest.raises(Busy, match=r"'n'.*m/2, which is being loaded"):
        busy.stage.answer(other, 1.0)


def test_a_first_version_is_loaded_by_the_first_pass(yard: Yard) -> None:
    yard.promote(3)
    assert yard.score() == {0: 3} and not yard.pending


def digest(version: int) -> str:
    return hashlib.sha256(f"model {version}".encode()).hexdigest()


def test_what_has_looked_at_the_first_version_loads_it(yard: Yard) -> None:
    loan = yard.deployment.lend(digest(1))
    assert loan is not None and loan.runner is yard.runners[0]
    assert yard.deployment.lend(digest(2)) is None, "it is lent once"
    loan.give_back(True)
    assert yard.deployment.lend(digest(2)) is None, "nothing else is looked at in there"
    yard.promote(1)
    assert yard.score() == {0: 1}
    assert (yard.shelf.loads, [runner.closed for runner in yard.runners]) == ([(0, 1)], [0, 0])
    assert yard.deployment.lend(digest(2)) is None, "it scores"


def test_what_has_looked_at_one_that_does_not_fit_is_ended(yard: Yard) -> None:
    loan = yard.deployment.lend(digest(2))
    assert loan is not None
    loan.give_back(False)
    assert yard.runners[0].closed == 1
    assert yard.deployment.lend(digest(1)) is not None


def scored_while_lent(yard: Yard) -> None:
    """An artifact is looked at and looked at, and somebody registers another."""
    hangs = yard.deployment.lend(digest(2))
    assert hangs is not None
    yard.promote(1)
    with hangs.turn:
        yard.deployment.begin()
        assert yard.score() == {0: 1}
    assert yard.shelf.loads == [(1, 1)], "loaded where something else is looked at"
    hangs.give_back(True)
    assert yard.runners[0].closed == 1
    yard.promote(2)
    assert yard.score() == {0: 1}
    yard.load()
    assert yard.score() == {0: 2}


def test_nobody_waits_for_an_artifact_that_is_looked_at(yard: Yard) -> None:
    scored_while_lent(yard)


def loaded_in_a_fresh_process(yard: Yard) -> None:
    """The artifact that was looked at fits its file and not the topic, so another becomes the first version."""
    loan = yard.deployment.lend(digest(2))
    assert loan is not None
    loan.give_back(True)
    yard.promote(1)
    assert yard.score() == {0: 1}
    assert yard.runners[0].closed == 1, "what ran there before was another artifact's code"
    assert yard.score() == {0: 1} and yard.runners[0].closed == 1


def test_a_version_is_not_loaded_where_another_was_looked_at(yard: Yard) -> None:
    loaded_in_a_fresh_process(yard)


def test_mutant_where_another_was_looked_at_is_forgotten(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slots, "clear", lambda self, slot: None)
    with pytest.raises(AssertionError, match="another artifact's code"):
        loaded_in_a_fresh_process(yard)


def test_a_first_version_that_cannot_be_loaded_makes_the_stage_sick(yard: Yard) -> None:
    yard.shelf.broken[1] = RunnerDied("killed by SIGSEGV")
    yard.promote(1)
    assert yard.score() == {}
    assert not yard.pump.status.ready and "SIGSEGV" in yard.pump.status.why
    yard.promote(2)
    yard.rig.drain(yard.pump)
    assert [version for _, version, _ in yard.made()] == [2], "there is nothing to go on with, so it is loaded at once"


# -- loads that fail ----------------------------------------------------------


@pytest.mark.parametrize("error", [RunnerDied("killed by SIGSEGV"), PenstockError("not such a file")])
def test_a_version_that_cannot_be_loaded_is_told_and_tried_again(busy: Yard, error: PenstockError) -> None:
    busy.shelf.broken[2] = error
    busy.promote(2)
    tries = 0
    for _ in range(100):
        assert busy.score() == {0: 1}
        tries += len(busy.pending)
        while busy.pending:
            busy.load()
        busy.rig.clock.advance(2)
    assert busy.pump.status.ready, "events are dealt with"
    standing = busy.deployment.standing
    assert standing.failed and standing.version == "m/1", "a load that failed is not told"
    assert standing.behind == f"m@champion is m/2, which cannot be loaded: {error}; m/1 goes on"
    assert busy.failed == ["m/2"] * tries
    assert 8 < tries < 25, "200 s with at most 30 s between two tries, the first ones sooner"
    del busy.shelf.broken[2]
    busy.rig.clock.advance(31)
    busy.score()
    busy.load()
    assert busy.score() == {0: 2} and busy.deployment.standing.behind == ""


def test_an_artifact_that_is_away_is_told_too(busy: Yard) -> None:
    path = busy.artifacts.path(busy.registry.versions("m")[1].digest, model="m/2")
    path.rename(path.with_name("away"))
    busy.promote(2)
    busy.score()
    busy.load()
    assert busy.score() == {0: 1} and busy.deployment.standing.failed
    path.with_name("away").rename(path)
    busy.rig.clock.advance(31)
    busy.score()
    busy.load()
    assert busy.score() == {0: 2}


@pytest.mark.parametrize(
    "error",
    [StoreUnreachable("no answer"), StoreUnusable("no bucket"), ArtifactDamaged("other bytes"), LogFull("full")],
)
def test_a_store_that_does_not_give_holds_the_rows(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, error: PenstockError
) -> None:
    """Nothing is dead-lettered; they are scored once it gives."""

    def fails(digest: str, *, model: str) -> Path:
        raise error

    yard.promote(1)
    with monkeypatch.context() as planted:
        planted.setattr(yard.artifacts, "path", fails)
        assert yard.score() == {}
        assert str(error) in yard.pump.status.why
    yard.rig.clock.advance(31)
    yard.pump.step(0.0)
    assert yard.made() == [(0, 1, 1_007)]


def said_while_fetching(yard: Yard, monkeypatch: pytest.MonkeyPatch, patience: float) -> deployments.Standing | None:
    """What the worker's heartbeat tells while the first version comes from far away; None: it is silent."""
    fetch = HeldCall(yard.artifacts.path)
    monkeypatch.setattr(yard.artifacts, "path", fetch)
    yard.promote(1)
    with ThreadPoolExecutor(2) as threads:
        scored = threads.submit(yard.score)
        assert fetch.asked.wait(60)
        heartbeat = threads.submit(lambda: yard.deployment.standing)
        said = wait([heartbeat], patience).done
        fetch.let.set()
        assert scored.result(60) == {0: 1}
    return heartbeat.result() if said else None


def test_a_first_version_that_is_fetched_silences_nobody(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_while_fetching(yard, monkeypatch, 60.0) == deployments.Standing()


def test_mutant_it_is_fetched_under_the_lock(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = Deployment._artifact

    def guarded(self: Deployment, alias: Alias) -> Artifact:
        with self._lock:
            return fetch(self, alias)

    monkeypatch.setattr(Deployment, "_artifact", guarded)
    assert said_while_fetching(yard, monkeypatch, 1.0) is None


def test_a_later_promotion_does_not_wait_for_the_back_off(busy: Yard) -> None:
    busy.shelf.broken[2] = PenstockError("no")
    busy.promote(2)
    for _ in range(8):
        busy.score()
        while busy.pending:
            busy.load()
        busy.rig.clock.advance(10)
    busy.promote(3)
    busy.score()
    busy.load()
    assert busy.score() == {0: 3} and busy.deployment.standing == deployments.Standing("m/3")


def test_the_same_version_promoted_again_is_tried_at_once(busy: Yard) -> None:
    busy.shelf.broken[2] = PenstockError("no")
    busy.promote(2)
    busy.score()
    busy.load()
    busy.score()
    assert not busy.pending
    del busy.shelf.broken[2]
    busy.promote(2)
    busy.score()
    busy.load()
    assert busy.score() == {0: 2}


def test_a_warm_runner_that_died_takes_nothing_over(busy: Yard) -> None:
    busy.promote(2)
    busy.score()
    busy.load()
    busy.runners[1].alive = False
    assert busy.score() == {0: 1}, "the old version goes on"
    busy.load()
    assert busy.score() == {0: 2}


def goes_on(yard: Yard, look: HeldCall) -> bool:
    """Version 2 is warm, and somebody who looks at it is held up there. Is a call answered with version 1 meanwhile?"""
    target = yard.alias()

    def call() -> pa.RecordBatch:
        with yard.deployment.version(target) as pinned:
            return pinned.predict(pa.record_batch({"n": pa.array([5], pa.int64())}), 1.0)

    with ThreadPoolExecutor(2) as threads:
        looks = threads.submit(yard.deployment.look, target)
        assert look.asked.wait(60)
        called = threads.submit(call)
        answered = bool(wait([called], PATIENCE_S).done)
        look.let.set()
        looks.result(60)
        answer = called.result(60).column("copy").to_pylist()
        assert answer == [1_005] or not answered
    assert yard.score() == {0: 2}
    return answered


def call_beside_a_check(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.promote(2)
    yard.score()
    yard.load()
    check = HeldCall(yard.runners[1].predict)
    monkeypatch.setattr(yard.runners[1], "predict", check)
    assert goes_on(yard, check), "a call waits for the check of another version"


def call_beside_a_fetch(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.promote(2)
    yard.score()
    yard.load()
    fetch = HeldCall(yard.artifacts.path)
    monkeypatch.setattr(yard.artifacts, "path", fetch)
    assert goes_on(yard, fetch), "a call waits for the artifact of another version"


def test_a_call_goes_on_while_a_runner_is_asked_whether_it_lives(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    call_beside_a_check(busy, monkeypatch)


def test_a_call_goes_on_while_the_store_is_asked(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    call_beside_a_fetch(busy, monkeypatch)


@pytest.mark.parametrize(
    ("beside", "says"), [(call_beside_a_check, "waits for the check"), (call_beside_a_fetch, "waits for the artifact")]
)
def test_mutant_what_takes_over_is_looked_at_under_the_lock(
    busy: Yard, monkeypatch: pytest.MonkeyPatch, beside: Callable[..., None], says: str
) -> None:
    """As it was."""
    alive = Deployment._alive

    def guarded(self: Deployment, target: Alias, slot: Slot) -> Artifact:
        with self._lock:
            return alive(self, target, slot)

    monkeypatch.setattr(Deployment, "_alive", guarded)
    monkeypatch.setattr("tests.stages.scoring.test_deployment.PATIENCE_S", 1.0)
    with pytest.raises(AssertionError, match=says):
        beside(busy, monkeypatch)


def test_a_version_that_has_become_current_once_more_meanwhile_is_not_left(
    busy: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    back(busy, monkeypatch)


def back(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alias goes back while version 2 is looked at: a later move is not undone by an earlier one."""
    yard.promote(2)
    yard.score()
    yard.load()
    second, alive = yard.alias(), Deployment._alive

    def meanwhile(self: Deployment, target: Alias, slot: Slot) -> Artifact:
        yard.promote(1)
        yard.registry.refresh()
        self.look(yard.alias())
        return alive(self, target, slot)

    with monkeypatch.context() as planted:
        planted.setattr(Deployment, "_alive", meanwhile)
        yard.deployment.look(second)
    with yard.deployment.version(second) as lease:
        assert (lease.alias.epoch, lease.artifact.version.version) == (3, 1), "an earlier move undoes a later one"
    assert yard.score() == {0: 1}
    yard.promote(2)
    assert yard.score() == {0: 2} and not yard.pending, "what was looked at is warm still"


def test_mutant_what_was_warm_takes_over_whatever_came_meanwhile(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deployment, "_is_ahead", lambda self, target: not self.cold)
    with pytest.raises(AssertionError, match="an earlier move undoes a later one"):
        back(busy, monkeypatch)


def test_a_first_version_that_hangs_does_not_keep_the_next_from_being_the_first(yard: Yard) -> None:
    yard.promote(1)
    yard.registry.refresh()
    with yard.deployment.version(yard.alias()):
        yard.promote(2)
        assert yard.score() == {0: 2}
        assert yard.shelf.loads == [(1, 2)]


def test_a_first_version_waits_while_every_runner_is_at_work_on_others(yard: Yard) -> None:
    targets = []
    for version in (1, 2):
        yard.promote(version)
        yard.registry.refresh()
        targets.append(yard.alias())
    with yard.deployment.version(targets[0]), yard.deployment.version(targets[1]):
        yard.promote(3)
        assert yard.score() == {} and "m/3 waits: no runner is free" in yard.pump.status.why
    yard.rig.clock.advance(1)
    yard.pump.step(0.0)
    assert [version for _, version, _ in yard.made()] == [3]


def test_one_slot_is_not_enough(yard: Yard) -> None:
    with pytest.raises(ValueError, match="could not be loaded beside"):
        yard.scorer(yard.runners[:1], yard.registry)


def test_with_three_a_version_is_loaded_beside_a_pass_that_is_not_over(yard: Yard) -> None:
    runners = tuple(Remembers(number, yard.shelf) for number in range(3))
    yard.deployment, yard.stage = yard.scorer(runners, yard.registry)
    yard.pump = yard.rig.pump(yard.stage)
    yard.promote(1)
    yard.score()
    yard.promote(2)
    with yard.deployment.version(yard.alias()):
        yard.score()
        yard.load()
        assert yard.score() == {0: 2}
        yard.promote(3)
        assert yard.score() == {0: 2}
        yard.load()
        assert yard.score() == {0: 3}
    assert yard.shelf.loads == [(0, 1), (1, 2), (2, 3)]


# -- promotions on the heels of others ----------------------------------------


def test_a_promotion_while_another_version_is_loaded(busy: Yard) -> None:
    busy.promote(2)
    busy.score()
    busy.promote(3)
    assert busy.score() == {0: 1}
    assert busy.runners[1].closed == 1, "the load of version 2 is given up"
    busy.load()
    assert busy.score() == {0: 1} and busy.failed == []
    busy.load()
    assert busy.score() == {0: 3}
    assert busy.records() == [(1, 1), (3, 3)]


def test_a_roll_back_before_the_new_version_was_warm(busy: Yard) -> None:
    busy.promote(2)
    busy.score()
    busy.promote(1)
    assert busy.score() == {0: 1}
    assert busy.deployment.standing == deployments.Standing("m/1")
    busy.load()
    assert busy.score() == {0: 1} and busy.records() == [(1, 1)]
    busy.promote(2)
    assert busy.score() == {0: 2}, "it was loaded meanwhile"
    assert busy.records() == [(1, 1), (2, 4)]


def test_a_roll_back_is_one_batch_away(busy: Yard) -> None:
    busy.promote(2)
    busy.score()
    busy.load()
    busy.score()
    busy.promote(1)
    assert busy.score() == {0: 1} and not busy.pending
    assert busy.records() == [(1, 1), (2, 2), (1, 3)]
    busy.promote(2)
    assert busy.score() == {0: 2} and busy.shelf.loads == [(0, 1), (1, 2)]


def test_what_was_before_is_kept_warm_for_a_while(busy: Yard) -> None:
    busy.promote(2)
    busy.score()
    busy.load()
    busy.score()
    busy.rig.clock.advance(busy.rig.settings.keep_warm - 1)
    busy.deployment.retire()
    assert busy.runners[0].closed == 0
    busy.rig.clock.advance(2)
    for _ in range(3):
        busy.deployment.retire()
    assert [r.closed for r in busy.runners] == [1, 0], "the memory is given back once"
    busy.promote(1)
    assert busy.score() == {0: 2}
    busy.load()
    assert busy.score() == {0: 1} and busy.shelf.loads[-1] == (0, 1)


def test_what_failed_to_load_is_let_go_too(busy: Yard) -> None:
    busy.shelf.broken[2] = PenstockError("no")
    busy.promote(2)
    busy.score()
    busy.load()
    busy.promote(1)
    busy.score()
    busy.rig.clock.advance(busy.rig.settings.keep_warm + 1)
    busy.deployment.retire()
    assert [r.closed for r in busy.runners] == [0, 1]


# -- epochs never go back -----------------------------------------------------


def test_a_partition_that_another_member_scored_with_the_new_version_waits(busy: Yard) -> None:
    assert regressed(busy) is False


def regressed(yard: Yard) -> bool:
    """Version 2 scored partition 3 elsewhere; here it is being loaded. Was version 1 used on it?"""
    yard.promote(2)
    yard.activated_elsewhere(3)
    before = yard.score(1, 3)
    if before:
        return before.get(3) == 1
    assert not yard.pump.status.ready
    assert (
        "in/3, which another member scored with m/2, waits: m@champion is m/2, which is being" in yard.pump.status.why
    )
    yard.load()
    yard.rig.drain(yard.pump)
    assert {(p, v) for p, v, _ in yard.made() if p != 0} == {(1, 2), (3, 2)}
    return False


def test_a_partition_that_cannot_go_back_says_why_it_stands_still(busy: Yard) -> None:
    busy.shelf.broken[2] = RunnerDied("it used 3000 MiB")
    busy.promote(2)
    busy.activated_elsewhere(3)
    busy.score(3)
    busy.load()
    for _ in range(3):
        busy.rig.clock.advance(40)
        busy.pump.step(0.0)
        while busy.pending:
            busy.load()
    assert "in/3, which another member scored with m/2, cannot go back" in busy.pump.status.why
    assert "it used 3000 MiB" in busy.pump.status.why
    del busy.shelf.broken[2]
    for _ in range(10):
        busy.rig.clock.advance(40)
        busy.pump.step(0.0)
        while busy.pending:
            busy.load()
    assert [v for p, v, _ in busy.made() if p == 3] == [2]


def test_somebody_who_knows_less_does_not_move_it_back(busy: Yard) -> None:
    first = busy.alias()
    busy.promote(2)
    busy.score()
    busy.load()
    busy.score()
    with busy.deployment.version(first) as lease:
        assert (lease.alias.epoch, lease.artifact.version.version) == (2, 2), "it is moved back"


# -- its end ------------------------------------------------------------------


def test_a_load_that_ends_after_the_close_leaves_nothing(busy: Yard) -> None:
    busy.promote(2)
    busy.score()
    busy.deployment.close()
    busy.load()
    assert busy.runners[1].closed == 2
    busy.deployment.look(busy.alias())
    assert not busy.pending


# -- planted bugs -------------------------------------------------------------


def test_mutant_the_runner_that_scores_loads(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was: the next version is taken at once, and the first batch pays for the load."""

    def at_once(self: Deployment, target: Any) -> None:
        if self._serving is not None and target.epoch > self._serving.alias.epoch:
            self._serving = replace(self._serving, alias=target, artifact=self._artifact(target))

    monkeypatch.setattr(Deployment, "_advance", at_once)
    with pytest.raises(AssertionError, match="before it is warm"):
        test_the_old_version_goes_on_until_the_new_one_is_warm(busy)


def test_mutant_no_look_whether_the_warm_runner_lives(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "check_alive", lambda slot, artifact: None)
    with pytest.raises(AssertionError, match="the old version goes on"):
        test_a_warm_runner_that_died_takes_nothing_over(busy)


def test_mutant_epochs_are_not_looked_at(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AliasVersions, "_check_epochs", lambda self, work, alias: None)
    assert regressed(busy)


def test_mutant_a_load_that_failed_is_taken_for_warm(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deployment, "_note", lambda self, load, reason: self._slots.warmed(load.slot))
    with pytest.raises(AssertionError, match="a load that failed is not told"):
        test_a_version_that_cannot_be_loaded_is_told_and_tried_again(busy, PenstockError("no"))


def test_mutant_no_back_off(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "hold", lambda self, sick: None)
    with pytest.raises(AssertionError, match="200 s"):
        test_a_version_that_cannot_be_loaded_is_told_and_tried_again(busy, PenstockError("no"))


def test_mutant_a_load_is_never_superseded(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deployment, "_wanted", lambda self, load: True)
    with pytest.raises(AssertionError, match="given up"):
        test_a_promotion_while_another_version_is_loaded(busy)


def test_mutant_an_older_move_is_followed(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(self: Deployment, target: Any) -> bool:
        return self._serving is not None and target.version != self._serving.alias.version

    monkeypatch.setattr(Deployment, "_is_ahead", differs)
    with pytest.raises(AssertionError, match="it is moved back"):
        test_somebody_who_knows_less_does_not_move_it_back(busy)


def test_mutant_a_runner_in_use_is_loaded_into(busy: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slot, "idle", True)
    with pytest.raises(AssertionError, match="still wanted"):
        test_nothing_is_loaded_beside_a_pass_that_is_not_over(busy)
