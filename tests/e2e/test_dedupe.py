"""Idempotent publishing: acknowledgements get lost, requests are sent again, and the gateway is killed in between."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl
import pytest

from tests.e2e import proxy, rig

APP = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("orders")

@dataclass
class Order:
    key: str
    n: int

once = app.topic("once", Order, key="key", partitions=4, dedupe="10m")
plain = app.topic("plain", Order, key="key", partitions=4)
"""
WRITERS, REQUESTS, EVENTS = 4, 15, 20
TIMES = 4  # that every request is sent, at least: once, and three times again
HEADERS = {"content-type": "application/cloudevents-batch+json", "connection": "close"}


def body(writer: int, request: int) -> bytes:
    first = request * EVENTS
    events = [
        {
            "specversion": "1.0",
            "id": f"{writer}/{n}",
            "source": "/shop",
            "type": "order",
            "data": {"key": f"k{n % 11}", "n": n},
        }
        for n in range(first, first + EVENTS)
    ]
    return msgspec.json.encode(events)


@dataclass
class Retrier:
    """Sends every request ``TIMES`` times, acknowledged or not, and goes on until it has been acknowledged."""

    url: str
    writer: int
    acknowledged: dict[int, list[Any]] = field(default_factory=dict)  # by request: the positions of each answer
    error: BaseException | None = None

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="retrier", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            with httpx.Client(timeout=10, headers=HEADERS) as client:
                for request in range(REQUESTS):
                    self.send(client, self.url, request, TIMES)
        except BaseException as error:
            self.error = error

    def send(self, client: httpx.Client, url: str, request: int, times: int) -> None:
        mine = self.acknowledged.setdefault(request, [])
        before, deadline = len(mine), time.monotonic() + rig.PATIENCE
        while times > 0 or len(mine) == before:
            assert time.monotonic() < deadline, "the gateway did not come back"
            times -= 1
            try:
                answer = client.post(url, content=body(self.writer, request))
            except httpx.TransportError:
                time.sleep(0.01)
                continue
            assert answer.status_code in (200, 503), answer.text
            if answer.status_code == 200:
                assert answer.json()["count"] == EVENTS
                mine.append(answer.json()["positions"])


def publish_again_and_again(tmp_path: Path, topic: str, env: Mapping[str, str] | None = None) -> None:
    (tmp_path / "app.py").write_text(APP)
    data, rng = tmp_path / "data", random.Random(4)
    with rig.running(tmp_path / "app.py", data, workers=1, env=env) as running:
        with proxy.dropping(running.url, 0.6, seed=4) as between:
            retriers = [Retrier(f"{between.url}/topics/{topic}/events", writer) for writer in range(WRITERS)]
            threads = [retrier.start() for retrier in retriers]
            for share in (0.3, 0.6):
                await_requests(retriers, share)
                running.kill("gateway", rng)
            for thread in threads:
                thread.join(2 * rig.PATIENCE)
            for retrier in retriers:
                assert retrier.error is None, retrier.error
            assert between.dropped > WRITERS * REQUESTS, "hardly an acknowledgement was lost"
        # And all of it once more, to a gateway that has seen nothing of it itself.
        (gateway,) = running.children("gateway")
        assert running.kill("gateway", rng)
        assert rig.eventually(lambda: not gateway.is_running())
        with httpx.Client(timeout=10, headers=HEADERS) as client:
            for retrier in retriers:
                for request in range(REQUESTS):
                    retrier.send(client, f"{running.url}/topics/{topic}/events", request, 1)
        assert running.stop() == 0
    judge(data, topic, retriers)


def await_requests(retriers: Sequence[Retrier], share: float) -> None:
    """Until so many of the requests have been begun."""
    enough = share * WRITERS * REQUESTS
    assert rig.eventually(lambda: sum(len(r.acknowledged) for r in retriers) >= enough)


def judge(data: Path, topic: str, retriers: Sequence[Retrier]) -> None:
    stored = rig.frame(rig.read_all(data, topic))
    ids = {f"{writer}/{n}" for writer in range(WRITERS) for n in range(REQUESTS * EVENTS)}
    assert set(stored["_id"]) == ids, "acknowledged and gone"
    doubled = stored.filter(pl.col("_id").is_duplicated())["_id"].n_unique()
    assert doubled == 0, f"{doubled} of {len(ids)} events are stored more than once"
    place = {i: (p, o) for i, p, o in stored.select("_id", "partition", "offset").iter_rows()}
    for retrier in retriers:
        for request, answers in retrier.acknowledged.items():
            mine = sorted(place[f"{retrier.writer}/{n}"] for n in range(request * EVENTS, (request + 1) * EVENTS))
            for positions in answers:
                assert positions == spans(mine), "a repeat was not told the place of the first"


def spans(places: list[tuple[int, int]]) -> list[dict[str, int]]:
    by_partition: dict[int, list[int]] = {}
    for partition, offset in places:
        by_partition.setdefault(partition, []).append(offset)
    return [{"partition": p, "offset": at[0], "last": at[-1], "count": len(at)} for p, at in by_partition.items()]


def test_events_with_ids_are_stored_once_whatever_is_lost_and_sent_again(tmp_path: Path) -> None:
    publish_again_and_again(tmp_path, "once")


def test_without_dedupe_the_same_stores_them_more_than_once(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="stored more than once"):
        publish_again_and_again(tmp_path, "plain")


FORGETFUL = """
from penstock.stages.ingest import intake
intake.restore = lambda *_: None
"""


def test_mutant_a_gateway_that_forgets_what_it_stored_is_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", FORGETFUL, "penstock.run.gateway")
    with pytest.raises(AssertionError, match="stored more than once"):
        publish_again_and_again(tmp_path, "once", env)
