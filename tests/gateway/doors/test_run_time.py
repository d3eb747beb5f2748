"""Subscriptions put, shown and deleted over HTTP while the app runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from penstock.access.rights import Rights
from penstock.batch import SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.gateway.app import Gateway
from penstock.gateway.doors import read
from penstock.gateway.principal import LOCAL_USER, Principal
from penstock.gateway.services import GatewayServices
from penstock.log.memory import MemoryLog
from penstock.models.artifacts import Artifacts
from penstock.plan.plan import Plan, ScoreSpec, SubscriptionSpec
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, every_area, open_registry
from penstock.settings import Settings
from penstock.stages.deliver.run_time.messages import PRIVATE
from penstock.stages.deliver.run_time.rules import put_rules
from penstock.stages.deliver.run_time.state import RunTimeState
from penstock.stages.ingest.group_commit import Ingest
from penstock.system.messages import to_rows
from penstock.system.owner import answer, snapshot
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.system.view import View
from penstock.testing.door_contract import HERE, nobody

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SCORES = TopicSpec("scores", pa.schema([pa.field("n", pa.int64(), nullable=False)]), partitions=2)
ORDERS = TopicSpec("orders", SCORES.schema)
PLAN = Plan(
    "shop",
    "",
    "c0de",
    (SCORES, ORDERS),
    stages=(ScoreSpec("scorer", "scores", "orders", "m"),),
    subscriptions=(SubscriptionSpec("cases", "scores", "https://hooks.example.com/in?key=hush"),),
    open_to_subscriptions=True,
)
BODY = {
    "source": "scores",
    "to": "https://acme.example.com/hush/hook?token=hush",
    "where": "n>1",
    "secret": SECRET,
    "headers": {"authorization": "Bearer quiet"},
}
HIDDEN = (SECRET, "hush", "quiet")


class OwnedClock(ManualClock):
    """Whoever waits lets the owner of the system answer."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.meanwhile()


