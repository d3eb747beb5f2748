"""Events that no record on Kafka holds: whoever sends or makes one is told, and nobody else is held up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import large_app, rig

APP = Path(large_app.__file__)
EVENT_LIMIT = 1 << 20  # bytes, of the doors


def dead(url: str) -> list[dict[str, Any]]:
    found = [httpx.get(f"{url}/topics/penstock.dead/events?partition={p}&limit=100", timeout=30) for p in range(4)]
    return [row["data"] for answer in found for row in answer.json()]


@pytest.mark.parametrize("topic", ["texts", "batches"])
def test_large_events_on_kafka(tmp_path: Path, kafka: str, monkeypatch: pytest.MonkeyPatch, topic: str) -> None:
    monkeypatch.setattr(rig, "brokers", kafka)
    with rig.running(APP, tmp_path, workers=1) as running:

        def publish(*events: dict[str, Any]) -> httpx.Response:
            return httpx.post(f"{running.url}/topics/{topic}/events", json=events, timeout=30)

        pids = {process.pid for process in running.children("gateway")}
        at_the_limit = {"n": 1, "text": "x" * (EVENT_LIMIT - 40)}  # the door takes it, a record does not
        assert publish({"n": 0}).status_code == 200
        refused = publish({"n": 2}, at_the_limit)
        assert refused.status_code == 413 and "does not fit a record" in refused.json()["error"]["message"]
        assert refused.json()["error"]["message"].startswith("row 1: ")
        assert publish({"n": 3, "grows": True}, {"n": 4}).status_code == 200
        assert publish({"n": 5}).status_code == 200
        assert rig.eventually(lambda: rig.count(running.url, "copies") == 3), "it is held up"
        (letter,) = dead(running.url)
        assert (letter["error"], letter["topic"]) == ("TooLarge", topic) and '"grows":true' in letter["data"]
        assert pids == {process.pid for process in running.children("gateway")}, "the gateway ended"
        assert httpx.get(f"{running.url}/readyz").status_code == 200
        assert running.stop() == 0
