"""Two hosts on one cluster: two runs, each with a data directory of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import polars as pl
import pytest

from penstock.client.connection import Client
from penstock.errors import PenstockError

from ..run.server import MODEL, Server, write_app
from .rig import eventually

pytestmark = pytest.mark.soak  # two whole runs on a cluster

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


def scored_here(host: Server) -> float:
    """How many events this host's own workers have scored."""
    shown = httpx.get(f"{host.url}/metrics", timeout=30).text
    lines = (line for line in shown.splitlines() if line.startswith("penstock_events_consumed_total{"))
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'topic="features"' in line)


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
            return scored_here(one) > 0 and scored_here(other) > 0

        assert eventually(both_score, START)
        assert eventually(lambda: b.read("doubles").height == published, START)
        assert set(b.read("doubles")["y"]) == {3.0}
