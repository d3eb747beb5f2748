"""A system event is told exactly of what is durable, whoever is killed when (EG22).

Here an event *is* the row that makes it so, and who delivers reads what is committed. So there is no moment at which
one of the two is there without the other; what could go wrong is that something is told that is not in the log by then,
or that something in the log is told by nobody. Each life of the owner and of the router ends by SIGKILL at one of the
moments between them, and the log is looked at by another process while both are dead.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from azure.eventgrid import SystemEventNames
from tests.stages.told_child import EVENTS, Death, Life

from penstock.batch import SYSTEM, TopicSpec, Write
from penstock.clock import SystemClock
from penstock.log.embedded import EmbeddedLog
from penstock.models.artifacts import Artifacts
from penstock.models.messages import Activated, MoveAlias, Register
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, open_registry
from penstock.schema.egress.render import render
from penstock.stages.system_events import told
from penstock.system.messages import Message, to_rows
from penstock.system.snapshots import SNAPSHOT_TOPIC

DEATHS: tuple[Death, ...] = get_args(Death)
TYPES = {
    SystemEventNames.MachineLearningServicesModelRegisteredEventName.value,
    SystemEventNames.MachineLearningServicesModelDeployedEventName.value,
    "dev.penstock.model.promoted",  # Azure has no name for it
}


class Told:
    """What was told, and what is durable, each known by its type, subject and data."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.log, self.artifacts = EmbeddedLog(directory), Artifacts(directory / "artifacts")
        for topic in (SYSTEM_TOPIC, SNAPSHOT_TOPIC):
            self.log.create(topic)
        self.told: dict[str, set[str]] = {}  # with the ids under which it came
        self.durable: set[str] = set()
        self.kills = self.repeats = 0
        self._rng, self._asked = Random(seed), 0
        self._reader = self.log.reader(None, [SYSTEM], "judge")

    def ask(self) -> None:
        """A version of a model, a move of its alias, or a scorer's first row of a version."""
        self._asked += 1
        n, model = self._asked, f"m{self._rng.randrange(3)}"
        asked: list[Message] = [
            Register(id=f"r{n}", name=model, digest=self.artifacts.put(f"{n}".encode())),
            MoveAlias(id=f"a{n}", model=model, alias="champion", version=1),
            Activated(stage=f"s-{model}", topic="t", partition=0, from_offset=n, model=model, version=1, epoch=n),
        ]
        self.log.append([Write(SYSTEM, 0, to_rows(self._rng.sample(asked, self._rng.randint(1, 3))))])

    def live(self, process: Any, life: Life) -> None:
        """One life, and what came of it. Raises ``AssertionError`` for what was told too early."""
        process.stdin.write(msgspec.json.encode(life).decode() + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith("ended"):
                assert line == f"ended {-signal.SIGKILL}\n", f"it ended by itself: {line}"
                break
            (event,) = json.loads(line)
            self.repeats += known(event) in self.told
            self.told.setdefault(known(event), set()).add(event["id"])
        self.kills += 1
        self._look()
        early = self.told.keys() - self.durable
        assert not early, f"told of what is not there: {early}"

    def _look(self) -> None:
        while batches := self._reader.read(10_000, 0.0):
            for batch in batches:
                for event in EVENTS:
                    part = told(batch, event, "eventgrid", "app")
                    rows = render("eventgrid", part, np.arange(len(part)), TopicSpec(SYSTEM), "app")
                    self.durable |= {known(json.loads(each.body)[0]) for each in rows}

    def check(self) -> None:
        """At the end, when all is dealt with."""
        silent = self.durable - self.told.keys()
        assert not silent, f"told by nobody: {silent}"
        assert all(len(ids) == 1 for ids in self.told.values()), "an event changed its id"
        found = [json.loads(each) for each in self.told]
        assert {event_type for event_type, _, _ in found} == TYPES
        registry = open_registry(self.log, SystemClock(), "judge")
        registry.refresh()
        there = {(name, each.version) for name in registry.models() for each in registry.versions(name)}
        assert {(data["ModelName"], data["ModelVersion"]) for _, _, data in found if "ModelName" in data} == there
        registry.close()

    def close(self) -> None:
        self._reader.close()
        self.log.close()


def known(event: dict[str, Any]) -> str:
    return json.dumps([event["eventType"], event["subject"], event["data"]], sort_keys=True)


@contextmanager
def lives(directory: Path) -> Iterator[Any]:
    command = [sys.executable, "-m", "tests.stages.told_child", str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.communicate()


def killed(directory: Path, kills: int, mutant: str = "", seed: int = 1) -> Told:
    house = Told(directory, seed)
    try:
        with lives(directory) as process:
            for kill in range(kills):
                house.ask()
                house.live(process, Life(DEATHS[kill % len(DEATHS)], mutant=mutant))
            house.live(process, Life("calm", 1.5, mutant=mutant))
        house.check()
    finally:
        house.close()
    print(f"{len(house.told)} events of {house.kills} kills, {house.repeats} of them told again: 0 mismatches")
    return house


def test_what_is_durable_is_told_and_nothing_else(tmp_path: Path) -> None:
    house = killed(tmp_path, 15)
    assert house.repeats, "nobody was killed between an answer and its position"


@pytest.mark.soak
def test_three_hundred_kills(tmp_path: Path) -> None:
    killed(tmp_path, 300)


def test_mutant_that_tells_before_the_commit_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="told of what is not there"):
        killed(tmp_path, 10, "tells first")


def test_mutant_that_begins_anew_at_the_end_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="told by nobody"):
        killed(tmp_path, 10, "begins anew")
