"""Subscriptions over HTTP: their states, what waits for them, what their courier says; pausing and resuming."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.errors import Unavailable
from penstock.filters.eventgrid import AdvancedFilter, Filter
from penstock.gateway import readiness, subscriptions
from penstock.gateway.app import Gateway
from penstock.gateway.services import GatewayServices
from penstock.gateway.subscriptions import MOST_READ, UNKNOWN, change
from penstock.log.interface import Advance
from penstock.log.memory import MemoryLog
from penstock.models.artifacts import Artifacts
from penstock.plan.plan import Plan, SubscriptionSpec, router_of
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, open_registry
from penstock.settings import Settings
from penstock.stages.deliver.lane_positions import BlockedLane, OrderedPosition
from penstock.stages.deliver.state import Behind, DeliveryState, Following
from penstock.stages.ingest.group_commit import Ingest
from penstock.system.messages import Disabled, Message, to_rows
from penstock.testing.door_contract import HERE, nobody

SCORES = TopicSpec("scores", pa.schema([pa.field("n", pa.int64(), nullable=False)]), partitions=2)
COPIES = TopicSpec("copies", SCORES.schema, partitions=2)
CASES = "/subscriptions/cases"
LATE = Filter(advanced=[AdvancedFilter("NumberGreaterThan", "data.n", value=60)])
PLAN = Plan(
    "shop",
    "",
    "c0de",
    (SCORES, COPIES),
    subscriptions=(
        SubscriptionSpec("cases", "scores", "https://hooks.example.com/in?key=hush", where="n > 1"),
        SubscriptionSpec("grid", "scores", "https://grid.example.com", filter=LATE, format="eventgrid"),
        SubscriptionSpec("copied", "scores", topic="copies"),
    ),
)


class Shop:
    """A gateway over a log in memory, on a clock moved by hand."""

    def __init__(self, folder: Path, plan: Plan = PLAN) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        for topic in (*plan.topics, SYSTEM_TOPIC):
            self.log.create(topic)
        (folder / "status").mkdir(exist_ok=True)
        self.services = GatewayServices(
            plan,
            self.log,
            Ingest(self.log, plan.topics, Settings(), self.clock, lambda: None),
            open_registry(self.log, self.clock, "view"),
            Artifacts(folder / "artifacts"),
            nobody,
            folder / "status",
            folder / "token",
            Settings(),
            self.clock,
        )

    def ask(self, method: str, path: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(Gateway(self.services))
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
                return await http.request(method, path)

        return asyncio.run(asked())

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def append(self, partition: int, *numbers: int) -> None:
        rows = pa.record_batch([pa.array(numbers, pa.int64())], schema=SCORES.schema)
        self.log.append([Write("scores", partition, rows)])

    def say(self, *messages: Message) -> None:
        self.log.append([Write(SYSTEM, 0, to_rows(messages))])

    def route(self, group: str, **through: int) -> None:
        """A member of the group takes the topic, and has dealt with so much: ``p0=3``."""
        reader = self.log.reader(group, ["scores"], "courier")
        reader.read(1_000, 0.0)
        reader.commit([Advance("scores", int(place[1:]), at) for place, at in through.items()], [])

    def courier(self, every: float = 1.0, **endpoints: dict[str, Any]) -> Path:
        file = self.services.status / "courier.deliveries"
        file.write_text(json.dumps({"role": "courier", "every": every, "endpoints": endpoints}))
        return file


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_each_is_told_with_its_condition_and_no_secret_of_its_url(shop: Shop) -> None:
    cases, grid, copied = shop.get("/subscriptions")
    assert (cases["name"], cases["source"], cases["where"], cases["filter"]) == ("cases", "scores", "n > 1", None)
    assert (cases["kind"], cases["target"], cases["format"]) == ("webhook", "hooks.example.com", "cloudevents")
    assert (cases["state"], cases["reason"], cases["since"]) == ("live", "", None)
    assert grid["filter"]["advanced"][0]["operator_type"] == "NumberGreaterThan" and grid["format"] == "eventgrid"
    assert (copied["kind"], copied["target"], copied["format"], copied["endpoint"]) == ("topic", "copies", None, None)
    assert shop.get("/subscriptions/grid") == grid


def secrets_told(shop: Shop) -> int:
    found = [*shop.get("/subscriptions"), shop.get("/subscriptions/cases"), shop.ask("POST", f"{CASES}/pause").json()]
    return json.dumps(found).count("hush")


def test_of_a_url_nothing_but_the_host_is_told(shop: Shop) -> None:
    assert secrets_told(shop) == 0


def test_mutant_that_tells_the_whole_url_is_caught(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SubscriptionSpec, "receiver", property(lambda spec: spec.url))
    with pytest.raises(AssertionError, match="assert 6 == 0"):
        assert secrets_told(shop) == 0


def test_an_unknown_name_is_told_which_are_near(shop: Shop) -> None:
    for method, path in (("GET", "/subscriptions/case"), ("POST", "/subscriptions/case/pause")):
        answer = shop.ask(method, path)
        assert answer.status_code == 404
        assert "there is no subscription 'case'; did you mean 'cases'?" in answer.json()["error"]["message"]


# -- what waits ---------------------------------------------------------------


def test_the_backlog_is_unknown_before_anybody_has_read_the_topic(shop: Shop) -> None:
    shop.append(0, 1, 2)
    assert [each["backlog"] for each in shop.get("/subscriptions")] == [None, None, None]


def test_who_follows_waits_for_what_the_router_has_not_dealt_with(shop: Shop) -> None:
    shop.append(0, 1, 2, 3)
    shop.append(1, 4)
    shop.route(router_of("scores"), p0=0)
    shop.route("copied", p0=2, p1=0)
    shop.clock.advance(5.0)
    cases, _, copied = shop.get("/subscriptions")
    assert cases["backlog"] == {"events": 3, "seconds": 5.0} and cases["state"] == "live"
    assert copied["backlog"] == {"events": 0, "seconds": 0.0}


def one_behind(shop: Shop) -> list[Any]:
    """``cases`` lacks two events, two seconds old."""
    shop.append(0, 1, 2)
    shop.clock.advance(5.0)
    shop.append(0, 3, 4)
    shop.append(1, 5)
    shop.route(router_of("scores"), p0=3, p1=0)
    shop.say(
        Behind(topic="scores", partition=0, subscription="cases", through=1),
        Following(topic="scores", partition=1, subscriptions=("cases", "grid"), since=0),
    )
    shop.clock.advance(2.0)
    found: list[Any] = shop.get("/subscriptions")
    return found


def test_who_is_behind_waits_for_what_is_behind_its_own_position(shop: Shop) -> None:
    cases, grid, _ = one_behind(shop)
    assert cases["state"] == "behind" and cases["backlog"] == {"events": 2, "seconds": 2.0}
    assert grid["state"] == "live" and grid["backlog"] == {"events": 0, "seconds": 0.0}
    shop.say(Behind(topic="scores", partition=0, subscription="cases", through=0))
    assert shop.get("/subscriptions/cases")["backlog"] == {"events": 3, "seconds": 7.0}
    shop.say(Behind(topic="scores", partition=0, subscription="cases", through=3))
    assert shop.get("/subscriptions/cases")["backlog"] == {"events": 0, "seconds": 0.0}
    shop.say(Following(topic="scores", partition=0, subscriptions=("cases",), since=3))
    assert shop.get("/subscriptions/cases")["state"] == "live"


def test_mutant_that_knows_the_routers_position_alone_is_caught(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeliveryState, "of", lambda *_: {})
    with pytest.raises(AssertionError, match="assert 0 == 2"):
        assert one_behind(shop)[0]["backlog"]["events"] == 2


def test_of_one_that_is_ordered_the_lanes_that_are_blocked_are_told(tmp_path: Path) -> None:
    ordered = SubscriptionSpec("cases", "scores", "https://hooks.example.com", ordered=True)
    shop = Shop(tmp_path, replace(PLAN, subscriptions=(ordered,)))
    assert shop.get(CASES)["lanes"] == {"count": 0, "blocked": 0, "shown": []}
    shop.append(0, 1, 2, 3)
    shop.route(router_of("scores"), p0=2)
    position = OrderedPosition(topic="scores", partition=0, subscription="cases", through=0, split="64 by ")
    shop.say(position)
    cases = shop.get(CASES)
    assert (cases["state"], cases["backlog"]["events"], cases["lanes"]["blocked"]) == ("live", 2, 0)
    lanes = (
        BlockedLane(3, 1, 1, 1, 2, 5_000_000, 9_000_000, "Busy", "HTTP 503"),
        BlockedLane(5, 2, 2, 1, 7, 0, 0, "TimedOut", ""),
    )
    shop.say(msgspec.structs.replace(position, beyond=(2,) * 64, blocked=lanes))
    cases = shop.get(CASES)
    assert cases["state"] == "behind" and cases["options"]["ordered"]
    assert (cases["lanes"]["count"], cases["lanes"]["blocked"]) == (128, 2)
    last, first = cases["lanes"]["shown"]
    assert (last["lane"], last["attempts"], last["due"]) == ("0/5", 7, None)
    assert first == {
        "lane": "0/3",
        "first": "scores/0/1",
        "events": 1,
        "attempts": 2,
        "outcome": "Busy",
        "reason": "HTTP 503",
        "tried": "1970-01-01T00:00:05Z",
        "due": "1970-01-01T00:00:09Z",
    }


def test_of_very_many_places_not_all_are_read_for_their_age(tmp_path: Path) -> None:
    names = [f"s{n}" for n in range(MOST_READ + 1)]
    specs = tuple(SubscriptionSpec(name, "scores", "https://hooks.example.com") for name in names)
    shop = Shop(tmp_path, replace(PLAN, subscriptions=specs))
    shop.append(0, *range(MOST_READ + 1))
    shop.route(router_of("scores"), p0=MOST_READ)
    shop.say(*(Behind(topic="scores", partition=0, subscription=f"s{n}", through=n - 1) for n in range(MOST_READ + 1)))
    found = [each["backlog"] for each in shop.get("/subscriptions")]
    assert [each["events"] for each in found] == list(range(MOST_READ + 1, 0, -1))
    assert [each["seconds"] is None for each in found] == [False] * MOST_READ + [True]


# -- what the courier says ----------------------------------------------------

LAST = {"ok": False, "outcome": "Busy", "status": 503, "reason": "HTTP 503", "began": 1_000_000, "final": False}


def test_the_courier_says_how_the_endpoint_answers(shop: Shop) -> None:
    assert shop.get("/subscriptions/cases")["endpoint"] == {"unknown": UNKNOWN}
    file = shop.courier(cases={"last": LAST, "delivered": 3, "failed": 1, "opens_at": 2_000_000, "why": "probation"})
    assert shop.get("/subscriptions/cases")["endpoint"] == {
        "delivered": 3,
        "failed": 1,
        "success_rate": 0.75,
        "closed_until": "1970-01-01T00:00:02Z",
        "why": "probation",
        "last": {
            "ok": False,
            "outcome": "Busy",
            "status": 503,
            "reason": "HTTP 503",
            "at": "1970-01-01T00:00:01Z",
        },
    }
    unasked = shop.get("/subscriptions/grid")["endpoint"]
    assert (unasked["delivered"], unasked["success_rate"], unasked["last"]) == (0, None, None)
    shop.courier(every=120.0, cases={"delivered": 3})
    os.utime(file, (time.time() - 60,) * 2)
    assert shop.get("/subscriptions/cases")["endpoint"]["delivered"] == 3
    file.write_text("{half")
    assert shop.get("/subscriptions/cases")["endpoint"] == {"unknown": UNKNOWN}


def after_a_minute_of_silence(shop: Shop) -> Any:
    os.utime(shop.courier(cases={"delivered": 3}), (time.time() - 60,) * 2)
    return shop.get(CASES)["endpoint"].get("unknown")


def test_what_a_courier_said_that_fell_silent_holds_no_more(shop: Shop) -> None:
    assert after_a_minute_of_silence(shop) == UNKNOWN


def test_mutant_that_believes_it_for_ever_is_caught(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "STALE_S", 1e9)
    with pytest.raises(AssertionError, match="assert None == 'no courier"):
        assert after_a_minute_of_silence(shop) == UNKNOWN


# -- steering -----------------------------------------------------------------


def stored(shop: Shop) -> int:
    return shop.log.partitions(SYSTEM)[0].events


def test_one_that_is_paused_is_so_until_it_is_resumed(shop: Shop) -> None:
    paused = shop.ask("POST", "/subscriptions/cases/pause").json()
    assert (paused["state"], paused["reason"]) == ("paused", "it was paused")
    assert datetime.fromisoformat(paused["since"]) == datetime.fromtimestamp(shop.clock.now() / 1e6, UTC)
    assert [each["state"] for each in shop.get("/subscriptions")] == ["paused", "live", "live"]
    assert shop.ask("POST", "/subscriptions/cases/pause").status_code == 200 and stored(shop) == 1
    resumed = shop.ask("POST", "/subscriptions/cases/resume").json()
    assert (resumed["state"], resumed["since"]) == ("live", None)
    assert shop.ask("POST", "/subscriptions/cases/resume").status_code == 200 and stored(shop) == 2


def test_one_that_is_disabled_says_why_and_since_when_and_is_resumed(shop: Shop) -> None:
    shop.say(
        Disabled(
            subscription="cases",
            source="scores",
            endpoint="https://hooks.example.com",
            outcome="NotFound",
            reason="the endpoint answered 410",
            at=5_000_000,
        )
    )
    found = shop.ask("POST", "/subscriptions/cases/pause").json()
    assert (found["state"], found["reason"]) == ("disabled", "the endpoint answered 410")
    assert found["since"] == "1970-01-01T00:00:05Z"
    assert shop.ask("POST", "/subscriptions/cases/resume").json()["state"] == "live"


def test_what_goes_to_a_topic_cannot_be_paused(shop: Shop) -> None:
    answer = shop.ask("POST", "/subscriptions/copied/pause")
    assert answer.status_code == 400 and "only what goes outside can be paused" in answer.json()["error"]["message"]
    assert stored(shop) == 0


class HidingRegistry:
    """``unseen`` looks do not see what was appended last, as on a cluster where a transaction is open before it."""

    def __init__(self, shop: Shop, unseen: int, then: Callable[[], None] = lambda: None) -> None:
        self._registry, self._unseen, self._then = shop.services.registry, unseen, then
        self.view = self._registry.view

    def refresh(self) -> None:
        self._unseen -= 1
        if self._unseen == 0:
            self._then()
        if self._unseen <= 0:
            self._registry.refresh()


def changed(shop: Shop, registry: Any, *, paused: bool) -> str | None:
    change(shop.log, registry, shop.clock, "cases", paused=paused)
    halt = shop.services.registry.view.areas.only(DeliveryState).halted.get("cases")
    return None if halt is None else halt.state


def test_the_answer_waits_until_the_change_is_seen(shop: Shop) -> None:
    assert changed(shop, HidingRegistry(shop, 4), paused=True) == "paused"


def test_mutant_that_answers_before_it_is_seen_is_caught(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "_is_seen", lambda *_: True)
    with pytest.raises(AssertionError, match="assert None == 'paused'"):
        assert changed(shop, HidingRegistry(shop, 4), paused=True) == "paused"


def test_a_change_that_is_not_seen_is_said(shop: Shop) -> None:
    with pytest.raises(Unavailable, match="asked for, and not seen within 5 s"):
        changed(shop, HidingRegistry(shop, 1_000_000), paused=True)


def test_one_that_is_disabled_again_at_once_was_resumed(shop: Shop) -> None:
    shop.ask("POST", "/subscriptions/cases/pause")

    def disable() -> None:
        again = {"source": "scores", "endpoint": "", "outcome": "", "reason": "again"}
        shop.say(Disabled(subscription="cases", at=shop.clock.now(), **again))

    assert changed(shop, HidingRegistry(shop, 2, disable), paused=False) == "disabled"


def test_one_whose_halt_came_with_a_snapshot_is_resumed(shop: Shop) -> None:
    before = DeliveryState()
    before.apply(Disabled(subscription="cases", source="", endpoint="", outcome="", reason="gone", at=1))
    shop.services.registry.view.areas.only(DeliveryState).restore(before.save())
    assert shop.ask("POST", "/subscriptions/cases/resume").json()["state"] == "live" and stored(shop) == 1
