"""The doors of domains: events go to the topics that they say, and to no other; who may not append is told nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.gateway.doors.domains import House, domain_house

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
