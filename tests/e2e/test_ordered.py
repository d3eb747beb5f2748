"""A receiver of an ordered subscription gets the events of each key in their order, whoever fails and is killed."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from penstock.cli.main import app
from tests.destinations.kafka.conftest import made_topic, records
from tests.e2e import rig
from tests.e2e.deliveries import RUNGS, Receiver, environment, receiving
from tests.e2e.rig import eventually

APP = Path(__file__).with_name("ordered_app.py")
DELIVERED_S = 120.0  # seconds for all of it, on a machine with other work
PIECES = 40
REFUSED = 17  # the event that is refused


@dataclass
class KeyedReceiver(Receiver):
    """``taken``: the events of each piece, as it took each for the first time."""

    taken: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def take(self, headers: dict[str, str], body: bytes) -> int:
        before = len(self.got)
        status = super().take(headers, body)
        if len(self.got) > before:
            n = next(reversed(self.got))
            self.taken[n % PIECES].append(n)
        return status


def publish(url: str, ns: range) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        for n in range(ns.start, ns.stop, 50):
            events = [{"piece": f"p{m % PIECES}", "n": m} for m in range(n, min(n + 50, ns.stop))]
            client.post("/topics/moves/events", json=events).raise_for_status()


def in_order(tmp_path: Path, planted: str = "", events: int = 400, kills: int = 4) -> None:
    rng = random.Random(1)

    def fail(_: int, n: int) -> int:
        if n == REFUSED:
            return 400
        return 200 if len(flaky.attempts[n]) > 2 else rng.choices((200, 503), (85, 15))[0]

    with ExitStack() as stack:
        good, flaky = KeyedReceiver(), KeyedReceiver(fail)
        for each in (good, flaky):
            stack.enter_context(receiving(each))
        env = environment(good=good, flaky=flaky)
        env |= rig.planted(tmp_path / "plant", RUNGS + planted, "penstock.run.courier")
        run = stack.enter_context(rig.running(APP, tmp_path / "data", workers=1, env=env))
        for kill in range(kills):
            publish(run.url, range(events * kill // kills, events * (kill + 1) // kills))
            assert eventually(lambda: run.kill("courier", rng) is not None), "no courier to kill"
        everything = set(range(events))
        for name, receiver in (("good", good), ("flaky", flaky)):

            def settled(receiver: KeyedReceiver = receiver, name: str = name) -> bool:
                return everything <= set(receiver.got) | letters_of(run.url, name)

            assert eventually(settled, DELIVERED_S), f"{name}: lost {sorted(everything - set(receiver.got))[:20]}"
            assert not receiver.forged
            for piece, taken in receiver.taken.items():
                assert taken == sorted(taken), f"{name}: piece {piece} out of order: {taken}"
        assert letters_of(run.url, "flaky") == {REFUSED} and not letters_of(run.url, "good")
        assert eventually(lambda: shown(run.url)["lanes"]["blocked"] == 0)
        assert shown(run.url)["state"] == "live"
        assert "ordered: 0 of 192 lanes blocked" in said("subscriptions", "show", "flaky", "--url", run.url)
        back = said("dead", "redrive", "--dry-run", "--url", run.url)
        assert "'flaky' is ordered, and what is put back to it comes out of its order" in back


def said(*arguments: str) -> str:
    return CliRunner().invoke(app, list(arguments)).output


def letters_of(url: str, subscription: str) -> set[int]:
    try:
        found = httpx.get(f"{url}/dead", timeout=60).json()
    except (httpx.TransportError, ValueError):
        return set()
    return {json.loads(each["data"])["n"] for each in found if each["stage"] == subscription}


def shown(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/subscriptions/flaky", timeout=60).json()
    return found


@pytest.mark.also_on_kafka
def test_the_order_of_a_key_holds_when_couriers_are_killed(tmp_path: Path) -> None:
    in_order(tmp_path)


TO_KAFKA = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("ordered")

@dataclass
class Move:
    piece: str
    n: int

moves = app.topic("moves", Move, key="piece", partitions=3)
app.subscribe(moves, ps.KafkaTopic(ps.env("BROKERS"), {topic!r}), name="out", ordered=True)
"""


def test_records_of_a_topic_of_kafka_have_the_order_of_their_key(tmp_path: Path, kafka: str) -> None:
    topic = made_topic(kafka, 2)
    app = tmp_path / "app.py"
    app.write_text(TO_KAFKA.format(topic=topic))
    with rig.running(app, tmp_path / "data", workers=1, env={"BROKERS": kafka}) as run:
        publish(run.url, range(300))
        found = sorted(records(kafka, topic, 300, 2), key=lambda each: (each.partition(), each.offset()))
        taken: dict[bytes, list[int]] = {}
        for each in found:
            taken.setdefault(each.key() or b"", []).append(json.loads(each.value() or b"")["n"])
        assert sorted(n for ns in taken.values() for n in ns) == list(range(300)) and len(taken) == PIECES
        assert all(ns == sorted(ns) for ns in taken.values())


GOES_ON = """
from penstock.stages.deliver import ordered
from penstock.stages.deliver.retry import waiting_of
def block(self, head, seconds):
    name = self._subscriptions[head.lane.track.subscription].name
    for batch, rows in head.pieces():
        self.letters += waiting_of(name, batch, rows, head.answer, head.attempts, None)
    self._go_on(head.lane)
ordered.OrderedDelivery._block = block
"""
"""What failed goes onto the ladder."""


def test_mutant_that_goes_on_while_one_waits_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="out of order"):
        in_order(tmp_path, GOES_ON)
