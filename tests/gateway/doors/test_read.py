"""Reading a topic over HTTP: formats, paging, waiting, and what makes no sense."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pyarrow as pa
import pytest

from penstock.gateway.doors import read as door
from penstock.gateway.services import READERS

JSON = {"content-type": "application/json"}
FLIGHTS = "/topics/flights/events"


async def publish(h: Any, count: int, topic: str = "flights") -> None:
    events = [{"flight": i, "tail": f"N{i}"} for i in range(count)]
    answer = await h.http.post(f"/topics/{topic}/events", content=json.dumps(events).encode(), headers=JSON)
    assert answer.status_code == 200


def run(house: Any, work: Any) -> None:
    async def go() -> None:
        async with house() as h:
            await work(h)

    asyncio.run(go())


def test_the_three_formats_hold_the_same(house: Any) -> None:
    async def work(h: Any) -> None:
        await publish(h, 50)
        rows = (await h.http.get(FLIGHTS)).json()
        lines = (await h.http.get(FLIGHTS, headers={"accept": "application/x-ndjson"})).text.splitlines()
        arrow = await h.http.get(FLIGHTS, headers={"accept": "application/vnd.apache.arrow.stream"})
        assert [json.loads(line) for line in lines] == rows
        assert sorted(r["data"]["flight"] for r in rows) == list(range(50))
        assert set(rows[0]) == {"topic", "partition", "offset", "id", "time", "key", "source", "type", "data"}
        table = pa.ipc.open_stream(arrow.content).read_all()
        assert table["flight"].to_pylist() == [r["data"]["flight"] for r in rows]
        assert table["_offset"].to_pylist() == [r["offset"] for r in rows]
        assert table["_id"].to_pylist() == [r["id"] for r in rows]

    run(house, work)


def test_paging_sees_every_event_once(house: Any) -> None:
    async def work(h: Any) -> None:
        await publish(h, 100)
        at, seen = "0", []
        while rows := (answer := await h.http.get(f"{FLIGHTS}?limit=7&offset={at}")).json():
            assert len(rows) <= 7
            seen += [(r["partition"], r["offset"]) for r in rows]
            at = answer.headers["penstock-next"]
        assert len(seen) == len(set(seen)) == 100
        one = (await h.http.get(f"{FLIGHTS}?partition=1&offset=3")).json()
        assert {r["partition"] for r in one} == {1}
        assert min(r["offset"] for r in one) == 3

    run(house, work)


def test_nothing_there_yet(house: Any) -> None:
    async def work(h: Any) -> None:
        for query in ("", "?offset=9223372036854775807", "?limit=0", "?partition=3&offset=12", "?wait=10ms"):
            answer = await h.http.get(FLIGHTS + query)
            assert (answer.status_code, answer.json()) == (200, [])
        assert (await h.http.get(FLIGHTS, headers={"accept": "application/x-ndjson"})).content == b""
        empty = await h.http.get(FLIGHTS, headers={"accept": "application/vnd.apache.arrow.stream"})
        assert pa.ipc.open_stream(empty.content).read_all().num_rows == 0
        assert (await h.http.get("/topics/penstock.dead/events")).json() == []

    run(house, work)


def test_waiting_ends_when_something_comes(house: Any) -> None:
    async def work(h: Any) -> None:
        waiting = asyncio.create_task(h.http.get(f"{FLIGHTS}?wait=20s"))
        await asyncio.sleep(0.05)
        await publish(h, 1)
        assert len((await asyncio.wait_for(waiting, 5)).json()) == 1

    run(house, work)


NONSENSE = """
    partition=4 partition=-1 partition=x offset=-1 offset=1e3 offset=9223372036854775808 offset=9:1 offset=0:x
    limit=10001 limit=-1 limit= wait=31s wait=forever ofset=1 offset=%00 limit=%D9%A1
"""


@pytest.mark.parametrize("query", NONSENSE.split())
def test_what_makes_no_sense(house: Any, query: str) -> None:
    async def work(h: Any) -> None:
        answer = await h.http.get(f"{FLIGHTS}?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "bad_request"

    run(house, work)


def test_unknown_topic_and_format(house: Any) -> None:
    async def work(h: Any) -> None:
        answer = await h.http.get("/topics/flight/events")
        assert answer.status_code == 404 and "'flights'" in answer.json()["error"]["message"]
        assert (await h.http.get(FLIGHTS, headers={"accept": "text/csv"})).status_code == 415

    run(house, work)


# -- what answers take ----------------------------------------------------------

LARGE = "x" * 900_000


async def publish_large(h: Any, count: int) -> None:
    for n in range(count):
        body = json.dumps({"flight": n, "tail": LARGE}).encode()
        assert (await h.http.post("/topics/flights/events", content=body, headers=JSON)).status_code == 200


def test_an_answer_ends_early_and_says_where_to_go_on(house: Any) -> None:
    async def work(h: Any) -> None:
        await publish_large(h, 30)
        at, seen, answers = "0", [], 0
        while rows := (answer := await h.http.get(f"{FLIGHTS}?limit=10000&offset={at}")).json():
            assert len(answer.content) < 16 << 20, "it is as large as all of them"
            seen += [row["data"]["flight"] for row in rows]
            at, answers = answer.headers["penstock-next"], answers + 1
        assert sorted(seen) == list(range(30)) and answers > 1

    run(house, work)


def test_the_paging_test_notices_an_answer_without_bounds(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PAGE_BYTES", 1 << 40)
    monkeypatch.setattr(door, "FIRST_EVENTS", 10_000)
    with pytest.raises(AssertionError, match="as large as all of them"):
        test_an_answer_ends_early_and_says_where_to_go_on(house)


def test_who_waits_for_events_takes_no_thread_of_others(house: Any) -> None:
    async def work(h: Any) -> None:
        waiting = [asyncio.create_task(h.http.get(f"{FLIGHTS}?wait=20s")) for _ in range(100)]
        await asyncio.sleep(0.2)
        for path in ("/readyz", "/topics", f"{FLIGHTS}?limit=1", "/metrics"):
            answer = await asyncio.wait_for(h.http.get(path), 2)
            assert answer.status_code in (200, 503)
        await publish(h, 1)
        for answer in await asyncio.wait_for(asyncio.gather(*waiting), 5):
            assert len(answer.json()) == 1

    run(house, work)


def test_health_is_told_while_all_readers_are_busy(house: Any) -> None:
    async def work(h: Any) -> None:
        over = threading.Event()
        for _ in range(READERS):
            h.services.threads.submit(over.wait, 30)
        try:
            for path in ("/readyz", "/metrics", "/healthz"):
                assert (await asyncio.wait_for(h.http.get(path), 2)).status_code in (200, 503)
        finally:
            over.set()

    run(house, work)


def test_who_waits_is_answered_when_the_gateway_ends(house: Any) -> None:
    async def work(h: Any) -> None:
        waiting = asyncio.create_task(h.http.get(f"{FLIGHTS}?wait=20s"))
        await asyncio.sleep(0.05)
        h.gateway.hurry()
        assert (await asyncio.wait_for(waiting, 2)).json() == []
        assert (await asyncio.wait_for(h.http.get(f"{FLIGHTS}?wait=20s"), 2)).json() == []

    run(house, work)
