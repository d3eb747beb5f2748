"""A cluster that lets its clients write no more than so much a second."""

from __future__ import annotations

import random
import signal
from base64 import b64encode
from pathlib import Path

import httpx
import pytest

from tests.brokers.cluster import Cluster
from tests.e2e import rig, throttled_app

pytestmark = pytest.mark.soak  # minutes, most of them the broker's

APP = Path(throttled_app.__file__)
EVENTS, AT_ONCE = 4_000, 500  # of a kilobyte, hardly to be compressed
RATE = 50_000  # bytes a second: of a pass of a thousand, half are stored in the time that a transaction may last


def test_a_backlog_that_takes_longer_than_a_transaction(
    tmp_path: Path, alone: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig, "brokers", alone.bootstrap)
    rng = random.Random(1)
    with rig.running(APP, tmp_path, workers=1) as running:
        (worker,) = running.children("worker")
        worker.send_signal(signal.SIGSTOP)
        for first in range(0, EVENTS, AT_ONCE):
            events = [
                {"n": n, "key": f"k{n % 97}", "text": b64encode(rng.randbytes(750)).decode()}
                for n in range(first, first + AT_ONCE)
            ]
            answer = httpx.post(f"{running.url}/topics/texts/events", json=events, timeout=rig.PATIENCE)
            assert answer.status_code == 200, answer.text
        alone.throttle(RATE)
        worker.send_signal(signal.SIGCONT)
        assert rig.eventually(lambda: rig.count(running.url, "copies") == EVENTS, 4 * rig.PATIENCE)
        assert running.stop() == 0
    for batches in (rig.read_all(tmp_path, "texts"), rig.read_all(tmp_path, "copies")):
        rows = [n for batch in batches for n in batch.rows.column("n").to_pylist()]
        assert sorted(rows) == list(range(EVENTS)), "lost or doubled"
