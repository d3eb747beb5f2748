"""Several hosts on one cluster: several runs, each with a data directory of its own."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import polars as pl
import pytest

from penstock.client.connection import Client
from penstock.errors import PenstockError
from tests.e2e import rig, steps
from tests.e2e.rig import eventually
from tests.run.server import MODEL, Server, write_app

START = 120.0  # seconds: two runs at once, on a machine with other work


@contextmanager
def hosts(folder: Path, log: str, *more: str) -> Iterator[tuple[Server, Server]]:
    """The second starts when the first has a model."""
    app = folder / "app.py"
    shared = ("--port", "0", "--workers", "1", "--log", log, *more)
    with Server(app, folder / "a", *shared) as one, one.ready().client() as client:
        assert eventually(lambda: bool(client.models()), START)
        with Server(app, folder / "b", *shared) as other:
            yield one, other.ready()


def score(client: Client) -> float | str:
    """What a host's own workers make of 1, or why they make nothing."""
    try:
        return float(client.infer("double", pl.DataFrame({"n": [1], "x": [1.0], "z": [1.0]}))["y"][0])
    except PenstockError as error:
        return str(error)


def dealt_with(url: str, topic: str) -> float:
    """How many events of a topic a host's own workers have dealt with."""
    shown = httpx.get(f"{url}/metrics", timeout=30).text
    lines = (line for line in shown.splitlines() if line.startswith("penstock_events_consumed_total{"))
    return sum(float(line.rpartition(" ")[2]) for line in lines if f'topic="{topic}"' in line)


@pytest.mark.soak
def test_a_model_registered_at_one_host_scores_on_the_other(kafka: str, prefix: str, tmp_path: Path) -> None:
    log, share = f"kafka://{kafka}/{prefix.rstrip('.')}", tmp_path / "share"
    share.mkdir()
    write_app(tmp_path)
    with hosts(tmp_path, log) as (one, other), one.client() as a, other.client() as b:
        assert eventually(lambda: score(a) == 2.0, START), score(a)
        assert eventually(lambda: "start every host with the same --artifacts URL" in str(score(b)), START), score(b)
        for host in (one, other):
            assert host.errors.count("models stay on the host that they are registered on") == 1
    with hosts(tmp_path, log, "--artifacts", share.as_uri()) as (one, other), one.client() as a, other.client() as b:
        assert eventually(lambda: score(b) == 2.0, START), score(b)  # the first brought along what only it had
        text = MODEL.format(factor=3)
        (tmp_path / "three.py").write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        number = a.register_model("double", tmp_path / "three.py", trust=f"sha256:{digest}", outputs=["y"])
        a.promote("double", number)
        for client in (a, b):
            assert eventually(lambda client=client: score(client) == 3.0, START), score(client)  # type: ignore[misc]
        for host in (one, other):
            assert (host.data / "cache" / "sha256" / digest[:2] / digest).is_file()
            assert "models stay on the host" not in host.errors
        published = 0

        def both_score() -> bool:
            nonlocal published
            b.publish("readings", pl.DataFrame({"n": range(published, published + 50), "x": [1.0] * 50}))
            published += 50
            return all(dealt_with(host.url, "features") > 0 for host in (one, other))

        assert eventually(both_score, START)
        assert eventually(lambda: b.read("doubles").height == published, START)
        assert set(b.read("doubles")["y"]) == {3.0}


@pytest.fixture
def share(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs keep their logs on the brokers, whatever ``--log`` says."""
    monkeypatch.setattr(rig, "brokers", kafka)


def come_and_go(folder: Path, guests: int, env: Mapping[str, str] | None = None) -> None:
    """One host stays; others join it under load and leave it, in turns without a word and in good order."""
    home, rng = folder / "home", random.Random(guests)
    with rig.running(steps.APP, home, workers=1) as stays:
        with steps.load(stays.url, pause=0.05) as publishers:
            for n in range(guests):
                with rig.running(steps.APP, folder / f"guest-{n}", workers=1, env=env, log=rig.log_url(home)) as guest:
                    works = partial(dealt_with, guest.url, "steps")
                    assert eventually(lambda works=works: works() > 0), "it was given nothing to do"  # type: ignore[misc]
                    time.sleep(rng.uniform(0.0, 1.0))
                    if n % 2:
                        assert guest.stop() == 0
                    else:
                        guest.perish()
                steps.probe(stays.url, n)
        assert eventually(lambda: steps.lag(stays.url) == 0)
        assert stays.stop() == 0
    steps.judge(home, publishers)


@pytest.mark.usefixtures("share")
def test_hosts_that_come_and_go_lose_and_double_nothing(tmp_path: Path) -> None:
    come_and_go(tmp_path, 2)


@pytest.mark.soak
@pytest.mark.usefixtures("share")
def test_many_hosts_that_come_and_go(tmp_path: Path) -> None:
    come_and_go(tmp_path, 20)


OUTPUTS_ONE_COMMIT_LATE = """
from penstock.log.{reader}
plain, late = Reader.commit, {}
def commit(self, done, outputs):
    plain(self, done, late.get(id(self), []))
    late[id(self)] = outputs
Reader.commit = commit
"""


@pytest.mark.usefixtures("share")
def test_mutant_a_host_that_commits_positions_before_outputs_is_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", OUTPUTS_ONE_COMMIT_LATE, "penstock.run.worker")
    with pytest.raises(AssertionError, match="never handled"):
        come_and_go(tmp_path, 1, env)