class Shop:
    def __init__(self, folder: Path, plan: Plan = PLAN, settings: Settings | None = None) -> None:
        self.clock, given = OwnedClock(), settings or Settings()
        self.log = MemoryLog(self.clock)
        for topic in (*plan.topics, SYSTEM_TOPIC, SNAPSHOT_TOPIC):
            self.log.create(topic)
        (folder / "status").mkdir(exist_ok=True)
        self.services = GatewayServices(
            plan,
            self.log,
            Ingest(self.log, plan.topics, given, self.clock, lambda: None),
            open_registry(self.log, self.clock, "view"),
            Artifacts(folder / "artifacts"),
            nobody,
            folder / "status",
            folder / "token",
            given,
            self.clock,
        )
        self.who = LOCAL_USER
        self.owner = View(self.log, every_area(), self.clock, "owner")
        self.owner.areas.only(RunTimeState).rules = put_rules(plan, self.log, given)
        self._asked = self.log.reader(None, [SYSTEM], "owner")
        self.clock.meanwhile = self.answer

    def answer(self) -> None:
        for batch in self._asked.read(10_000, 0.0):
            self.owner.refresh()
            if events := answer(self.owner.areas, batch.rows, now=self.clock.now())[0]:
                self.log.append([Write(SYSTEM, 0, to_rows(events))])

    def snapshot(self) -> None:
        self.owner.refresh()
        parts, told = snapshot(self.owner)
        self.log.append([Write(SNAPSHOT_TOPIC.name, 0, parts), Write(SYSTEM, 0, told)])

    def allow(self, text: str) -> None:
        self.who = Principal("acme", Rights.parse(text), "k1")

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(Gateway(self.services, admit=lambda _: self.who))
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
                return await http.request(method, path, **given)

        return asyncio.run(asked())

    def put(self, name: str, **more: Any) -> httpx.Response:
        return self.ask("PUT", f"/subscriptions/{name}", json=BODY | more)

    def names(self) -> list[str]:
        return [each["name"] for each in self.ask("GET", "/subscriptions").json()]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def message(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    detail = answer.json()["error"]
    return str(detail["message"])


def test_one_is_put_shown_replaced_and_deleted(shop: Shop) -> None:
    put = shop.put("acme-cases")
    assert put.status_code == 200, put.text
    found = put.json()
    assert (found["name"], found["origin"], found["source"], found["where"]) == (
        "acme-cases",
        "run-time",
        "scores",
        "n > 1",
    )
    assert (found["target"], found["kind"], found["state"]) == ("acme.example.com", "webhook", "live")
    assert shop.ask("GET", "/subscriptions/acme-cases").json() == found
    assert shop.ask("GET", "/subscriptions/cases").json()["origin"] == "file"
    end = shop.log.ends(SYSTEM)
    assert shop.put("acme-cases").status_code == 200 and shop.log.ends(SYSTEM) == end, "the same is there already"
    assert (
        shop.put("acme-cases", where=None, source="penstock.model.promoted").json()["event"]
        == "penstock.model.promoted"
    )
    assert shop.names() == ["cases", "acme-cases"]
    assert shop.ask("POST", "/subscriptions/acme-cases/pause").json()["state"] == "paused"
    assert shop.ask("DELETE", "/subscriptions/acme-cases").json() == {"name": "acme-cases", "deleted": True}
    assert shop.names() == ["cases"]
    assert "there is no subscription 'acme-cases'" in message(shop.ask("DELETE", "/subscriptions/acme-cases"), 404)


def all_that_is_shown(shop: Shop) -> str:
    shop.put("acme-cases")
    shop.snapshot()
    asked = [
        shop.put("acme-cases", rate="1/s"),
        shop.ask("GET", "/subscriptions"),
        shop.ask("GET", "/subscriptions/acme-cases"),
    ]
    asked += [
        shop.ask("GET", f"/topics/{topic}/events", headers={"accept": kind}, params={"limit": "1000"})
        for topic in (SYSTEM, SNAPSHOT_TOPIC.name)
        for kind in ("application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream")
    ]
    assert all(each.status_code == 200 for each in asked)
    shown = "".join(each.content.decode("latin-1") for each in asked)
    assert all(kind in shown for kind in PRIVATE), "that something was put is no secret"
    return shown


def test_neither_the_url_nor_a_secret_is_ever_shown_back(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shown = all_that_is_shown(shop) + caplog.text
    assert [secret for secret in HIDDEN if secret in shown] == []


def test_mutant_that_shows_the_topic_as_it_is_is_caught(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "concealed", lambda batch: batch)
    with pytest.raises(AssertionError, match="whsec_"):
        shown = all_that_is_shown(shop)
        assert [secret for secret in HIDDEN if secret in shown] == []


def test_those_of_the_file_are_read_only(shop: Shop) -> None:
    for refused in (shop.put("cases"), shop.ask("DELETE", "/subscriptions/cases")):
        assert "'cases' is of the app's file, and read-only here" in message(refused, 409)
    assert "'scorer' is a stage of the app's file" in message(shop.put("scorer"), 409)


REFERENCES: list[dict[str, Any]] = [
    {"to": "env:HOME"},
    {"to": "secret:KEY"},
    {"to": "ps.env('HOME')"},
    {"secret": "env:KEY"},
    {"secret": ["secret:KEY"]},
    {"headers": {"x-key": "env:AWS_SECRET_ACCESS_KEY"}},
    {"headers": {"x-key": "ps.secret('KEY')"}},
    {"secret": {"kind": "secret", "variable": "KEY"}},
    {"to": {"kind": "env", "variable": "URL"}},
    {"headers": {"x-key": {"kind": "env", "variable": "URL"}}},
]


def stored(shop: Shop) -> list[str]:
    for n, given in enumerate(REFERENCES):
        shop.put(f"acme-{n}", **given)
    shop.owner.refresh()
    return list(shop.owner.areas.only(RunTimeState).names())


def test_nobody_outside_refers_to_the_environment(shop: Shop) -> None:
    for n, given in enumerate(REFERENCES):
        message(shop.put(f"acme-{n}", **given), 400)
    assert stored(shop) == []


def test_mutant_that_takes_a_reference_is_caught(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.declare import run_time

    monkeypatch.setattr(run_time, "_plain", lambda given: given)
    with pytest.raises(AssertionError, match="acme-"):
        assert stored(shop) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"to": "http://acme.example.com/in"}, "without TLS"),
        ({"to": "https://127.0.0.1/in"}, "not on the public internet"),
        ({"to": "https://169.254.169.254/latest"}, "not on the public internet"),
        ({"to": "https://user:hush@acme.example.com/"}, "it has a user or a password in it"),
        ({"to": "ftp://acme.example.com"}, "does not begin with https://"),
        ({"allow_private": True}, "unknown field"),
        ({"allow_http": True}, "unknown field"),
        ({"where": "nothing > 1"}, "nothing"),
        ({"where": "n >"}, "n >"),
        ({"where": "n = 1 or " * 1_000 + "n = 1"}, "characters"),
        ({"retry": {"attempts": 31}}, "attempts"),
        ({"retry": {"ttl": "2d"}}, "24 hours"),
        ({"batch": [10, 64]}, "needs format"),
        ({"secret": "whsec_short"}, "a webhook's secret is whsec_"),
        ({"headers": {"host": "x"}}, "request's own"),
        ({"headers": {"x": "a\r\nb"}}, "visible ASCII"),
        ({"handshake": "eventgrid"}, "format='eventgrid'"),
        ({"concurrency": 65}, "at most 64"),
        ({"rate": "fast"}, "is no rate"),
        ({"disable_after": "1m"}, "at least 1 hour"),
        ({"format": "xml"}, "must be one of"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_wrong(shop: Shop, given: dict[str, Any], says: str) -> None:
    said = message(shop.put("acme-cases", **given), 400)
    assert not any(secret in said for secret in HIDDEN)
    assert says in json.dumps(shop.put("acme-cases", **given).json(), ensure_ascii=False)
    assert ".py:" not in said, "no place in our own files"
    assert shop.names() == ["cases"]


def test_a_name_or_a_source_that_cannot_be_is_told(shop: Shop) -> None:
    assert "cannot be the name" in message(shop.put("penstock.mine"), 400)
    assert "128 characters at most" in message(shop.put("x" * 200), 400)
    assert "did you mean scores" in message(shop.put("acme", source="score"), 404)


def test_where_the_operator_develops_it_may_go_inside(tmp_path: Path) -> None:
    shop = Shop(tmp_path, settings=replace(Settings(), subscriptions_inside=1))
    assert shop.put("acme", to="http://127.0.0.1:9/in").json()["options"]["allow_private"] is True


def test_an_app_whose_file_invites_none_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path, replace(PLAN, open_to_subscriptions=False))
    assert "this app takes no subscriptions at run time" in message(shop.put("acme"), 409)
    assert PLAN.invites_subscriptions and PLAN.delivers and not Plan("a", "", "", ()).delivers


TENANT = "read:scores,subscribe:acme-*,read:subscriptions/acme-*,steer:acme-*"


def seen(shop: Shop) -> list[Any]:
    """What a tenant gets to know, and may do, of another's."""
    shop.put("zeta-cases")
    shop.allow(TENANT)
    shop.put("acme-cases")
    names = shop.names()
    paths = [("GET", "/subscriptions/zeta-cases"), ("DELETE", "/subscriptions/zeta-cases")]
    paths += [("POST", "/subscriptions/zeta-cases/pause"), ("GET", "/subscriptions/zeta-nothing")]
    near = shop.ask("GET", "/subscriptions/acme-zeta-cases").text
    return [
        names,
        *(shop.ask(*each).status_code for each in paths),
        shop.put("zeta-cases").status_code,
        "'zeta" in near,
    ]


def test_anothers_is_invisible(shop: Shop) -> None:
    assert seen(shop) == [["acme-cases"], 403, 403, 403, 403, 403, False]


def test_mutant_that_lists_all_of_them_is_caught(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Principal, "may", lambda *_: True)
    with pytest.raises(AssertionError, match="zeta-cases"):
        assert seen(shop) == [["acme-cases"], 403, 403, 403, 403, 403, False]


def test_who_may_not_read_the_source_does_not_subscribe_to_it(shop: Shop) -> None:
    shop.allow(TENANT)
    assert "acme may not read 'orders'" in message(shop.put("acme-cases", source="orders"), 403)
    assert "may not read 'nothing'" in message(shop.put("acme-cases", source="nothing"), 403)
    assert "may not read 'penstock.system'" in message(
        shop.put("acme-x", source="penstock.model.promoted", where=None), 403
    )


def test_many_are_shown_a_page_at_a_time(shop: Shop) -> None:
    for n in range(5):
        assert shop.put(f"t{n}").status_code == 200
    found, after = list[str](), ""
    while True:
        answer = shop.ask("GET", "/subscriptions", params={"limit": "2"} | ({"after": after} if after else {}))
        assert len(answer.json()) <= 2
        found += [each["name"] for each in answer.json()]
        if not (after := answer.headers.get("penstock-next", "")):
            break
    assert found == ["cases", "t0", "t1", "t2", "t3", "t4"]
    assert "there are after, limit" in message(shop.ask("GET", "/subscriptions?page=1"), 400)


def test_an_owner_that_does_not_answer_is_told(shop: Shop) -> None:
    shop.clock.meanwhile = lambda: None
    assert "not answered within 5 s" in message(shop.put("acme"), 503)


def test_what_a_row_says_that_nobody_knows_is_not_shown(shop: Shop) -> None:
    rows = pa.RecordBatch.from_pydict({"json": ["[1]"], "_id": [None], "_type": [PRIVATE[0]], "_subject": [None]})
    shop.put("acme")
    shop.log.append([Write(SYSTEM, 0, to_rows([]).from_pydict(rows.to_pydict(), schema=to_rows([]).schema))])
    shown = shop.ask("GET", f"/topics/{SYSTEM}/events").json()
    assert json.dumps(shown).count("[1]") == 0


def test_one_that_a_later_file_takes_no_more_is_shown_as_failed(shop: Shop) -> None:
    shop.put("acme")
    shop.services = replace(shop.services, plan=replace(PLAN, open_to_subscriptions=False))
    assert shop.ask("GET", "/subscriptions/acme").json()["state"] == "failed"
    shop.services = replace(shop.services, plan=replace(PLAN, topics=(ORDERS,)))
    found = shop.ask("GET", "/subscriptions/acme").json()
    assert found["state"] == "failed" and "has its source no more" in found["reason"]
