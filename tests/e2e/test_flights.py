"""Real departures in, predictions out: each once, equal to LightGBM's, whatever is killed and promoted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import polars as pl
import pytest

from penstock.demo import app as demo_app
from penstock.demo import flights
from tests.e2e import rig

APP = Path(demo_app.__file__)
TOLERANCE = 1e-4  # minutes: ONNX answers in float32, LightGBM in float64


@dataclass(frozen=True)
class Models:
    boosters: Sequence[Any]
    files: Sequence[Path]

    def expected(self, scored: pl.DataFrame) -> np.ndarray:
        """What LightGBM itself says of each row, by the version that scored it."""
        columns = scored.select(pl.col(flights.FEATURES).cast(pl.Float32)).to_numpy()
        return np.choose(scored["version"].to_numpy() - 1, [booster.predict(columns) for booster in self.boosters])


@pytest.fixture(scope="session")
def departures() -> pl.DataFrame:
    return flights.load()


@pytest.fixture(scope="session")
def models(departures: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Models:
    directory = tmp_path_factory.mktemp("models")
    boosters = [flights.train(departures, leaves=leaves) for leaves in (15, 31)]
    files = [flights.export(booster, directory / f"{n}.onnx") for n, booster in enumerate(boosters, 1)]
    return Models(boosters, files)


def bodies(departures: pl.DataFrame, events: int, size: int) -> list[bytes]:
    rows = departures.drop("arr_delay").tail(events)
    return [msgspec.json.encode(rows[at : at + size].to_dicts()) for at in range(0, events, size)]


def held(bodies: Sequence[bytes], until: threading.Event) -> Iterator[bytes]:
    """The last quarter comes when ``until`` is set."""
    most = len(bodies) * 3 // 4
    yield from bodies[:most]
    until.wait()
    yield from bodies[most:]


def storm(running: rig.Rig, publisher: rig.Publisher, *, kills: int, promotions: int, rng: random.Random) -> None:
    """Kill processes and move the alias between the versions, at random moments of the publishing.

    They begin when the first version scores, and the publisher hurries on when the last move has reached every
    worker: on a slow machine the moves between may come to nothing, as a version that is no longer wanted when it
    is loaded never scores.
    """
    acts = ["gateway", "worker", "runner"] * (kills // 3 + 1)
    todo = [*acts[:kills], *["promote"] * promotions]
    rng.shuffle(todo)
    version, thread = 2, publisher.start()
    assert rig.eventually(lambda: rig.count(running.url, "delays") > 0)
    for act in todo:
        time.sleep(rng.uniform(0.05, 0.6))
        if act != "promote":
            running.kill(act, rng)
        elif rig.eventually(partial(promote, running.url, version)):
            version = 3 - version
    assert rig.eventually(partial(all_score_with, running.url, 3 - version)), "the last promotion was not followed"
    publisher.hurry.set()
    thread.join(300)
    assert not thread.is_alive() and publisher.error is None, publisher.error


def promote(url: str, version: int) -> bool:
    """The command is appended before the answer: one whose answer was lost may have been applied, and is sent again."""
    try:
        return httpx.post(f"{url}/models/delay/promote", json={"version": version}, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def all_score_with(url: str, version: int) -> bool:
    try:
        scorers = httpx.get(f"{url}/models/delay", timeout=10).json().get("scorers", ())
    except httpx.TransportError:
        return False
    return {scorer["version"] for scorer in scorers} == {version}


def register(url: str, files: Sequence[Path]) -> None:
    for number, file in enumerate(files, 1):
        answer = httpx.post(f"{url}/models/delay/versions", content=file.read_bytes(), timeout=60)
        assert answer.status_code == 201 and answer.json()["version"] == number, answer.text


def made(url: str) -> int:
    """The predictions, once there is one of every departure."""
    stored, predicted = rig.count(url, "departures"), rig.count(url, "delays")
    return predicted if stored == predicted else -1


def judge(data: Path, publisher: rig.Publisher, models: Models) -> pl.DataFrame:
    """Everything that must hold of the log that was left."""
    stored, prepared, scored = (rig.frame(rig.read_all(data, t)) for t in ("departures", "features", "delays"))
    rig.assert_acknowledged_are_stored(publisher.acknowledged, stored)
    rig.assert_each_parent_once(stored, prepared)
    rig.assert_each_parent_once(prepared, scored)
    assert rig.assert_versions_agree(data, "delays", scored) > 0
    assert not rig.read_all(data, "penstock.dead")
    joined = scored.join(
        prepared, left_on=["_parent_partition", "_parent"], right_on=["partition", "offset"], suffix="_parent"
    )
    assert joined.height == scored.height
    worst = np.abs(models.expected(joined) - joined["arr_delay"].to_numpy()).max()
    assert worst <= TOLERANCE, f"a prediction differs from LightGBM's by {worst}"
    assert (joined["flight"] == joined["flight_parent"]).all()
    return scored


def run(
    tmp_path: Path, departures: pl.DataFrame, models: Models, *, events: int, size: int, kills: int, promotions: int
) -> pl.DataFrame:
    seed = 13
    data = tmp_path / "data"
    with rig.running(APP, data) as running:
        register(running.url, models.files)
        pause = 0.35 * (kills + promotions) / (events / size)
        hurry = threading.Event()
        paced = held(bodies(departures, events, size), hurry)
        publisher = rig.Publisher(running.url, "departures", paced, pause, hurry)
        storm(running, publisher, kills=kills, promotions=promotions, rng=random.Random(seed))
        assert rig.eventually(
            lambda: rig.count(running.url, "departures") == rig.count(running.url, "delays") >= events
        )
        assert running.stop() == 0
    scored = judge(data, publisher, models)
    if not publisher.retried:
        assert scored.height == events
    return scored


@pytest.mark.also_on_kafka
def test_each_departure_is_predicted_once(tmp_path: Path, departures: pl.DataFrame, models: Models) -> None:
    scored = run(tmp_path, departures, models, events=100_000, size=1_000, kills=0, promotions=3)
    assert scored.height == 100_000
    assert set(scored["version"]) == {1, 2}


def test_nothing_is_lost_or_doubled_under_kills(tmp_path: Path, departures: pl.DataFrame, models: Models) -> None:
    run(tmp_path, departures, models, events=20_000, size=200, kills=9, promotions=4)


@pytest.mark.soak
def test_a_hundred_kills_and_twenty_promotions(tmp_path: Path, departures: pl.DataFrame, models: Models) -> None:
    run(tmp_path, departures, models, events=100_000, size=500, kills=100, promotions=20)
