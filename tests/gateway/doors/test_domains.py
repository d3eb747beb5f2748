"""The doors of domains: events go to the topics that they say, and to no other; who may not append is told nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.gateway.doors.domains import House, domain_house

from penstock.batch import Indices, column
from penstock.domains import messages
from penstock.domains.state import DomainState
from penstock.gateway import domains as gateway_domains
from penstock.gateway.domains import AskedTopics, DomainTopics
from penstock.gateway.doors import publish, read
from penstock.stages.emit import Emitter
from penstock.stages.ingest import intake
from penstock.stages.ingest.dedupe import EventIdentity
from penstock.stages.interface import Work
from penstock.system.messages import Command, Message

Case = Callable[[House], Awaitable[None]]


def lived(folder: Path, case: Case) -> None:
    async def go() -> None:
        async with domain_house(folder) as house:
            await case(house)

    asyncio.run(asyncio.wait_for(go(), 60))


def test_what_is_published_to_several_topics_is_judged_and_read_by_topic(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        events = [{"_topic": t, "id": f"{t}-{n}", "amount": n} for n in range(3) for t in ("acme", "beta")]
        answer = await house.post("/domains/tx/events?wait=risks&timeout=5s", events)
        assert answer.status_code == 200, answer.text
        assert answer.json()["count"] == 6 and answer.json()["complete"], answer.text
        found = (await house.get("/domains/risks/topics/acme/events", "acme")).json()
        assert sorted(event["data"]["id"] for event in found) == ["acme-0", "acme-1", "acme-2"]
        assert {event["domain_topic"] for event in found} == {"acme"}
        assert {event["source"] for event in found} == {"/saas/risks/acme"}
        every = (await house.get("/domains/risks/events")).json()
        assert len(every) == 6 and all(event["data"]["id"].startswith(event["domain_topic"]) for event in every)
        assert (await house.get("/domains/tx/topics")).json() == {"topics": ["acme", "beta"], "next": None}
        assert (await house.get("/domains/risks/topics", "acme")).json() == {"topics": ["acme"], "next": None}

    lived(tmp_path, case)


def test_each_way_of_saying_the_topic(tmp_path: Path) -> None:
    cloud = {"specversion": "1.0", "source": "/till", "type": "paid", "data": {"id": "c", "amount": 1}}

    async def case(house: House) -> None:
        one = {"id": "j", "amount": 1}
        said = [
            await house.post("/domains/tx/topics/acme/events", one),
            await house.post("/domains/tx/topics/acme/events", {"_topic": "acme", **one}),
            await house.post("/domains/tx/events", {"_topic": "acme", **one}),
            await house.post(
                "/domains/tx/events",
                [{**cloud, "id": "1", "domaintopic": "acme", "traceparent": "00-1"}],
                headers={"content-type": "application/cloudevents-batch+json"},
            ),
            await house.post("/domains/tx/events", cloud["data"], headers=BINARY | {"ce-domaintopic": "acme"}),
            await house.post("/domains/loose/events", {"_topic": "acme", "any": [1]}),
            await house.post("/domains/loose/topics/acme/events", [1, 2]),
            await house.http.post(
                "/domains/tx/events",
                content=arrow(pa.table({"id": ["a"], "amount": [1.0], "_topic": ["acme"]})),
                headers={"content-type": "application/vnd.apache.arrow.stream"},
            ),
            await house.http.post(
                "/domains/tx/events",
                content=arrow(pa.table({"_topic": pa.array(["acme"], pa.large_string()), "amount": [1], "id": ["b"]})),
                headers={"content-type": "application/vnd.apache.arrow.stream"},
            ),
        ]
        assert [answer.status_code for answer in said] == [200] * len(said), [answer.text for answer in said]
        assert {row["_topic"] for row in house.rows("tx") + house.rows("loose")} == {"acme"}
        kept = [row["_extensions"] for row in house.rows("tx") if row.get("_extensions")]
        assert kept == ['{"traceparent":"00-1"}'], "what says the topic is no extension any more"

    lived(tmp_path, case)


BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "2",
    "ce-source": "/till",
    "ce-type": "paid",
    "content-type": "application/json",
}


def arrow(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write(rows)
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize(
    ("path", "event", "reason"),
    [
        ("/domains/tx/events", {}, "which domain topic is it of"),
        ("/domains/tx/events", {"_topic": None}, "which domain topic is it of"),
        ("/domains/tx/events", {"_topic": 7}, "_topic"),
        ("/domains/tx/events", {"_topic": ""}, "a domain topic has a name"),
        ("/domains/tx/events", {"_topic": "a/b"}, "a domain topic has a name"),
        ("/domains/tx/events", {"_topic": "x" * 65}, "a domain topic has a name"),
        ("/domains/tx/events", {"_topic": "acme\n"}, "a domain topic has a name"),
        ("/domains/tx/topics/acme/events", {"_topic": "beta"}, "another domain topic than the address"),
        ("/domains/tx/topics/-a/events", {}, "cannot be a domain topic"),
        ("/domains/loose/events", {"_topic": 7}, "is a text"),
        ("/topics/tx/events", {}, "is a domain"),
    ],
)
def test_what_says_no_topic_is_refused_and_nothing_stored(
    tmp_path: Path, path: str, event: dict[str, object], reason: str
) -> None:
    async def case(house: House) -> None:
        answer = await house.post(path, {"id": "1", "amount": 1} | event)
        assert answer.status_code == 400 and reason in answer.text, answer.text
        assert house.rows("tx") == house.rows("loose") == []
        assert (await house.get("/domains/tx/topics")).json()["topics"] == []

    lived(tmp_path, case)


# -- who may do what ----------------------------------------------------------


def audited(house: House) -> list[dict[str, Any]]:
    """Refusals."""
    assert house.services.audit is not None
    house.services.audit.write()
    rows = [json.loads(row["json"]) for row in house.rows("penstock.audit")]
    return [row for row in rows if row["status"] >= 400]


async def check_a_batch_with_a_foreign_topic_is_refused_whole(house: House) -> None:
    events = [{"_topic": topic, "id": topic, "amount": 1} for topic in ("acme", "beta", "gamma")]
    answer = await house.post("/domains/tx/events", events, "both")
    assert answer.status_code == 403, "a topic was appended to without the right"
    assert "tx/gamma" in answer.text and house.rows("tx") == []
    assert (await house.get("/domains/tx/topics")).json()["topics"] == [], "a refused request made topics"
    (told,) = audited(house)
    assert told["who"] == "both" and "tx/gamma" in told["why"]
    assert (await house.post("/domains/tx/events", events[:2], "both")).status_code == 200


def test_a_batch_with_a_foreign_topic_is_refused_whole_and_the_owner_finds_it(tmp_path: Path) -> None:
    lived(tmp_path, check_a_batch_with_a_foreign_topic_is_refused_whole)


def test_mutant_that_forgets_the_right_to_each_topic_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "require_append", lambda *_: None)
    with pytest.raises(AssertionError, match="without the right"):
        lived(tmp_path, check_a_batch_with_a_foreign_topic_is_refused_whole)


@pytest.mark.parametrize(
    ("who", "method", "path", "status"),
    [
        ("acme", "POST", "/domains/tx/topics/acme/events", 200),
        ("acme", "POST", "/domains/tx/topics/beta/events", 403),
        ("acme", "POST", "/domains/tx/events?wait=risks", 200),
        ("both", "POST", "/domains/tx/events?wait=risks", 403),  # without the right to read what comes of it
        ("acme", "POST", "/domains/tx/events?wait=plain", 403),
        ("publisher", "POST", "/domains/tx/events", 200),
        ("publisher", "POST", "/domains/risks/events", 403),
        ("publisher", "POST", "/topics/notes/events?wait=risks", 403),
        ("outsider", "POST", "/domains/tx/events", 403),
        ("outsider", "POST", "/domains/nowhere/events", 403),
        ("outsider", "POST", "/domains/tx/topics/acme/events", 403),
        ("outsider", "POST", "/topics/tx/events", 403),
        ("acme", "GET", "/domains/tx/topics/acme/events", 200),
        ("acme", "GET", "/domains/tx/topics/beta/events", 403),
        ("acme", "GET", "/domains/tx/events", 403),
        ("acme", "GET", "/topics/tx/events", 403),
        ("acme", "GET", "/topics/tx", 403),
        ("outsider", "GET", "/domains/tx/topics", 403),
        ("outsider", "GET", "/domains/nowhere/topics", 403),
        ("acme", "GET", "/domains/tx/topics", 200),
        ("admin", "GET", "/domains/nowhere/topics", 404),
        ("admin", "POST", "/domains/nowhere/events", 404),
        ("admin", "POST", "/domains/notes/events", 404),
    ],
)
def test_who_may_do_what(tmp_path: Path, who: str, method: str, path: str, status: int) -> None:
    async def case(house: House) -> None:
        if method == "POST":
            said = {} if "topics/" in path else {"_topic": "acme"}
            answer = await house.post(path, {"id": "1", "amount": 1} | said, who)
        else:
            answer = await house.get(path, who)
        assert answer.status_code == status, answer.text
        assert status == 200 or not house.rows("tx")

    lived(tmp_path, case)


def test_whoever_may_see_one_topic_sees_no_other(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        await house.post("/domains/tx/events", [{"_topic": t, "id": t, "amount": 1} for t in ("acme", "beta")])
        shown = [{"name": name, "topics": None} for name in ("risks", "tx")]
        assert (await house.get("/domains", "acme")).json() == shown
        assert (await house.get("/domains", "outsider")).json() == []
        assert (await house.get("/domains/tx/topics", "acme")).json()["topics"] == ["acme"]
        assert [t["name"] for t in (await house.get("/topics", "outsider")).json()] == ["notes"]
        pages = [(await house.get(f"/domains/tx/topics?limit=1&after={after}")).json() for after in ("", "acme")]
        assert pages == [{"topics": ["acme"], "next": "acme"}, {"topics": ["beta"], "next": None}]

    lived(tmp_path, case)


# -- tenants do not meet ------------------------------------------------------


async def check_ids_are_a_topics_own(house: House) -> None:
    headers = BINARY | {"ce-id": "same"}
    for topic in ("acme", "beta", "acme"):
        answer = await house.post(f"/domains/tx/topics/{topic}/events", {"id": topic, "amount": 1}, headers=headers)
        assert answer.status_code == 200
    assert sorted(row["_topic"] for row in house.rows("tx")) == ["acme", "beta"], "another tenant's id was a repeat"


def test_a_repeat_is_one_within_its_topic(tmp_path: Path) -> None:
    lived(tmp_path, check_ids_are_a_topics_own)


def test_mutant_that_finds_repeats_across_topics_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def identities(rows: pa.RecordBatch) -> list[EventIdentity | None]:
        return [None if i is None else (None, None, i) for i in column(rows, "_id").to_pylist()]

    monkeypatch.setattr(intake, "identities", identities)
    with pytest.raises(AssertionError, match="another tenant's id"):
        lived(tmp_path, check_ids_are_a_topics_own)


async def check_what_is_made_stays_in_its_topic(house: House) -> None:
    events = [{"_topic": f"t{n % 7}", "id": f"t{n % 7}-{n}", "amount": n} for n in range(100)]
    answer = await house.post("/domains/tx/events?wait=risks&timeout=10s", events)
    assert answer.json()["complete"], answer.text
    made = house.rows("risks")
    assert len(made) == 100
    assert all(row["id"].startswith(f"{row['_topic']}-") for row in made), "an event went to another tenant"
    assert all(row.get("_topic") is None for row in house.rows("plain"))


def test_what_is_made_of_an_event_stays_in_its_topic_and_drops_it_on_the_way_to_a_plain_one(tmp_path: Path) -> None:
    lived(tmp_path, check_what_is_made_stays_in_its_topic)


def test_mutant_that_routes_to_the_wrong_tenant_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Emitter._domain_topics

    def turned(self: Emitter, work: Work, parents: Indices) -> pa.Array:
        return whole(self, work, np.roll(parents, 1))

    monkeypatch.setattr(Emitter, "_domain_topics", turned)
    with pytest.raises(AssertionError, match="another tenant"):
        lived(tmp_path, check_what_is_made_stays_in_its_topic)


def test_a_stage_may_put_all_into_one_topic(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        answer = await house.post("/topics/notes/events?wait=risks&timeout=5s", {"id": "n", "amount": 1})
        assert answer.json()["complete"], answer.text
        assert [row["_topic"] for row in house.rows("risks")] == ["notes"]
        assert "notes" in (await house.get("/domains/risks/topics")).json()["topics"]

    lived(tmp_path, case)


async def check_a_page_has_one_topic(house: House) -> None:
    events = [{"_topic": "rare" if n % 100 == 7 else "busy", "id": f"{n}", "amount": n} for n in range(1_000)]
    await house.post("/domains/tx/events", events)
    seen, offset = list[dict[str, Any]](), "0"
    for _ in range(100):
        answer = await house.get(f"/domains/tx/topics/rare/events?limit=3&offset={offset}")
        offset = answer.headers["penstock-next"]
        seen += answer.json()
        if not answer.json():
            break
    assert {event["domain_topic"] for event in seen} == {"rare"}, "a reader got another tenant's events"
    assert sorted(int(event["data"]["id"]) for event in seen) == list(range(7, 1_000, 100))


@pytest.mark.parametrize("bound", [5, 200_000])
def test_one_topic_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int) -> None:
    """Also where an answer looks through so few events that it has none of them."""
    monkeypatch.setattr(read, "LOOKED_THROUGH_EVENTS", bound)
    if bound == 5:
        pages = 100
        monkeypatch.setattr(read, "AT_ONCE_EVENTS", 40)

        async def case(house: House) -> None:
            await house.post("/domains/tx/events", [{"_topic": "busy", "id": f"{n}", "amount": n} for n in range(200)])
            await house.post("/domains/tx/topics/rare/events", {"id": "r", "amount": 1})
            offset, found = "0", list[Any]()
            for _ in range(pages):
                answer = await house.get(f"/domains/tx/topics/rare/events?offset={offset}")
                found += answer.json()
                offset = answer.headers["penstock-next"]
            assert [event["data"]["id"] for event in found] == ["r"]

        lived(tmp_path, case)
    else:
        lived(tmp_path, check_a_page_has_one_topic)


def test_mutant_that_reads_all_of_the_domain_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "check_name", lambda _: None)
    whole = read._answer
    monkeypatch.setattr(read, "_answer", lambda request, services, spec, _: whole(request, services, spec, None))
    with pytest.raises(AssertionError, match="another tenant's events"):
        lived(tmp_path, check_a_page_has_one_topic)


def test_who_waits_for_a_topic_is_told_of_its_next_event(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        await house.post("/domains/tx/topics/busy/events", {"id": "b", "amount": 1})
        waiting = asyncio.create_task(house.get("/domains/tx/topics/acme/events?wait=10s", "acme"))
        await asyncio.sleep(0)
        for n in range(3):
            await house.post("/domains/tx/topics/busy/events", {"id": f"{n}", "amount": 1})
        await house.post("/domains/tx/topics/acme/events", {"id": "a", "amount": 1})
        assert [event["data"]["id"] for event in (await waiting).json()] == ["a"]

    lived(tmp_path, case)


# -- how many topics ----------------------------------------------------------


def test_the_topic_beyond_the_limit_is_refused_and_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LIMIT", 3)

    async def case(house: House) -> None:
        for topic in ("aa", "bb"):
            await house.post(f"/domains/tx/topics/{topic}/events", {"id": topic, "amount": 1})
        events = [{"_topic": topic, "id": topic, "amount": 1} for topic in ("aa", "cc", "dd")]
        answer = await house.post("/domains/tx/events", events)
        assert answer.status_code == 409 and answer.json()["error"]["code"] == "domain_full", answer.text
        assert [(each["who"], each["status"]) for each in audited(house)] == [("admin", 409)]
        assert len(house.rows("tx")) == 2
        assert (await house.post("/domains/tx/events", events[:2])).status_code == 200, "a refused request took room"
        assert (await house.post("/domains/tx/topics/dd/events", events[2])).status_code == 409
        assert (await house.post("/domains/tx/topics/aa/events", {"id": "x", "amount": 1})).status_code == 200
        refused = await house.post("/domains/tx/topics/dd/events", {"id": "x", "amount": 1}, "outsider")
        assert refused.status_code == 403 and "limit" not in refused.text and "most" not in refused.text

    lived(tmp_path, case)


def test_more_new_topics_than_a_request_may_bring_are_refused(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        events = [{"_topic": f"t{n}", "id": f"{n}", "amount": 1} for n in range(messages.NEW_LIMIT + 1)]
        answer = await house.post("/domains/tx/events", events)
        assert answer.status_code == 413 and house.rows("tx") == []
        answer = await house.post("/domains/tx/events", events[1:])
        assert answer.status_code == 200, answer.text

    lived(tmp_path, case)


def test_topics_that_several_bring_at_once_are_asked_for_together(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        asked = [house.post(f"/domains/tx/topics/t{n % 50}/events", {"id": f"{n}", "amount": 1}) for n in range(100)]
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        assert len((await house.get("/domains/tx/topics")).json()["topics"]) == 50

    lived(tmp_path, case)


def no_answer_keeps_others_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = DomainState.decide

    def passes_over(state: DomainState, command: Command, *, now: int) -> Sequence[Message]:
        names = getattr(command, "names", ())
        return () if "stuck" in names else decide(state, command, now=now)

    monkeypatch.setattr(DomainState, "decide", passes_over)

    async def case(house: House) -> None:
        stuck = asyncio.create_task(house.post("/domains/tx/topics/stuck/events", {"id": "1", "amount": 1}))
        while not any("stuck" in str(row) for row in house.rows("penstock.system")):
            await asyncio.sleep(0)
        answer = await house.post("/domains/tx/topics/beta/events", {"id": "2", "amount": 1})
        assert answer.status_code == 200 and not stuck.done(), "one waited for what another asked for"
        stuck.cancel()

    lived(tmp_path, case)


def test_who_comes_while_another_waits_is_answered_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_answer_keeps_others_waiting(tmp_path, monkeypatch)


def test_mutant_that_asks_for_one_after_the_other_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = DomainTopics._look

    def looks_until_all_are_answered(
        topics: DomainTopics, new: Sequence[AskedTopics], waiting: Sequence[AskedTopics]
    ) -> dict[AskedTopics, Exception | None]:
        settled = look(topics, new, waiting)
        while len(settled) < len(waiting):
            settled |= look(topics, (), [asked for asked in waiting if asked not in settled])
        return settled

    monkeypatch.setattr(gateway_domains, "PATIENCE_S", 0.5)
    monkeypatch.setattr(DomainTopics, "_look", looks_until_all_are_answered)
    with pytest.raises(AssertionError, match="one waited for what another asked for"):
        no_answer_keeps_others_waiting(tmp_path, monkeypatch)


def test_without_a_worker_only_known_topics_are_published_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_domains, "PATIENCE_S", 0.05)

    async def case(house: House) -> None:
        await house.post("/domains/tx/topics/acme/events", {"id": "1", "amount": 1})
        monkeypatch.setattr(DomainState, "decide", lambda *_, **__: ())
        answer = await house.post("/domains/tx/topics/beta/events", {"id": "1", "amount": 1})
        assert answer.status_code == 503 and "no worker has answered" in answer.text
        assert (await house.post("/domains/tx/topics/acme/events", {"id": "2", "amount": 1})).status_code == 200

    lived(tmp_path, case)
