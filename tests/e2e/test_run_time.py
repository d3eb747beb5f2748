"""Subscriptions that are put while an app runs, by a function and over HTTP, and whoever is killed meanwhile."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import rig
from tests.e2e.deliveries import SECRET, Receiver, publish, receiving
from tests.e2e.rig import eventually

APP = Path(__file__).with_name("run_time_app.py")
SETTLED_S = 120.0  # seconds for all of it, on a machine with other work
ENV = {"PENSTOCK_SUBSCRIPTIONS_INSIDE": "1"}


def onboard(url: str, tenant: str, receiver: Receiver) -> None:
    event = {"tenant": tenant, "url": receiver.url, "secret": SECRET}
    httpx.post(f"{url}/topics/onboarded/events", json=event, timeout=60).raise_for_status()


def known(url: str) -> dict[str, Any]:
    return {each["name"]: each for each in httpx.get(f"{url}/subscriptions", timeout=60).json()}


@pytest.mark.also_on_kafka
def test_a_tenant_that_comes_is_delivered_to_and_one_that_goes_is_not(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(receiving(Receiver())) for _ in range(2))
        run = stack.enter_context(rig.running(APP, tmp_path / "data", workers=1, env=ENV))
        publish(run.url, range(1_000, 1_010))
        onboard(run.url, "acme", first)
        assert eventually(lambda: "acme-numbers" in known(run.url))
        assert known(run.url)["acme-numbers"]["origin"] == "run-time"
        # Killed between the putting and the first delivery: what is published meanwhile is not lost.
        run.kill("courier", random.Random(1))
        publish(run.url, range(100))
        assert eventually(lambda: len(first.got) >= 100, SETTLED_S), len(first.got)
        assert set(first.got) == set(range(100)) and not first.forged, "from its putting on, and signed"

        body = {"source": "numbers", "to": second.url, "where": "n > 149", "secret": SECRET}
        began = time.monotonic()
        put = httpx.put(f"{run.url}/subscriptions/by-hand", json=body, timeout=60)
        assert put.status_code == 200, put.text
        assert SECRET not in put.text and "/hook" not in put.text
        publish(run.url, range(100, 200))
        assert eventually(lambda: len(second.got) >= 50, SETTLED_S), len(second.got)
        print(f"put, published and delivered in {time.monotonic() - began:.2f} s", flush=True)
        assert set(second.got) == set(range(150, 200)) and not second.forged
        raw = httpx.get(f"{run.url}/topics/penstock.system/events", params={"limit": 1000}, timeout=60).text
        assert "penstock.subscription.put" in raw and SECRET not in raw and "/hook" not in raw

        httpx.delete(f"{run.url}/subscriptions/acme-numbers", timeout=60).raise_for_status()
        time.sleep(2.0)
        publish(run.url, range(200, 250))
        assert eventually(lambda: len(second.got) >= 100, SETTLED_S), len(second.got)
        assert set(first.got) == set(range(200)) and set(second.got) == set(range(150, 250))
        assert set(known(run.url)) == {"by-hand"}
        assert run.stop() == 0
