"""The dead letters over HTTP: listed, put back, dropped; and what cannot be put back, with the reason."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import DEAD, Batch, TopicSpec, Write
from penstock.destinations.interface import Answer
from penstock.stages.deliver.letters import letters
from penstock.stages.deliver.retry import waiting_of
from penstock.stages.failures.dead import DEAD_TOPIC, dead_letter_rows
from penstock.stages.failures.ledger import Ledger
from penstock.stages.interface import Failure, Work

FLIGHT = pa.schema([("flight", pa.int64()), ("tail", pa.string()), ("delay", pa.float64())])


def run(house: Any, work: Any) -> None:
    async def go() -> None:
        async with house() as h:
            await work(h)

    asyncio.run(go())


def die(h: Any, count: int = 3, *, stage: str = "prepare", topic: str = "flights", error: str = "ValueError") -> None:
    rows = pa.RecordBatch.from_pydict(
        {"flight": range(count), "tail": [f"N{n}" for n in range(count)], "delay": [float("nan")] * count},
        schema=FLIGHT,
    )
    numbers = np.arange(count, dtype=np.int64)
    work = Work(topic, rows, np.zeros(count, np.int32), numbers, numbers)
    failures = [Failure(n, error, f"row {n} is bad", "Traceback …", 3) for n in range(count)]
    found = dead_letter_rows(stage, work, failures, None)
    h.log.append([Write(DEAD, 0, found.rows)])


async def ask(h: Any, door: str, **asked: Any) -> Any:
    answer = await h.http.post(f"/dead/{door}", content=json.dumps(asked), headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def became(h: Any) -> list[str]:
    ledger = Ledger()
    for batch in h.stored(DEAD):
        ledger.take(batch)
    return sorted(entry.became for entry in ledger.entries.values())


def test_they_are_listed_by_what_one_asks(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h)
        die(h, 1, stage="score", topic="features", error="KeyError")
        found = (await h.http.get("/dead")).json()
        assert [(d["place"], d["state"], d["round"]) for d in found][:2] == [
            ("flights/0/0", "dead", 0),
            ("flights/0/1", "dead", 0),
        ]
        assert json.loads(found[0]["data"]) == {"flight": 0, "tail": "N0", "delay": None}
        assert "event" not in found[0] and found[0]["traceback"] == "Traceback …"
        for query, count in (
            ("topic=flights", 3),
            ("stage=score", 1),
            ("error=KeyError", 1),
            ("reason=row 2", 1),
            ("since=1h", 4),
            ("until=1h", 0),
            ("state=done", 0),
            ("limit=2", 2),
        ):
            assert len((await h.http.get(f"/dead?{query}")).json()) == count, query
        assert len((await h.http.get("/dead/flights/0/2")).json()) == 1
        assert (await h.http.get("/dead/flights/0/9")).status_code == 404

    run(house, work)


def give_up(h: Any) -> None:
    """A delivery of ``flights/0/7`` by a subscription."""
    rows = pa.RecordBatch.from_pydict({"flight": [7], "tail": ["N7"], "delay": [1.5]}, schema=FLIGHT)
    batch = Batch("flights", 0, np.array([7], np.int64), np.array([1_700_000_000_000_000], np.int64), rows)
    answer = Answer(False, "Busy", 503, "HTTP 503", began=1_700_000_010_000_000)
    (waiting,) = waiting_of("case", batch, [0], answer, 3, None)
    h.log.append([Write(DEAD, 0, letters([(waiting, "MaxDeliveryAttemptsExceeded")], [0]).rows)])


def test_those_of_subscriptions_are_told_as_event_grid_tells_them(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h)
        give_up(h)
        assert len((await h.http.get("/dead")).json()) == 4
        answer = await h.http.get("/dead?format=eventgrid&limit=1")
        (found,) = answer.json()
        assert answer.headers["content-type"] == "application/json"
        assert (found["id"], found["deadLetterReason"], found["deliveryAttempts"]) == (
            "flights/0/7",
            "MaxDeliveryAttemptsExceeded",
            3,
        )
        answer = await h.http.get("/dead/flights/0/7?format=cloudevents")
        (found,) = answer.json()
        assert answer.headers["content-type"] == "application/cloudevents-batch+json"
        assert (found["data"], found["lastdeliveryoutcome"]) == ({"flight": 7, "tail": "N7", "delay": 1.5}, "Busy")
        answer = await h.http.get("/dead/flights/0/1?format=cloudevents")
        assert answer.status_code == 404 and "no dead letter of a subscription for flights/0/1" in answer.text
        for path in ("/dead", "/dead/flights/0/7"):
            answer = await h.http.get(f"{path}?format=xml")
            assert answer.status_code == 400 and "eventgrid, cloudevents" in answer.text

    run(house, work)


def test_a_dry_run_does_nothing_and_says_what_would_be_done(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h)
        said = await ask(h, "redrive", topic="flights", dry=True)
        assert (said["redriven"], said["left"], said["refused"]) == (0, 3, 0)
        assert (await ask(h, "drop", dry=True))["left"] == 3
        assert became(h) == ["dead"] * 3

    run(house, work)


def test_asked_again_and_again_each_is_put_back_once(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h, 5)
        found = [await ask(h, "redrive", most=2) for _ in range(4)]
        assert [(each["redriven"], each["left"]) for each in found] == [(2, 3), (2, 1), (1, 0), (0, 0)]
        marks = [row for batch in h.stored(DEAD) for row in batch.rows.to_pylist() if row["mark"]]
        assert sorted(row["offset"] for row in marks) == list(range(5))
        assert all(row["event"] for row in marks)

    run(house, work)


def test_many_who_ask_at_once_put_each_back_once(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h, 50)
        found = await asyncio.gather(*(ask(h, "redrive", most=7) for _ in range(20)))
        assert sum(each["redriven"] for each in found) == 50
        marks = [row["offset"] for batch in h.stored(DEAD) for row in batch.rows.to_pylist() if row["mark"]]
        assert sorted(marks) == list(range(50))

    run(house, work)


def test_only_the_places_named(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h)
        assert (await ask(h, "redrive", places=["flights/0/1"]))["redriven"] == 1
        assert (await ask(h, "drop", places=["flights/0/2"]))["dropped"] == 1
        assert became(h) == ["dead", "dropped", "redriven"]
        assert (await ask(h, "redrive"))["redriven"] == 1
        assert (await ask(h, "drop"))["dropped"] == 0

    run(house, work)


@pytest.mark.parametrize(
    ("stage", "topic", "says"),
    [
        ("gone", "flights", "this app has no stage and no subscription 'gone'"),
        ("prepare", "vanished", "topic 'vanished' is gone"),
        ("prepare", "once", "'prepare' reads topic 'flights' now, not 'once'"),
        ("prepare", "flights", "its bytes could not be decoded"),
    ],
)
def test_what_cannot_be_put_back_stays_and_says_why(house: Any, stage: str, topic: str, says: str) -> None:
    async def work(h: Any) -> None:
        if "bytes" in says:
            row = {"topic": topic, "partition": 0, "offset": 0, "stage": stage, "error": "Undecodable", "reason": "x"}
            row |= {"traceback": "", "attempts": 1, "id": "i", "time": 0, "data": "00ff"}
            h.log.append([Write(DEAD, 0, pa.RecordBatch.from_pylist([row], schema=DEAD_TOPIC.schema))])
        else:
            die(h, 1, stage=stage, topic=topic)
        said = await ask(h, "redrive")
        assert (said["redriven"], said["left"], said["refused"]) == (0, 0, 1)
        assert says in said["reasons"][0]["reason"] and said["examples"][0]["place"] == f"{topic}/0/0"
        assert became(h) == ["dead"]

    run(house, work)


def test_one_that_no_longer_fits_its_topic_stays_and_says_why(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h, 1)
        h.log._store.topic("flights").spec = TopicSpec("flights", pa.schema([("other", pa.int64())]), 4)
        said = await ask(h, "redrive", dry=True)
        assert said["left"] == 0 and "does not fit topic 'flights' as it is now" in said["reasons"][0]["reason"]

    run(house, work)


def test_after_so_many_rounds_it_stays(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h, 1)
        (row,) = [row for batch in h.stored(DEAD) for row in batch.rows.to_pylist()]
        h.log.append([Write(DEAD, 0, pa.RecordBatch.from_pylist([row | {"round": 3}], schema=DEAD_TOPIC.schema))])
        said = await ask(h, "redrive")
        assert said["redriven"] == 0 and "put back 3 times" in said["reasons"][0]["reason"]
        assert (await ask(h, "redrive", limit=4))["redriven"] == 1

    run(house, work)


def test_a_stage_that_is_held_is_named(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h, 1)
        status = {"role": "worker-1", "stages": {"prepare": {"ready": False, "reason": "the database is away"}}}
        (h.services.status / "worker-1.json").write_text(json.dumps(status))
        said = await ask(h, "redrive")
        assert said["waiting"] == [{"stage": "prepare", "reason": "the database is away"}]

    run(house, work)


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"},
        {"most": 0},
        {"limit": 0},
        {"places": ["flights"]},
        {"unknown": 1},
        {"topic": 3},
    ],
)
def test_what_makes_no_sense(house: Any, asked: dict[str, Any]) -> None:
    async def work(h: Any) -> None:
        die(h)
        for door in ("redrive", "drop"):
            answer = await h.http.post(f"/dead/{door}", content=json.dumps(asked))
            assert answer.status_code == 400 and answer.json()["error"]["message"]
        assert became(h) == ["dead"] * 3

    run(house, work)


def test_a_body_may_name_all_places_of_one_request_and_not_many_more(house: Any) -> None:
    async def work(h: Any) -> None:
        die(h)
        named = [f"flights/0/{10**17 + n}" for n in range(10_000)]
        for door in ("redrive", "drop"):
            answer = await h.http.post(f"/dead/{door}", json={"places": named, "most": 10_000})
            assert answer.status_code == 200, answer.text
            answer = await h.http.post(f"/dead/{door}", json={"places": named * 4})
            assert answer.status_code == 413 and "over 1048576 bytes" in answer.json()["error"]["message"]
            deep = b"[" * 100_000
            assert (await h.http.post(f"/dead/{door}", content=b'{"places":' + deep)).status_code == 400
        assert became(h) == ["dead"] * 3

    run(house, work)
