"""What every door shares: routing, typed refusals, health, pages."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from functools import partial
from typing import Any

import pytest

from penstock.gateway import routes


def run(house: Any, work: Any) -> None:
    async def go() -> None:
        async with house() as h:
            await work(h)

    asyncio.run(go())


def test_topics_and_groups(house: Any) -> None:
    async def work(h: Any) -> None:
        await h.http.post("/topics/flights/events", json=[{"flight": 1, "tail": "a"}])
        names = {t["name"]: t["events"] for t in (await h.http.get("/topics")).json()}
        assert names["flights"] == 1 and "penstock.dead" in names
        flights = (await h.http.get("/topics/flights")).json()
        assert [f["name"] for f in flights["schema"]] == ["flight", "tail", "delay"]
        assert sum(p["events"] for p in flights["partitions"]) == 1
        assert sum(p["end"] - p["earliest"] for p in flights["partitions"]) == 1
        assert (await h.http.get("/topics/notes")).json()["schema"] is None
        assert (await h.http.get("/topics/nothing")).status_code == 404
        assert (await h.http.get("/groups")).json() == []

    run(house, work)


def test_a_stage_on_its_way_is_a_reason_until_some_process_has_it_at_work(house: Any) -> None:
    async def work(h: Any) -> None:
        def say(worker: str, **stages: dict[str, object]) -> None:
            (h.services.status / f"{worker}.json").write_text(json.dumps({"role": worker, "stages": stages}))

        soon = {"ready": False, "starting": True, "reason": "it is being made ready"}
        sick = {"ready": False, "reason": "the database is away"}
        say("one", prepare={"ready": True}, score=soon)
        say("two", prepare=soon, score=soon)
        answer = await h.http.get("/readyz")
        assert answer.status_code == 503
        assert {(r["process"], r["stage"]) for r in answer.json()["reasons"]} == {("one", "score"), ("two", "score")}
        say("one", prepare={"ready": True}, score={"ready": True})
        assert (await h.http.get("/readyz")).status_code == 200, "the second worker only adds to it"
        say("two", prepare=sick, score=soon)
        (why,) = (await h.http.get("/readyz")).json()["reasons"]
        assert why == {"process": "two", "stage": "prepare", "reason": "the database is away"}

    run(house, work)


def test_readiness_says_why(house: Any) -> None:
    async def work(h: Any) -> None:
        answer = await h.http.get("/readyz")
        assert answer.status_code == 503
        assert {r["stage"] for r in answer.json()["reasons"]} == {"prepare", "score"}
        waits = {"ready": False, "reason": "model 'delay' has no version yet"}
        status = {"role": "worker-1", "stages": {"prepare": {"ready": True}, "score": waits}}
        (h.services.status / "worker-1.json").write_text(json.dumps(status))
        (h.services.status / "broken.json").write_text("{")
        (why,) = (await h.http.get("/readyz")).json()["reasons"]
        assert why == {"process": "worker-1", "stage": "score", "reason": "model 'delay' has no version yet"}
        status["stages"]["score"]["ready"] = True  # type: ignore[index]
        (h.services.status / "worker-1.json").write_text(json.dumps(status))
        assert (await h.http.get("/readyz")).status_code == 200
        status["stages"]["score"] |= {"version": "delay/1", "behind": "delay/2 cannot be loaded", "load_failed": True}  # type: ignore[index]
        (h.services.status / "worker-1.json").write_text(json.dumps(status))
        answer = await h.http.get("/readyz")
        assert answer.status_code == 200, "the version before goes on"
        assert answer.json()["warnings"] == [
            {"process": "worker-1", "stage": "score", "reason": "delay/2 cannot be loaded"}
        ]
        os.utime(h.services.status / "worker-1.json", times=(time.time() - 60,) * 2)
        assert "said nothing" in (await h.http.get("/readyz")).text
        assert (await h.http.get("/healthz")).status_code == 200

    run(house, work)


def test_stages_that_run_elsewhere_are_no_reason_and_what_the_gateway_says_of_them_is_a_warning(house: Any) -> None:
    async def work(h: Any) -> None:
        answer = await h.http.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": [], "warnings": []})
        told = {"reason": "no worker has it", "stage": "score"}
        status: dict[str, Any] = {"role": "gateway", "stages": {}, "warnings": [told]}
        (h.services.status / "gateway.json").write_text(json.dumps(status))
        answer = await h.http.get("/readyz")
        assert (answer.status_code, answer.json()["warnings"]) == (200, [{"process": "gateway"} | told])
        status["stages"] = {"penstock.log": {"ready": False, "reason": "the brokers do not answer"}}
        (h.services.status / "gateway.json").write_text(json.dumps(status))
        assert (await h.http.get("/readyz")).status_code == 503, "nothing can be stored"

    run(partial(house, elsewhere=True), work)


def test_metrics_count_what_came_in(house: Any) -> None:
    async def work(h: Any) -> None:
        await h.http.post("/topics/flights/events", json={"flight": 1, "tail": "a"})
        text = (await h.http.get("/metrics")).text
        assert 'penstock_ingest_events_total{topic="flights"}' in text

    run(house, work)


def test_every_door_is_described(house: Any) -> None:
    async def work(h: Any) -> None:
        described = (await h.http.get("/openapi.json")).json()
        told = {(m.upper(), p) for p, methods in described["paths"].items() for m in methods}
        assert told == {(r.method, r.path) for r in routes.ROUTES}
        html = (await h.http.get("/docs")).text
        assert "http://" not in html and "https://" not in html and "/topics/{topic}/events" in html

    run(house, work)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"version": "x"}', b"\xff"])
def test_every_door_answers_nonsense_as_described(house: Any, body: bytes) -> None:
    async def work(h: Any) -> None:
        for path, doors in (await h.http.get("/openapi.json")).json()["paths"].items():
            for method, door in doors.items():
                if path == "/models/{model}/versions":
                    continue  # an artifact may be any bytes
                for name in ("nothing", "flights", "%00%C3%A9"):
                    said = await h.http.request(method, re.sub(r"{\w+}", name, path), content=body)
                    described = str(said.status_code) in door["responses"]
                    plain: list[set[str]] = [{"error"}, {"ready", "reasons", "warnings"}, {"ready"}]
                    assert described or said.json().keys() in plain, path
                    assert said.status_code != 500, (method, path, said.text)

    run(house, work)


def test_unknown_paths_and_methods_are_typed(house: Any) -> None:
    async def work(h: Any) -> None:
        for method, path, status in [
            ("GET", "/nothing", 404),
            ("DELETE", "/topics", 405),
            ("POST", "/topics/a/b/events", 404),
            ("PUT", "/topics/flights/events", 405),
            ("GET", "/topics/%ed%a0%80/events", 404),
            ("POST", "/topics/%00/events", 404),
            ("POST", "/topics/%ff/events", 404),
        ]:
            answer = await h.http.request(method, path)
            assert answer.status_code == status, (method, path, answer.text)
            assert answer.json()["error"]["code"]

    run(house, work)


def test_a_fault_of_ours_leaks_nothing(house: Any, monkeypatch: Any) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")

    async def work(h: Any) -> None:
        monkeypatch.setattr(h.log, "topics", broken)
        monkeypatch.setattr(h.services.ingest, "store", broken)
        for answer in (
            await h.http.get("/topics"),
            await h.http.post("/topics/flights/events", json={"flight": 1, "tail": "a"}),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
            assert "secret" not in answer.text and "Traceback" not in answer.text

    run(house, work)


def test_allow_names_every_method_of_the_path(house: Any) -> None:
    async def work(h: Any) -> None:
        for path in {route.path for route in routes.ROUTES}:
            methods = {route.method for route in routes.ROUTES if route.path == path}
            said = await h.http.request("PATCH", re.sub(r"{\w+}", "x", path))
            assert said.status_code == 405, path
            allowed = set(said.headers["allow"].split(", "))
            assert methods <= allowed <= methods | {"HEAD"}, f"Allow of {path} leaves out a method"

    run(house, work)


def test_a_slash_too_many_leads_nowhere_else(house: Any) -> None:
    async def work(h: Any) -> None:
        for path in ("/topics/", "/models/", "/readyz/"):
            said = await h.http.get(path)
            assert (said.status_code, said.headers.get("location")) == (404, None)

    run(house, work)
