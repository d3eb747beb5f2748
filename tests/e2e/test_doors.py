"""Each door of a real run, by a key that has its one right, and by one that has that right to other things."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.access.rights import named
from penstock.client.connection import connect
from penstock.gateway.app import is_open
from penstock.gateway.routes import EACH, ROUTES, Route
from tests.e2e import rig
from tests.e2e.deliveries import Receiver, receiving
from tests.e2e.test_access import ACCESS, made
from tests.run.server import write_app

SUBSCRIBED = """
app.subscribe(doubles, ps.env("THERE"), name="out", allow_http=True, allow_private=True)
app.domain("tx")
"""
OURS = {"topic": "readings", "model": "double", "subscription": "out", "alias": "champion", "version": "1"}
OURS |= {"partition": "0", "offset": "0", "key": "none", "token": "none", "domain": "tx"}
LISTED = {
    "/topics": "readings",
    "/groups": "readings",
    "/subscriptions": "subscriptions/out",
    "/models": "models/double",
}
LISTED |= dict.fromkeys(("/dead", "/dead/redrive", "/dead/drop"), "dead/readings")
LISTED |= dict.fromkeys(("/domains", "/domains/{domain}/topics", "/domains/{domain}/events"), "tx/readings")
"""What the doors for several things show or touch of ours, by whoever has the right to that."""
ROWS = [{"n": n, "x": 1.0} for n in (-666, 1, 2)]  # one is refused, and two are scored and delivered
Z = {"inputs": [{"name": "z", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
GRID = [{"id": "1", "subject": "s", "eventType": "t", "eventTime": "2026-01-31T12:00:00Z", "data": ROWS[1]}]
BODIES: Mapping[str, Any] = {
    "/topics/{topic}/events": ROWS,
    "/domains/{domain}/topics/{topic}/events": ROWS,
    "/domains/{domain}/events": [{**row, "_topic": "readings"} for row in ROWS],
    "/eventgrid/{topic}/api/events": GRID,
    "/v2/models/{model}/infer": Z,
    "/v2/models/{model}/versions/{version}/infer": Z,
    "/keys": {"name": "acme", "allow": "manage:keys"},
}
MOVED, DRY = {"version": 1}, {"dry": True}


def wanted(route: Route) -> str:
    """The right to what is ours."""
    return named(route.verb, LISTED[route.path] if route.on == EACH else route.on.format(**OURS))


def others(route: Route) -> str:
    """The same right, to what is somebody else's."""
    name = wanted(route)
    if name == "tx/*":
        return "others/*"
    return "health" if name == "keys" else "keys" if name == "health" else f"{name}-of-others"


def asked(url: str, key: str, route: Route) -> httpx.Response:
    body = BODIES.get(route.path, DRY if route.path.startswith("/dead") else MOVED)
    given = {} if route.method in ("GET", "OPTIONS", "DELETE") else {"json": body}
    path = route.path.format(**OURS)
    return httpx.request(route.method, url + path, headers={"x-api-key": key}, timeout=rig.PATIENCE, **given)


def check_each_door(folder: Path, env: Mapping[str, str]) -> None:
    app, data = write_app(folder), folder / "data"
    app.write_text(app.read_text() + SUBSCRIBED)
    admin, _ = made(data, "admin", "admin")
    with ExitStack() as stack:
        there = stack.enter_context(receiving(Receiver()))
        run = stack.enter_context(rig.running(app, data, workers=1, env={**env, "THERE": there.url}, options=ACCESS))
        all_powerful = stack.enter_context(closing(connect(run.url, key=admin)))
        all_powerful.publish("readings", ROWS)
        assert rig.eventually(lambda: len(all_powerful.dead()) == 1 and all_powerful.read("doubles").height == 2)
        for number, route in enumerate(ROUTES):
            if is_open(route):
                continue
            door = f"{route.method} {route.path}"
            key, other = (
                all_powerful.create_key(f"{name}-{number}", f"{route.verb}:{what}")["key"]
                for name, what in (("ours", wanted(route)), ("others", others(route)))
            )
            refused = asked(run.url, other, route)
            if lists(route):
                assert refused.status_code == 200 and not shown(route, refused), f"{door} shows others' {refused.text}"
            else:
                assert refused.status_code == 403, f"{door} opens to who has a right to other things"
            answer = asked(run.url, key, route)
            assert answer.status_code not in (401, 403), f"{door} is closed to who has its right: {answer.text}"
            assert answer.status_code < 500, answer.text
            assert not lists(route) or shown(route, answer), f"{door} shows nothing to who has its right: {answer.text}"
        assert run.stop() == 0


def lists(route: Route) -> bool:
    """Does it show or touch some of several things, and refuse nobody? A request that appends says of which it is."""
    return route.on == EACH and route.verb != "append"


def shown(route: Route, answer: httpx.Response) -> Any:
    """Something of ours; of letters to put back or to drop, how many there are."""
    said = answer.json()
    if route.path == "/domains/{domain}/topics":
        return said["topics"]
    return said if route.method == "GET" else said["left"]


@pytest.mark.also_on_kafka
def test_each_door_opens_to_its_one_right_and_to_no_right_to_other_things(tmp_path: Path) -> None:
    check_each_door(tmp_path, {})


def test_mutant_a_gateway_that_looks_at_the_verb_alone_is_caught(tmp_path: Path) -> None:
    code = """
from penstock.access.rights import Rights
Rights.may = lambda self, verb, name: {verb, "*"} & {right.partition(":")[0] for right in self.texts}
"""
    env = rig.planted(tmp_path / "plant", code, "penstock.run.gateway")
    with pytest.raises(AssertionError, match="opens to who has a right to other things"):
        check_each_door(tmp_path, env)
