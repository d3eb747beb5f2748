"""With ``--access``: runs want keys, and each test shows one of its own that opens what ``LEAST`` says, and no more.

A test that needs more fails, for it is refused; one whose key opens more than it asks for fails too. So the table says
what a user needs for what the test does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import compile_path

from penstock.access.issuing import NAME_CHARS, issue
from penstock.access.rights import DEAD, MODELS, SUBSCRIPTIONS, Rights
from penstock.gateway.app import is_open
from penstock.gateway.routes import EACH, ROUTES
from penstock.run.keys import opened

OPTION = "--access"
TESTS = Path(__file__).parent

DELIVERIES, WAITS, RUN = "e2e/test_deliveries.py::test_", "e2e/test_wait.py::test_", "run/test_run.py::test_"
LEAST: Mapping[str, str] = {
    f"{DELIVERIES}events_are_delivered_signed_and_filtered": "append:numbers,read:copies,read:dead/numbers",
    f"{DELIVERIES}what_a_receiver_refuses_is_dead_and_goes_to_it_alone_when_put_back": (
        "append:numbers,read:dead/numbers,redrive:numbers"
    ),
    f"{WAITS}the_answer_carries_what_every_worker_made_of_these_events_and_no_others": (
        "append:orders,read:made,read:checked"
    ),
    f"{WAITS}rows_that_come_to_nothing_are_not_waited_for": "append:orders,read:made,read:penstock.dead",
    f"{WAITS}who_waits_at_a_killed_gateway_asks_again_and_gets_the_rows": "append:once,read:made,read:once",
    "e2e/test_redrive.py::test_two_workers_share_the_source_evenly_and_the_dead_letters_beside_it": (
        "append:orders,read:orders,read:penstock.dead,read:dead/orders,redrive:orders"
    ),
    "e2e/test_registry.py::test_a_model_that_loops_keeps_nobody_waiting": (
        "register:double,alias:double,read:models/double"
    ),
    f"{RUN}events_in_predictions_out": (
        "append:readings,read:readings,read:features,read:doubles,look:health,read:models/double,score:double"
    ),
    f"{RUN}metrics_of_all_processes": "append:readings,look:health",
    f"{RUN}a_new_version_takes_over": "append:readings,read:doubles,register:double,alias:double",
}
"""The rights of each test that is run so, by its file and name. They are chosen, for the time that a start takes."""

OTHERS = (DEAD, SUBSCRIPTIONS, MODELS)  # what names begin with that are not of topics
LISTED = {"/dead": DEAD, "/dead/redrive": DEAD, "/dead/drop": DEAD, "/subscriptions": SUBSCRIPTIONS}
LISTED |= {"/models": MODELS, "/topics": "", "/groups": ""}
LISTED |= dict.fromkeys(("/domains", "/domains/{domain}/topics", "/domains/{domain}/events"), "")
"""What the doors for several things deal with: whoever has no right to one is told nothing, and is not refused."""

PATHS = [(route, compile_path(route.path)[0]) for route in ROUTES]


def test_of(item: pytest.Item) -> str:
    """Its name in the table: without what it is parametrized with."""
    return f"{item.path.relative_to(TESTS).as_posix()}::{item.name.partition('[')[0]}"


def needed(method: str, path: str, query: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The rights that a request needs, as the table of doors says it: verbs and names, ``*`` for each of a kind."""
    for route, pattern in PATHS:
        if route.method != method or not (found := pattern.match(path)) or is_open(route):
            continue
        if route.on == EACH:
            yield route.verb, LISTED[route.path] + "*"
        else:
            yield route.verb, route.on.format(**found.groupdict())
        if wait := query.get("wait") if route.verb == "append" else None:
            yield "read", wait
        return


def unneeded(allowed: Sequence[str], asked: Iterable[tuple[str, str]]) -> list[str]:
    """Those of the rights ``allowed`` that nothing which was ``asked`` for needs."""
    asked = set(asked)
    return [right for right in allowed if not any(_is_part(right, verb, name) for verb, name in asked)]


def _is_part(right: str, verb: str, name: str) -> bool:
    """Is what was asked for, or one of what was, that which the right gives?"""
    if not name.endswith("*"):
        return right == f"{verb}:{name}"
    given, _, what = right.partition(":")
    return given == verb and next((kind for kind in OTHERS if what.startswith(kind)), "") == name[:-1]


@dataclass(eq=False)  # a plugin has a hash
class LeastKeys:
    """A plugin of pytest. Its methods are for any thread."""

    test: str = ""
    asked: set[tuple[str, str]] = field(default_factory=set)  # by the test
    _runs: dict[str, Path] = field(default_factory=dict)  # by address
    _admins: dict[Path, str] = field(default_factory=dict)
    _keys: dict[tuple[Path, str], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admin(self, data: Path, log: str) -> None:
        """The first key, made where the log is. ``log``: a URL; empty: it is in ``data``."""
        if data not in self._admins:
            with opened(data, log) as keeper:
                made = issue(keeper.log, keeper.view, keeper.clock, "admin", "admin", days=None, by="test")
            self._admins[data] = made.key

    def opens(self, url: str, data: Path) -> None:
        """Requests to ``url`` show a key from now on."""
        self._runs[_origin(httpx.URL(url))] = data

    def show(self, request: httpx.Request) -> None:
        """The test's key, in a request to a run. In a header of its own: the other is for who trusts code."""
        if (data := self._runs.get(_origin(request.url))) is None or "x-api-key" in request.headers:
            return
        self.asked.update(needed(request.method, request.url.path, dict(request.url.params)))
        request.headers["x-api-key"] = self._key(str(request.url.copy_with(raw_path=b"/keys")), data)

    def _key(self, where: str, data: Path) -> str:
        with self._lock:
            if (known := self._keys.get((data, self.test))) is None:
                name = self.test.rpartition("::")[2][:NAME_CHARS]
                headers = {"x-api-key": self._admins[data]}
                wanted = {"name": name, "allow": LEAST[self.test]}
                answer = httpx.post(where, json=wanted, headers=headers, timeout=60)
                known = self._keys[data, self.test] = str(answer.raise_for_status().json()["key"])
            return known

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left = [item for item in items if test_of(item) not in LEAST]
        items[:] = [item for item in items if test_of(item) in LEAST]
        config.hook.pytest_deselected(items=left)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before its fixtures, which make requests for it."""
        self.test = test_of(item)
        self.asked.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        yield
        left = unneeded(Rights.parse(LEAST[self.test]).texts, self.asked)
        assert not left, f"the least key of {self.test} has rights that it needs for nothing: {', '.join(left)}"


keys: LeastKeys | None = None  # with ``--access``


def turned_on() -> LeastKeys:
    """Every request of ``httpx``, and so of the client, shows a key from now on."""
    global keys
    found = keys = LeastKeys()
    plain = httpx.Client.send

    def send(client: httpx.Client, request: httpx.Request, **given: Any) -> httpx.Response:
        found.show(request)
        return plain(client, request, **given)

    httpx.Client.send = send  # type: ignore[method-assign,assignment]
    return found


def options(data: Path, log: str = "") -> tuple[str, ...]:
    """Of a run on ``data``, or on the log at the URL ``log``."""
    if keys is None:
        return ()
    keys.admin(data, log)
    return (OPTION, "keys")


def opens(url: str, data: Path) -> None:
    """A run is ready."""
    if keys is not None:
        keys.opens(url, data)


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"
