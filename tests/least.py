"""With ``--access some`` or ``all``: runs want keys, and each test shows one of its own that opens what ``LEAST`` says,
and no more.

A test that needs more fails, for it is refused; one whose key opens more than it asks for fails too. So the table says
what a user needs for what the test does. With ``--access record`` each shows the first key, which opens everything, and
the summary tells what it asked for: the row of a new test.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import compile_path

from penstock.access.issuing import NAME_CHARS, issue
from penstock.access.rights import DEAD, KINDS, MODELS, SUBSCRIPTIONS, Rights, Verb
from penstock.gateway.app import is_open
from penstock.gateway.routes import EACH, ROUTES
from penstock.run.keys import opened
from tests.least_rights import LEAST, SOME

OPTION = "--access"  # of pytest, and of a run
SOME_OF_THEM, ALL, RECORD = MODES = ("some", "all", "record")
TESTS = Path(__file__).parent

OTHERS = (DEAD, SUBSCRIPTIONS, MODELS)  # what names begin with that are not of topics
LISTED = {"/dead": DEAD, "/dead/redrive": DEAD, "/dead/drop": DEAD, "/subscriptions": SUBSCRIPTIONS}
LISTED |= {"/models": MODELS, "/topics": "", "/groups": ""}
LISTED |= dict.fromkeys(("/domains", "/domains/{domain}/topics", "/domains/{domain}/events"), "")
"""What the doors for several things deal with: whoever has no right to one is told nothing, and is not refused."""

PATHS = [(route, compile_path(route.path)[0]) for route in ROUTES]


def test_of(item: pytest.Item) -> str:
    """Its name in the table: without what it is parametrized with, unless that has a row of its own."""
    name = f"{item.path.relative_to(TESTS).as_posix()}::{item.name}"
    return name if name in LEAST else name.partition("[")[0]


def needed(method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> Iterator[tuple[Verb, str]]:
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
        for verb, _ in route.also:
            yield verb, json.loads(body)["source"]
        return


def unneeded(allowed: Sequence[str], asked: Iterable[tuple[str, str]]) -> list[str]:
    """Those of the rights ``allowed`` that nothing which was ``asked`` for needs."""
    asked = set(asked)
    return [right for right in allowed if not any(_is_part(right, verb, name) for verb, name in asked)]


def row(test: str, asked: Iterable[tuple[Verb, str]]) -> str:
    """Of ``LEAST``, for who has asked for that; in the place of each ``*`` must stand what the test is about."""
    rights = sorted(f"{verb}:{name.removeprefix(KINDS.get(verb, ''))}" for verb, name in asked)
    return f'"{test}": "{",".join(rights)}",'


def _is_part(right: str, verb: str, name: str) -> bool:
    """Is what was asked for, or one of what was, that which the right gives?"""
    if right == f"{verb}:{name}":
        return True
    if not name.endswith("*"):
        return False
    given, _, what = right.partition(":")
    return given == verb and next((kind for kind in OTHERS if what.startswith(kind)), "") == name[:-1]


@dataclass(eq=False)  # a plugin has a hash
class LeastKeys:
    """A plugin of pytest. Its methods are for any thread."""

    mode: str
    test: str = ""
    asked: set[tuple[Verb, str]] = field(default_factory=set)  # by the test
    _runs: dict[str, Path] = field(default_factory=dict)  # by address
    _admins: dict[Path, str] = field(default_factory=dict)
    _keys: dict[tuple[Path, str], str] = field(default_factory=dict)
    _rows: set[str] = field(default_factory=set)  # recorded
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admin(self, data: Path, log: str) -> None:
        """The first key, made where the log is. ``log``: a URL; empty: it is in ``data``. Each has a name of its own:
        a log may be that of several directories, and two keys of a name are all there may be."""
        if data not in self._admins:
            name = f"admin-{len(self._admins)}"
            with opened(data, log) as keeper:
                made = issue(keeper.log, keeper.view, keeper.clock, name, "admin", days=None, by="test")
            self._admins[data] = made.key

    def opens(self, url: str, data: Path) -> None:
        """Requests to ``url`` show a key from now on."""
        self._runs[_origin(httpx.URL(url))] = data

    def show(self, request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> None:
        """The test's key, in a request to a run. In a header of its own: the other is for who trusts code.
        ``send`` takes the request for a new key where this one goes."""
        if (data := self._runs.get(_origin(request.url))) is None or "x-api-key" in request.headers:
            return
        body = request.content if request.method == "PUT" else b""
        self.asked.update(needed(request.method, request.url.path, dict(request.url.params), body))
        request.headers["x-api-key"] = self._key(request.url.copy_with(raw_path=b"/keys"), data, send)

    def _key(self, where: httpx.URL, data: Path, send: Callable[[httpx.Request], httpx.Response]) -> str:
        with self._lock:
            if self.mode == RECORD:
                return self._admins[data]
            if (known := self._keys.get((data, self.test))) is None:
                name = f"{len(self._keys)}-{self.test.rpartition('::')[2]}"
                wanted = {"name": name[:NAME_CHARS], "allow": LEAST[self.test]}
                headers = {"x-api-key": self._admins[data]}
                times = {"timeout": httpx.Timeout(60).as_dict()}
                answer = send(httpx.Request("POST", where, json=wanted, headers=headers, extensions=times))
                known = self._keys[data, self.test] = str(answer.raise_for_status().json()["key"])
            return known

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self.mode == RECORD:
            return
        rows = LEAST if self.mode == ALL else SOME
        left = [item for item in items if test_of(item) not in rows]
        items[:] = [item for item in items if test_of(item) in rows]
        config.hook.pytest_deselected(items=left)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before its fixtures, which make requests for it."""
        self.test = test_of(item)
        self.asked.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        if self.mode == RECORD:
            try:
                return (yield)
            finally:
                item.user_properties.append(("row", row(self.test, self.asked)))
        result = yield
        left = unneeded(Rights.parse(LEAST[self.test]).texts, self.asked)
        assert not left, f"the least key of {self.test} has rights that it needs for nothing: {', '.join(left)}"
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self._rows.update(str(value) for name, value in report.user_properties if name == "row")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in sorted(self._rows):
            terminalreporter.write_line(line)


keys: LeastKeys | None = None  # with ``--access``


def turned_on(mode: str) -> LeastKeys:
    """Every request of ``httpx``, and so of the client, shows a key from now on."""
    global keys
    found = keys = LeastKeys(mode)
    plain = httpx.Client.send

    def send(client: httpx.Client, request: httpx.Request, **given: Any) -> httpx.Response:
        found.show(request, partial(plain, client))
        return plain(client, request, **given)

    httpx.Client.send = send  # type: ignore[method-assign,assignment]
    return found


def options(data: Path, words: Sequence[str]) -> tuple[str, ...]:
    """More of them for a run on ``data``, whose command has those ``words``."""
    if keys is None:
        return ()
    keys.admin(data, words[words.index("--log") + 1] if "--log" in words else "")
    return (OPTION, "keys")


def opens(url: str, data: Path) -> None:
    """A run is ready."""
    if keys is not None:
        keys.opens(url, data)


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"
