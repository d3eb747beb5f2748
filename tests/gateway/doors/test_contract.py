"""What every door promises, of every row of the table, with all that one may be asked for behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from starlette.routing import compile_path

from penstock.access.rights import Rights, named
from penstock.access.state import KeyCreated
from penstock.batch import DEAD, SYSTEM, Batch, TopicSpec, Write
from penstock.domains.messages import DomainTopicsAdded
from penstock.gateway.app import is_open
from penstock.gateway.principal import Principal
from penstock.gateway.routes import EACH, ROUTES, Route
from penstock.gateway.services import GatewayServices
from penstock.models.interface import Signature
from penstock.models.messages import Promoted, Registered
from penstock.models.signature import to_json
from penstock.plan.plan import ModelSpec, Plan, ScoreSpec, SubscriptionSpec
from penstock.plan.run_time import PrivateParts, RunTimeSubscription
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, open_registry
from penstock.stages.deliver.handshakes.asking import token_digest
from penstock.stages.deliver.handshakes.messages import HandshakeChanged
from penstock.stages.deliver.run_time.messages import SubscriptionPut
from penstock.stages.deliver.run_time.rules import put_rules
from penstock.stages.deliver.run_time.state import RunTimeState
from penstock.stages.emit import Emitter
from penstock.stages.failures.dead import dead_letter_rows
from penstock.stages.inspection import Inspections
from penstock.stages.interface import Failure, Work
from penstock.stages.pump import Pump
from penstock.stages.registry_owner import Registrar
from penstock.stages.scoring.loading import at_once
from penstock.stages.scoring.slots import of_its_own
from penstock.system.messages import to_rows
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.testing.door_contract import DoorContract, asked, made

SIGNATURE = Signature(pa.schema([("a", pa.float64())]), pa.schema([("y", pa.float64())]))
SCORED = TopicSpec("scores", partitions=2)
PLAN = Plan(
    "doors",
    "",
    "c0de",
    (TopicSpec("notes", partitions=2), TopicSpec("tx", partitions=2, domain=True), SCORED),
    stages=(ScoreSpec("scorer", "notes", "scores", "m"),),
    models=(ModelSpec("m", ("y",)),),
    subscriptions=(SubscriptionSpec("cases", "scores", "https://hooks.example.com/cases"),),
    open_to_subscriptions=True,
)
ASKED = {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]}]}

TOKEN = "a-callback-of-the-handshake-of-cases"

REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/topics/{topic}/events"): {"url": "/topics/notes/events", "json": {"n": 1}},
    ("GET", "/topics/{topic}/events"): {"url": "/topics/notes/events"},
    ("GET", "/topics"): {"url": "/topics"},
    ("GET", "/topics/{topic}"): {"url": "/topics/notes"},
    ("GET", "/groups"): {"url": "/groups"},
    ("POST", "/domains/{domain}/events"): {"url": "/domains/tx/events", "json": {"_topic": "acme", "n": 1}},
    ("POST", "/domains/{domain}/topics/{topic}/events"): {"url": "/domains/tx/topics/acme/events", "json": {"n": 1}},
    ("GET", "/domains/{domain}/events"): {"url": "/domains/tx/events"},
    ("GET", "/domains/{domain}/topics/{topic}/events"): {"url": "/domains/tx/topics/acme/events"},
    ("GET", "/domains/{domain}/topics"): {"url": "/domains/tx/topics"},
    ("GET", "/domains"): {"url": "/domains"},
    ("POST", "/eventgrid/{topic}/api/events"): {
        "url": "/eventgrid/notes/api/events",
        "json": [{"id": "1", "subject": "s", "eventType": "t", "eventTime": "2026-01-31T12:00:00Z", "data": {"n": 1}}],
    },
    ("OPTIONS", "/eventgrid/{topic}/api/events"): {"url": "/eventgrid/notes/api/events"},
    ("GET", "/dead"): {"url": "/dead"},
    ("GET", "/dead/{topic}/{partition}/{offset}"): {"url": "/dead/notes/0/0"},
    ("POST", "/dead/redrive"): {"url": "/dead/redrive", "json": {}},
    ("POST", "/dead/drop"): {"url": "/dead/drop", "json": {}},
    ("GET", "/subscriptions"): {"url": "/subscriptions"},
    ("GET", "/subscriptions/{subscription}"): {"url": "/subscriptions/cases"},
    ("PUT", "/subscriptions/{subscription}"): {
        "url": "/subscriptions/late",
        "json": {"source": "scores", "to": "https://late.example.com/in"},
    },
    ("DELETE", "/subscriptions/{subscription}"): {"url": "/subscriptions/early"},
    ("POST", "/subscriptions/{subscription}/pause"): {"url": "/subscriptions/cases/pause"},
    ("POST", "/subscriptions/{subscription}/resume"): {"url": "/subscriptions/cases/resume"},
    ("GET", "/keys"): {"url": "/keys"},
    ("POST", "/keys"): {"url": "/keys", "json": {"name": "acme", "allow": "manage:keys"}},
    ("DELETE", "/keys/{key}"): {"url": "/keys/0123456789"},
    ("GET", "/handshakes/{token}"): {"url": f"/handshakes/{TOKEN}"},
    ("POST", "/handshakes/{token}"): {"url": f"/handshakes/{TOKEN}"},
    ("GET", "/models"): {"url": "/models"},
    ("GET", "/models/{model}"): {"url": "/models/m"},
    ("POST", "/models/{model}/versions"): {"url": "/models/m/versions", "content": b"a model"},
    ("PUT", "/models/{model}/aliases/{alias}"): {"url": "/models/m/aliases/other", "json": {"version": 1}},
    ("POST", "/models/{model}/aliases/{alias}"): {"url": "/models/m/aliases/other", "json": {"version": 1}},
    ("POST", "/models/{model}/promote"): {"url": "/models/m/promote", "json": {"version": 1}},
    ("POST", "/models/{model}/rollback"): {"url": "/models/m/rollback", "json": {}},
    ("POST", "/v2/models/{model}/infer"): {"url": "/v2/models/m/infer", "json": ASKED},
    ("GET", "/v2/models/{model}"): {"url": "/v2/models/m"},
    ("GET", "/v2/models/{model}/ready"): {"url": "/v2/models/m/ready"},
    ("POST", "/v2/models/{model}/versions/{version}/infer"): {"url": "/v2/models/m/versions/2/infer", "json": ASKED},
    ("GET", "/v2/models/{model}/versions/{version}"): {"url": "/v2/models/m/versions/2"},
    ("GET", "/v2/models/{model}/versions/{version}/ready"): {"url": "/v2/models/m/versions/2/ready"},
    ("GET", "/v2"): {"url": "/v2"},
    ("GET", "/v2/health/live"): {"url": "/v2/health/live"},
    ("GET", "/v2/health/ready"): {"url": "/v2/health/ready"},
    ("GET", "/healthz"): {"url": "/healthz"},
    ("GET", "/readyz"): {"url": "/readyz"},
    ("GET", "/metrics"): {"url": "/metrics"},
}


OF_DOMAIN = "tx/acme"
LISTED = {"/topics": "notes", "/groups": "notes", "/subscriptions": "subscriptions/cases", "/models": "models/m"}
LISTED |= dict.fromkeys(("/dead", "/dead/redrive", "/dead/drop"), "dead/notes")
LISTED |= dict.fromkeys(("/domains", "/domains/{domain}/topics", "/domains/{domain}/events"), OF_DOMAIN)
"""What the doors for several things show of what is there."""


def the_right(route: Route) -> tuple[str, str]:
    """That its request needs."""
    if route.on == EACH:
        return route.verb, named(route.verb, LISTED[route.path])
    asked_for = compile_path(route.path)[0].match(REQUESTS[route.method, route.path]["url"].partition("?")[0])
    assert asked_for is not None
    return route.verb, named(route.verb, route.on.format(**asked_for.groupdict()))


OPEN = [route for route in ROUTES if is_open(route)]
GIVEN = {the_right(route) for route in ROUTES if route not in OPEN}
GIVEN |= {(verb, f"{name}-of-others") for verb, name in GIVEN} | {("read", "scores"), ("append", "scores")}


def check_the_right(services: GatewayServices, route: Route, request: dict[str, Any]) -> None:
    """It opens to who has it alone, and to nobody who has all others."""
    one = the_right(route)
    without, alone = (
        asked(services, route, request, admit=lambda _, found=found: Principal("somebody", Rights.of(found)))  # type: ignore[misc]
        for found in ([each for each in GIVEN if not Rights.of([each]).covers(":".join(one))], [one, *route.also])
    )
    if route.on != EACH or route.verb == "append":
        assert without.status_code == 403, f"{route.method} {route.path} opens without its right"
    assert alone.status_code == route.success, alone.text
    if without.status_code == 403:
        return
    assert without.status_code == 200
    shown = '"tx"' if route.path == "/domains" else f'"{one[1].rpartition("/")[2]}"'
    assert shown not in without.text, f"{route.method} {route.path} shows what no right is to: {without.text}"
    if route.method == "GET":
        assert shown in alone.text, "it shows nothing at all"
    else:  # the letter is left to who may
        said, had = without.json(), alone.json()
        assert (said.get("redriven"), said.get("dropped"), said["left"]) in ((0, None, 0), (None, 0, 0)), said
        assert 1 in (had.get("redriven"), had.get("dropped")), had


def without_request(routes: Sequence[Route], requests: Mapping[tuple[str, str], Any]) -> list[str]:
    return [f"{r.method} {r.path}" for r in routes if (r.method, r.path) not in requests]


KEY = KeyCreated(id="0123456789", name="x", digest="0" * 64, rights=("read:notes",), expires=None, at=1, by="test")


EARLY = SubscriptionPut(
    put=RunTimeSubscription(name="early", source="scores", private=PrivateParts("https://early.example.com/in")),
    by="test",
    at=1,
    begun=1,
    causationid="c",
)


ACME = DomainTopicsAdded(domain="tx", names=("acme",), causationid="c")


class Looks:
    """A runner that finds every artifact good."""

    def inspect(self, artifact: Path, **given: Any) -> tuple[str, Signature]:
        return "onnx", SIGNATURE

    def close(self) -> None: ...


async def score(model: str, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, str]:
    return pa.RecordBatch.from_arrays([rows.column("a")], names=["y"]), f"{model}/2"


def two_versions() -> list[Registered | Promoted]:
    """The second is the champion."""
    known: dict[str, Any] = {"runtime": "onnx", "signature": to_json(SIGNATURE), "created": 1, "causationid": "c"}
    return [
        *(Registered(model="m", version=n, digest=str(n) * 64, **known) for n in (1, 2)),
        *(
            Promoted(model="m", alias="champion", from_version=n - 1 or None, to_version=n, epoch=n, causationid="c")
            for n in (1, 2)
        ),
    ]


def a_handshake() -> HandshakeChanged:
    """Of the subscription ``cases``, that waits for somebody to open its callback; for ever."""
    known: dict[str, Any] = {"endpoint": "e", "at": 1, "causationid": "c"}
    digest = token_digest(TOKEN)
    return HandshakeChanged(subscription="cases", number=2, step="awaiting", token=digest, until=1 << 60, **known)


def a_letter() -> Write:
    """Of the event at notes/0/0."""
    rows = pa.RecordBatch.from_arrays([pa.array(['{"n":1}'])], schema=PLAN.topic("notes").schema)
    work = Work.of([Batch("notes", 0, np.zeros(1, np.int64), np.ones(1, np.int64), rows)])
    return Write(DEAD, 0, dead_letter_rows("scorer", work, [Failure(0, "ValueError", "bad", "", 1)], None).rows)


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}", indirect=True)
class TestDoors(DoorContract):
    @pytest.fixture
    def route(self, request: pytest.FixtureRequest) -> Route:
        route: Route = request.param
        return route

    @pytest.fixture
    def request_(self, route: Route) -> dict[str, Any]:
        return REQUESTS[route.method, route.path]

    @pytest.fixture
    def services(self, tmp_path: Path) -> Iterator[GatewayServices]:
        """Behind the suite's own: a model of two versions, a dead letter, a worker that says it is ready, and the
        registry's owner, who answers commands."""
        services = made(tmp_path)
        log, clock = services.log, services.clock
        for topic in (SCORED, SNAPSHOT_TOPIC):
            log.create(topic)
        log.append([Write(SYSTEM, 0, to_rows([*two_versions(), KEY, a_handshake(), EARLY, ACME])), a_letter()])
        said = {"role": "worker", "stages": {"scorer": {"ready": True, "version": "m/2"}}}
        (services.status / "worker.json").write_text(json.dumps(said))
        inspections = Inspections(lambda _: of_its_own(Looks()), lambda _: None, at_once)  # type: ignore[arg-type]
        alone = replace(PLAN, stages=())  # no scorer that would have to fit
        registry = open_registry(log, clock, "owner")
        registry.view.areas.only(RunTimeState).rules = put_rules(PLAN, log, services.settings)
        owner = Registrar(alone, registry, services.artifacts, inspections, clock, 30.0)
        topics = {topic.name: topic for topic in (SYSTEM_TOPIC, SNAPSHOT_TOPIC)}
        emitter = Emitter(owner.name, owner.source, PLAN.code, topics)
        pump = Pump(owner, log.reader(owner.name, [SYSTEM], "owner"), emitter, clock, rows=lambda: 256)
        stop = Event()

        def answer() -> None:
            while not stop.is_set():
                pump.step(0.02)

        thread = Thread(target=answer)
        thread.start()
        try:
            yield replace(services, plan=PLAN, ask=score)
        finally:
            stop.set()
            thread.join()

    def test_its_one_right_opens_it_and_all_others_do_not(
        self, services: GatewayServices, route: Route, request_: dict[str, Any]
    ) -> None:
        if route in OPEN:
            pytest.skip("it asks for no right")
        services.log.reader("readers", ["notes"], "here")  # for /groups
        check_the_right(services, route, request_)

    def test_mutant_that_asks_for_the_verb_alone_is_caught(
        self, services: GatewayServices, route: Route, request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if route in OPEN or (route.method, route.path) == ("POST", "/keys"):
            pytest.skip("it asks for no right, or gives none that who asks has not, which is looked at apart")
        services.log.reader("readers", ["notes"], "here")
        monkeypatch.setattr(Rights, "may", lambda rights, verb, name: any(t.startswith(verb) for t in rights.texts))
        with pytest.raises(AssertionError, match=r"opens without its right|shows what no right is to|'left': 0"):
            check_the_right(services, route, request_)


def test_every_row_of_the_table_has_a_request() -> None:
    assert without_request(ROUTES, REQUESTS) == []
    assert len(REQUESTS) == len(ROUTES), "there are requests of doors that are gone"


def test_a_row_without_a_request_is_found() -> None:
    added = replace(ROUTES[0], path="/topics/{topic}/copies")
    assert without_request([*ROUTES, added], REQUESTS) == ["POST /topics/{topic}/copies"]
