"""The publish door: what it accepts, what it refuses, and that a refusal stores nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st
from tests.memory import traced

from penstock.batch import Lineage, Write
from penstock.gateway.wait.followers import Tail
from penstock.log.interface import Advance
from penstock.settings import Settings

EVENT = {"flight": 1, "tail": "N1", "delay": 2.5}
FLIGHTS, NOTES = "/topics/flights/events", "/topics/notes/events"
JSON = {"content-type": "application/json"}


def run(work: Any) -> Any:
    return asyncio.run(work)


def arrow(rows: pa.RecordBatch | pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write(rows)
    return bytes(sink.getvalue().to_pybytes())


BODIES = {
    "object": (JSON, json.dumps(EVENT).encode(), 1),
    "array": (JSON, json.dumps([EVENT] * 3).encode(), 3),
    "charset": ({"content-type": "application/json; charset=UTF-8"}, json.dumps(EVENT).encode(), 1),
    "ndjson": ({"content-type": "application/x-ndjson"}, b"\n".join([json.dumps(EVENT).encode()] * 3), 3),
    "jsonl": ({"content-type": "application/jsonl"}, json.dumps(EVENT).encode() + b"\n", 1),
    "x-gzip": (JSON | {"content-encoding": "x-gzip"}, gzip.compress(json.dumps(EVENT).encode()), 1),
    "byte-order mark": (JSON, b"\xef\xbb\xbf" + json.dumps(EVENT).encode(), 1),
    "byte-order mark before lines": (
        {"content-type": "application/x-ndjson"},
        b"\xef\xbb\xbf" + json.dumps(EVENT).encode() + b"\n" + json.dumps(EVENT).encode(),
        2,
    ),
    "gzip": (JSON | {"content-encoding": "gzip"}, gzip.compress(json.dumps([EVENT] * 9).encode()), 9),
    "zstd": (JSON | {"content-encoding": "zstd"}, zstandard.compress(json.dumps([EVENT] * 9).encode()), 9),
    "empty array": (JSON, b"[]", 0),
    "many": (JSON, json.dumps([EVENT | {"tail": f"N{i}"} for i in range(2_500)]).encode(), 2_500),
    "over a mebibyte": (JSON, b" " * (1 << 20) + json.dumps([EVENT] * 3).encode(), 3),
    "arrow": (
        {"content-type": "application/vnd.apache.arrow.stream"},
        arrow(pa.table({"flight": [1, 2], "tail": ["a", "b"], "delay": [None, 1.0]})),
        2,
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_accepts(house: Any, name: str) -> None:
    headers, body, count = BODIES[name]

    async def go() -> None:
        async with house() as h:
            answer = await h.http.post(FLIGHTS, content=body, headers=headers)
            assert answer.status_code == 200, answer.text
            assert answer.json()["count"] == count
            assert sum(p["count"] for p in answer.json()["positions"]) == count
            assert h.count() == count

    run(go())


ARROW = {"content-type": "application/vnd.apache.arrow.stream"}
CLOUD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": EVENT | {"dealy": 1}}
MISSPELT = EVENT | {"dealy": 1}
IGNORED = {
    "array": (JSON, json.dumps([MISSPELT, EVENT, MISSPELT]).encode(), 2),
    "large": (JSON, json.dumps([MISSPELT] * 2_500).encode(), 2_500),
    "ndjson": ({"content-type": "application/x-ndjson"}, json.dumps(MISSPELT).encode(), 1),
    "arrow": (ARROW, arrow(pa.table([[1], ["a"], [1]], ["flight", "tail", "dealy"])), 1),
    "event": ({"content-type": "application/cloudevents+json"}, json.dumps(CLOUD).encode(), 1),
    "events": ({"content-type": "application/cloudevents-batch+json"}, json.dumps([CLOUD] * 2).encode(), 2),
    "binary": (JSON | {f"ce-{k}": v for k, v in CLOUD.items() if isinstance(v, str)}, json.dumps(MISSPELT).encode(), 1),
}


@pytest.mark.parametrize("name", IGNORED)
def test_fields_that_the_type_lacks_are_told_or_refused_as_the_topic_says(house: Any, name: str) -> None:
    headers, body, count = IGNORED[name]
    reason = "the topic's type has no such field; did you mean 'delay'?"

    async def go() -> None:
        async with house() as h:
            for query in ("", "?wait=delays&timeout=10ms"):
                answer = await h.http.post(FLIGHTS + query, content=body, headers=headers)
                assert answer.status_code == 200, answer.text
                assert answer.json()["ignored"] == [{"field": "dealy", "count": count, "reason": reason}]
            stored = h.count()
            answer = await h.http.post("/topics/strict/events", content=body, headers=headers)
            error = answer.json()["error"]
            assert (answer.status_code, error["field"], error["reason"]) == (400, "dealy", reason)
            assert h.count() == stored

    run(go())


def test_an_answer_says_nothing_of_ignored_fields_where_there_are_none(house: Any) -> None:
    async def go() -> None:
        async with house() as h:
            for body in (EVENT, [EVENT] * 3):
                answer = await h.http.post(FLIGHTS, json=body)
                assert answer.json().keys() == {"count", "positions"}

    run(go())


def nested(depth: int) -> bytes:
    return b'{"flight": 1, "tail": "a", "x": ' + b"[" * depth + b"]" * depth + b"}"


def event(**other: Any) -> bytes:
    return json.dumps(EVENT | other).encode()


MISSING = b'[{"flight": 1, "tail": "a"}, {"flight": 2}]'
REFUSED: dict[str, tuple[dict[str, str], bytes, int, dict[str, Any]]] = {
    "not JSON": (JSON, b"hello", 400, {}),
    "empty": (JSON, b"", 400, {}),
    "cut": (JSON, b'{"flight": 1', 400, {}),
    "missing field": (JSON, MISSING, 400, {"row": 1}),
    "wrong type": (JSON, event(flight="1400"), 400, {"field": "flight"}),
    "bool for int": (JSON, event(flight=True), 400, {"field": "flight"}),
    "beyond int64": (JSON, event(flight=2**63), 400, {"field": "flight"}),
    "NaN": (JSON, b'{"flight": 1, "tail": "a", "delay": NaN}', 400, {}),
    "Infinity": (JSON, b'{"flight": 1, "tail": "a", "delay": -Infinity}', 400, {}),
    "1e999": (JSON, b'{"flight": 1, "tail": "a", "delay": 1e999}', 400, {}),
    "bad UTF-8": (JSON, b'{"flight": 1, "tail": "\xff"}', 400, {}),
    "lone surrogate": (JSON, b'{"flight": 1, "tail": "\\ud800"}', 400, {}),
    "depth 100,000": (JSON, nested(100_000), 400, {}),
    "depth 65": (JSON, nested(65), 400, {}),
    "ndjson line": ({"content-type": "application/x-ndjson"}, event() + b"\n{}", 400, {"row": 1}),
    "wrong type of content": ({"content-type": "text/xml"}, b"<a/>", 415, {}),
    "no type of content": ({}, event(), 415, {}),
    "charset": ({"content-type": "application/json; charset=latin-1"}, event(), 415, {}),
    "encoding": (JSON | {"content-encoding": "br"}, event(), 415, {}),
    "not gzip": (JSON | {"content-encoding": "gzip"}, event(), 400, {}),
    "cut gzip": (JSON | {"content-encoding": "gzip"}, gzip.compress(event())[:-3], 400, {}),
    "not zstd": (JSON | {"content-encoding": "zstd"}, event(), 400, {}),
    "cut zstd": (JSON | {"content-encoding": "zstd"}, zstandard.compress(event() * 9)[:-3], 400, {}),
    "arrow of another type": (
        {"content-type": "application/vnd.apache.arrow.stream"},
        arrow(pa.table({"flight": ["x"], "tail": ["b"]})),
        400,
        {},
    ),
    "arrow cut": (
        {"content-type": "application/vnd.apache.arrow.stream"},
        arrow(pa.table({"flight": [1], "tail": ["b"], "delay": [1.0]}))[:-80],
        400,
        {},
    ),
    "not arrow": ({"content-type": "application/vnd.apache.arrow.stream"}, b"hello" * 9, 400, {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_stores_nothing(house: Any, name: str) -> None:
    headers, body, status, where = REFUSED[name]

    async def go() -> None:
        async with house() as h:
            answer = await h.http.post(FLIGHTS, content=body, headers=headers)
            assert answer.status_code == status, answer.text
            error = answer.json()["error"]
            assert error["message"] and "Traceback" not in answer.text
            assert {k: error[k] for k in where} == where
            assert h.count() == 0

    run(go())


def test_limits_on_size_and_count(house: Any) -> None:
    async def go() -> None:
        async with house(Settings(body_limit=10_000, batch_limit=10, event_limit=1_000)) as h:
            bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
            zbomb = zstandard.compress(b"[" + b" " * 50_000_000 + b"]")
            wide = zstandard.ZstdCompressor(
                compression_params=zstandard.ZstdCompressionParameters(window_log=27)
            ).compress(b" " * (1 << 27))

            async def endless() -> Any:
                while True:
                    yield b" " * 4_096

            cases: list[tuple[Any, dict[str, str]]] = [
                (b" " * 10_001, JSON),
                (endless(), JSON),
                (bomb, JSON | {"content-encoding": "gzip"}),
                (zbomb, JSON | {"content-encoding": "zstd"}),
                (wide, JSON | {"content-encoding": "zstd"}),
                (json.dumps([EVENT] * 11).encode(), JSON),
                (event(tail="x" * 1_001), JSON),
            ]
            for body, headers in cases:
                with traced() as peak:
                    answer = await h.http.post(FLIGHTS, content=body, headers=headers)
                    assert peak() < 3_000_000, "more is unpacked at once than may be kept"
                assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
            assert h.count() == 0
            assert (await h.http.post(FLIGHTS, content=event(), headers=JSON)).status_code == 200

    run(go())


MANY = {
    "lists": (b"[" + b"[]," * 10_000_000 + b"1]", JSON),
    "one list of lists": (b"[[" + b"[]," * 10_000_000 + b"1]]", JSON),
    "lines": (b"1\n" * 15_000_000, JSON | {"content-type": "application/x-ndjson"}),
}


@pytest.mark.parametrize("name", MANY)
def test_no_more_of_a_compressed_body_is_read_than_shows_that_it_holds_too_much(house: Any, name: str) -> None:
    text, headers = MANY[name]

    async def go() -> None:
        async with house() as h:
            packed = gzip.compress(text)
            with traced() as peak:
                answer = await h.http.post(NOTES, content=packed, headers=headers | {"content-encoding": "gzip"})
                assert peak() < 16 << 20, "it was unpacked as a whole"
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")

    run(go())


def test_names_of_topics(house: Any) -> None:
    async def go() -> None:
        async with house() as h:
            answer = await h.http.post("/topics/flihgts/events", content=event(), headers=JSON)
            assert answer.status_code == 404
            assert "'flights'" in answer.json()["error"]["message"]
            for internal in ("penstock.system", "penstock.dead", "penstock.other"):
                answer = await h.http.post(f"/topics/{internal}/events", content=b"{}", headers=JSON)
                assert answer.status_code == 403
            assert h.count() == 0

    run(go())


def test_one_key_one_partition_and_positions_tell_where(house: Any) -> None:
    async def go() -> None:
        async with house() as h:
            events = [{"flight": i, "tail": f"N{i % 7}"} for i in range(100)]
            answers = await asyncio.gather(
                *(h.http.post(FLIGHTS, content=json.dumps(e).encode(), headers=JSON) for e in events)
            )
            at = {
                (b.partition, p): f
                for b in h.stored("flights")
                for p, f in zip(b.positions.tolist(), b.rows.column("flight").to_pylist(), strict=True)
            }
            for sent, answer in zip(events, answers, strict=True):
                (place,) = answer.json()["positions"]
                assert at[place["partition"], place["offset"]] == sent["flight"]
            homes: dict[str, set[int]] = {}
            for batch in h.stored("flights"):
                for tail in batch.rows.column("tail").to_pylist():
                    homes.setdefault(tail, set()).add(batch.partition)
            assert all(len(p) == 1 for p in homes.values())

    run(go())


def test_busy_when_the_queue_is_full(house: Any) -> None:
    async def go() -> None:
        async with house(Settings(queue_limit=100)) as h:
            answer = await h.http.post(FLIGHTS, content=event(tail="x" * 200), headers=JSON)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert (await h.http.post(FLIGHTS, content=event(), headers=JSON)).status_code == 200

    run(go())


HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-encoding", "ce-id", "ce-specversion", "ce-source", "ce-type", "ce-time", "content-length"]
    ),
    st.sampled_from(["gzip", "zstd", "1.0", "", "x", "%C0%A0", "5"]),
    max_size=4,
)
KINDS = st.sampled_from(
    [kind for kind, *_ in BODIES.values()]
    + [
        {"content-type": "application/cloudevents+json"},
        {"content-type": "application/cloudevents-batch+json"},
        {"content-type": "\u00ff;charset="},
        {},
    ]
)
TEXT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["flight", "tail", "id", "data"]), inner)
    ),
    max_leaves=8,
).map(lambda v: json.dumps(v).encode())


@how(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=KINDS,
    headers=HEADERS,
    body=st.binary(max_size=200) | TEXT,
    query=st.sampled_from(["", "?wait=x", "?timeout=1h", "?a"]),
)
def test_anything_gets_a_typed_answer(
    house: Any, kind: dict[str, str], headers: dict[str, str], body: bytes, query: str
) -> None:
    async def go() -> None:
        async with house() as h:
            given = {k: v.encode("latin-1") for k, v in (kind | headers).items() if k != "content-length"}
            answer = await h.http.post(FLIGHTS + query, content=body, headers=given)
            assert 200 <= answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert answer.json()["error"]["code"] != "internal"
                assert h.count() == 0
            else:
                assert h.count() == answer.json()["count"]

    run(go())


def test_same_id_twice_is_stored_once_where_asked_for(house: Any) -> None:
    once = "/topics/once/events"

    async def go() -> None:
        async with house() as h:
            ce = JSON | {"ce-specversion": "1.0", "ce-id": "a", "ce-source": "/s", "ce-type": "t"}
            first = await h.http.post(once, content=event(), headers=ce)
            again = await asyncio.gather(*(h.http.post(once, content=event(), headers=ce) for _ in range(3)))
            assert first.status_code == 200, first.text
            assert all(a.json() == first.json() for a in again)
            other = await h.http.post(once, content=event(), headers=ce | {"ce-source": "/other"})
            assert other.json() != first.json()
            assert h.count() == 2
            for _ in range(2):
                assert (await h.http.post(FLIGHTS, content=event(), headers=ce)).status_code == 200
            assert h.count() == 4

    run(go())


# -- ?wait= -------------------------------------------------------------------


def stage(h: Any, name: str, source: str, target: str, rows: Any, *, fan: int = 1) -> None:
    """One turn of a stage on the real log: reads, makes ``fan`` outputs an event, commits both at once."""
    reader = h.log.reader(name, [source], "worker")
    try:
        for batch in reader.read(10_000, 0):
            n = len(batch)
            writes = []
            if fan:
                parents = pa.array([p for p in batch.positions.tolist() for _ in range(fan)], pa.int64())
                made = pa.RecordBatch.from_arrays(
                    [
                        *(pa.array(c * (n * fan // len(c))) for c in rows.values()),
                        pa.array([batch.partition] * n * fan, pa.int32()),
                        parents,
                        pa.array(list(range(fan)) * n, pa.int32()),
                    ],
                    names=[*rows, "_parent_partition", "_parent", "_ordinal"],
                )
                writes = [Write(target, batch.partition, made, Lineage(name, source, "c0de"))]
            reader.commit([Advance(source, batch.partition, batch.through)], writes)
    finally:
        reader.close()


PREPARED = {"flight": [1], "tail": ["a"], "delay": [0.5]}


async def both_stages(h: Any, *, fan: int = 1) -> None:
    while True:
        await asyncio.to_thread(stage, h, "prepare", "flights", "features", PREPARED)
        await asyncio.to_thread(stage, h, "score", "features", "delays", {"arr_delay": [7.0]}, fan=fan)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("fan", [1, 3, 0])
def test_wait_follows_events_over_two_stages(house: Any, fan: int) -> None:
    async def go() -> None:
        async with house() as h:
            working = asyncio.create_task(both_stages(h, fan=fan))
            events = [{"flight": i, "tail": f"N{i}"} for i in range(5)]
            answers = await asyncio.gather(
                *(
                    h.http.post(f"{FLIGHTS}?wait=delays&timeout=10s", content=json.dumps(events).encode(), headers=JSON)
                    for _ in range(4)
                )
            )
            working.cancel()
            for answer in answers:
                said = answer.json()
                assert answer.status_code == 200 and said["complete"] is True
                assert sorted(r["row"] for r in said["results"]) == [i for i in range(5) for _ in range(fan)]
                assert all(r["topic"] == "delays" and r["data"] == {"arr_delay": 7.0} for r in said["results"])
            ids = [r["id"] for a in answers for r in a.json()["results"]]
            assert len(set(ids)) == len(ids) == 20 * fan

    run(go())


def test_waiting_is_over_when_the_last_stage_has_dealt_with_all(house: Any) -> None:
    async def go() -> None:
        async with house() as h:
            asked = h.http.post(f"{FLIGHTS}?wait=delays&timeout=10s", content=event(), headers=JSON)
            waiting = asyncio.create_task(asked)
            while h.count() == 0:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.1)  # several looks of the one that follows
            assert not waiting.done(), "before any stage"
            await asyncio.to_thread(stage, h, "prepare", "flights", "features", PREPARED)
            await asyncio.sleep(0.1)
            assert not waiting.done(), "after the first of two"
            await asyncio.to_thread(stage, h, "score", "features", "delays", {"arr_delay": [7.0]}, fan=2)
            said = (await waiting).json()
            assert said["complete"] is True and len(said["results"]) == 2

    run(go())


def test_wait_that_times_out_says_what_was_accepted(house: Any) -> None:
    async def go() -> None:
        async with house() as h:
            answer = await h.http.post(f"{FLIGHTS}?wait=delays&timeout=50ms", content=event(), headers=JSON)
            assert answer.status_code == 200
            assert answer.json()["count"] == 1 and answer.json()["results"] == [] and not answer.json()["complete"]
            assert h.count() == 1

    run(go())


@pytest.mark.parametrize(
    "query",
    [
        "wait=nowhere",
        "wait=island",
        "wait=flights",
        "wait=delays&timeout=1h",
        "timeout=",
        "wait=delays&timeout=-1s",
        "x=1",
    ],
)
def test_wait_for_what_cannot_come_stores_nothing(house: Any, query: str) -> None:
    async def go() -> None:
        async with house() as h:
            answer = await h.http.post(f"{FLIGHTS}?{query}", content=event(), headers=JSON)
            assert answer.status_code == 400 and answer.json()["error"]["code"] == "bad_request"
            assert h.count() == 0

    run(go())


def test_who_waits_holds_no_room_for_events_that_are_stored(house: Any) -> None:
    async def go() -> None:
        async with house(Settings(queue_limit=150)) as h:
            waiting = asyncio.create_task(
                h.http.post(f"{FLIGHTS}?wait=delays", content=event() + b" " * 60, headers=JSON)
            )
            while h.count() == 0:
                await asyncio.sleep(0.001)
            other = await h.http.post(FLIGHTS, content=event() + b" " * 60, headers=JSON)
            assert other.status_code == 200 and not waiting.done()
            assert (await waiting).json()["complete"] is False

    run(go())


def test_a_fault_while_following_is_told_at_once_and_the_next_is_followed(house: Any, monkeypatch: Any) -> None:
    def broken(_: Tail) -> None:
        raise OSError("planted")

    async def go() -> None:
        async with house() as h:
            with monkeypatch.context() as planted:
                planted.setattr(Tail, "_round", broken)
                asked = h.http.post(f"{FLIGHTS}?wait=delays&timeout=30s", content=event(), headers=JSON)
                said = (await asyncio.wait_for(asked, 15)).json()
                assert (said["count"], said["results"], said["complete"]) == (1, [], False)
            working = asyncio.create_task(both_stages(h))
            said = (await h.http.post(f"{FLIGHTS}?wait=delays&timeout=10s", content=event(), headers=JSON)).json()
            working.cancel()
            assert said["complete"] is True and len(said["results"]) == 1

    run(go())
