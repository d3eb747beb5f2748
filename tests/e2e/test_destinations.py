"""Events reach a topic of Kafka, and a topic of another app, through real processes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from tests.destinations.kafka.conftest import made_topic, records
from tests.e2e import rig
from tests.e2e.deliveries import RUNGS, letters, publish
from tests.e2e.rig import eventually
from tests.ports import free_port

DELIVERED_S = 180.0  # seconds for all of it, on a machine with other work
TO_KAFKA = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("outside")

@dataclass
class Number:
    n: int

numbers = app.topic("numbers", Number, key="n", partitions=3)
app.subscribe(numbers, ps.KafkaTopic(ps.env("BROKERS"), {topic!r}), name="out", where="n >= 0")
"""


def written(folder: Path, text: str) -> Path:
    folder.mkdir()
    file = folder / "app.py"
    file.write_text(text)
    return file


SENDS = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("sender")

@dataclass
class Number:
    n: int
    text: str = "é"

numbers = app.topic("numbers", Number, key="n", partitions=3)
for name, format, batch in (("alone", "cloudevents", None), ("many", "cloudevents-batch", (100, 64))):
    app.subscribe(numbers, ps.env("THERE"), name=name, format=format, batch=batch, where="n >= 0",
                  headers={"x-way": name}, allow_http=True, allow_private=True)
"""
TAKES = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("taker")

@dataclass
class Number:
    n: int
    text: str

taken = app.topic("taken", Number, partitions=2, dedupe="1h")
"""


@pytest.mark.also_on_kafka
def test_events_are_of_another_apps_topic_though_it_was_away(tmp_path: Path) -> None:
    """Its door answers when they are durable, and drops what comes twice."""
    takes, sends = written(tmp_path / "takes", TAKES), written(tmp_path / "sends", SENDS)
    port = free_port()
    env = {"THERE": f"http://127.0.0.1:{port}/topics/taken/events"} | rig.planted(
        tmp_path / "plant", RUNGS, "penstock.run.courier"
    )
    with rig.running(sends, tmp_path / "sender", workers=1, env=env) as sender:
        with rig.running(takes, tmp_path / "taker", workers=1, port=port) as taker:
            publish(sender.url, range(-20, 100))
            assert eventually(lambda: rig.count(taker.url, "taken") == 100)
            assert taker.stop() == 0
        publish(sender.url, range(100, 200))
        time.sleep(1.0)  # some meet nobody
        with rig.running(takes, tmp_path / "taker", workers=1, port=port) as taker:
            assert eventually(lambda: rig.count(taker.url, "taken") == 200, DELIVERED_S)
            found = httpx.get(f"{taker.url}/topics/taken/events", params={"limit": 1000}, timeout=60).json()
            assert {each["data"]["n"] for each in found} == set(range(200))
            assert {(each["source"], each["type"], each["data"]["text"]) for each in found} == {
                ("/sender/numbers", "numbers", "é")
            }
            assert all(each["key"] == str(each["data"]["n"]) for each in found), "the key did not come along"
            sent = httpx.get(f"{sender.url}/topics/numbers/events", params={"limit": 1000}, timeout=60).json()
            assert {each["id"] for each in found} == {each["id"] for each in sent if each["data"]["n"] >= 0}
            assert not letters(sender.url)
            assert taker.stop() == 0
        assert sender.stop() == 0


@pytest.mark.also_on_kafka
def test_events_are_records_of_a_topic_of_kafka(tmp_path: Path, kafka: str) -> None:
    topic = made_topic(kafka, 2)
    app = written(tmp_path / "app", TO_KAFKA.format(topic=topic))
    with rig.running(app, tmp_path / "data", workers=1, env={"BROKERS": kafka}) as run:
        publish(run.url, range(-20, 300))
        found = records(kafka, topic, 300, 2)
        assert {json.loads(each.value() or b"")["n"] for each in found} == set(range(300))
        headers = [dict(each.headers() or ()) for each in found]
        assert all(each.key() == h["ce_partitionkey"] for each, h in zip(found, headers, strict=True))
        assert {h["ce_type"] for h in headers} == {b"numbers"} and len({h["ce_id"] for h in headers}) == 300
        assert not letters(run.url)
        assert run.stop() == 0
