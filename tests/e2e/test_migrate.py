"""An app moves from a directory to a cluster in the middle of its work, and goes on there as if nothing had been."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from pathlib import Path

from penstock.client.connection import Client
from tests.run.server import PENSTOCK, Server, wait_for, write_app

BEFORE, AFTER = 3_000, 500


def readings(start: int, count: int) -> list[dict[str, float]]:
    return [{"n": n, "x": n / 4} for n in range(start, start + count)]


def doubles(client: Client) -> list[tuple[int, float]]:
    found = client.read("doubles")
    return list(zip(found["n"].to_list(), found["y"].to_list(), strict=True))


def lag(client: Client) -> int:
    return sum(int(state["lag_events"]) for state in client.groups() if not state["group"].startswith("penstock."))


def migrate(source: str, target: str, data: Path) -> None:
    command = [*PENSTOCK, "migrate", "--from", source, "--to", target, "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_event_is_scored_once_across_the_move(tmp_path: Path, kafka: str, prefix: str) -> None:
    app, old, new = write_app(tmp_path), tmp_path / "old", tmp_path / "new"
    cluster = f"kafka://{kafka}/{prefix}moved"
    with Server(app, old).ready() as server, server.client() as client:
        client.publish("readings", readings(0, 10))
        wait_for(lambda: len(doubles(client)) == 10)
        client.publish("readings", readings(10, BEFORE - 10))
        server.stop(signal.SIGKILL)
    migrate(f"sqlite:{old}", cluster, new)
    options = ("--port", "0", "--workers", "2", "--log", cluster)
    with Server(app, new, *options).ready() as server, server.client() as client:
        client.publish("readings", readings(BEFORE, AFTER))
        wait_for(lambda: len(doubles(client)) >= BEFORE + AFTER and lag(client) == 0, 120)
        found = doubles(client)
        assert Counter(n for n, _ in found) == Counter(range(BEFORE + AFTER))
        assert all(y == n / 2 for n, y in found)
        assert [len(model["versions"]) for model in client.models()] == [1], "nothing was registered again"
        server.stop()
    migrate(cluster, f"sqlite:{tmp_path / 'back'}", new)
    with Server(app, tmp_path / "back").ready() as server, server.client() as client:
        assert doubles(client) and sorted(doubles(client)) == sorted(found)
        client.publish("readings", readings(BEFORE + AFTER, 1))
        wait_for(lambda: len(doubles(client)) == BEFORE + AFTER + 1)
