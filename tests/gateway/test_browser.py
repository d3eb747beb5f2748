"""A page of another origin in a real browser tries every door of the table, in every way that a page has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.test_server import Running, running

from penstock.errors import PenstockError
from penstock.gateway import pages, principal
from penstock.gateway.catching.catcher import Catcher
from penstock.gateway.principal import Principal
from penstock.gateway.routes import CATCHER_ROUTES, ROUTES, Route
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.settings import Settings

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()
PATIENCE = 90.0  # seconds for the page to have tried everything
NAMES = {"topic": "flights", "model": "delay", "alias": "champion", "version": "1"}
DOORS = (*ROUTES, *CATCHER_ROUTES)
CAUGHT = Plan("shop", "", "", (), subscriptions=(SubscriptionSpec("subscription", "s", "https://h.example"),))
BODIES = {
    "/topics/{topic}/events": '{"flight": 1, "tail": "a"}',
    "/models/{model}/versions": "import os",
    "/caught/{subscription}/answer": '{"answer": "500"}',
}
QUERIES = {"/models/{model}/versions": "?trust=sha256:0"}

PAGE = """<!doctype html><body><script>
const doors = DOORS, base = BASE;
const kinds = ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json"];
const tried = [];
const form = (values) => { const data = new FormData(); data.append("x", values); return data; };
const bodies = (text) => [text, new Blob([text]), new Blob([text], {type: "text/plain"}),
                          new TextEncoder().encode(text), new URLSearchParams({x: text}), form(text)];
function loaded(element, place) {
  tried.push(new Promise((done) => { element.onload = element.onerror = done; }));
  if (place) element.src = place;
  document.body.append(element);
}
function frame(name) {
  const made = document.createElement("iframe");
  made.name = name;
  document.body.append(made);
  return made;
}
let count = 0;
function submit(method, place, kind, name, value) {
  const inside = frame(`frame-${++count}`);
  const sent = document.createElement("form"), field = document.createElement("input");
  Object.assign(sent, {method, action: place, enctype: kind, target: inside.name});
  Object.assign(field, {name, value});
  sent.append(field);
  document.body.append(sent);
  tried.push(new Promise((done) => { inside.onload = done; }));
  sent.submit();
}
for (const {method, path, body} of doors) {
  const place = base + path, ask = (more) => tried.push(fetch(place, {credentials: "include", ...more}).catch(() => 0));
  for (const mode of ["no-cors", "cors"]) {
    if (method == "GET") { ask({mode}); continue; }
    for (const way of [method, "POST"]) {
      for (const each of bodies(body)) ask({method: way, mode, body: each});
      for (const kind of kinds) ask({method: way, mode, body, headers: kind ? {"content-type": kind} : {}});
      ask({method: way, mode});
    }
  }
  if (method == "GET") {
    for (const tag of ["img", "script", "iframe", "embed"]) loaded(document.createElement(tag), place);
    continue;
  }
  for (const each of bodies(body)) navigator.sendBeacon(place, each);
  const cut = body.lastIndexOf('"');
  for (const kind of kinds.slice(1, 4)) submit("post", place, kind, body.slice(0, cut), body.slice(cut) || "x");
  submit("get", place, kinds[1], "x", body);
  try { new WebSocket(place.replace("http", "ws")); } catch (error) { }
}
const patience = new Promise((done) => setTimeout(done, 20000));
Promise.race([Promise.all(tried), patience]).then(() => fetch("/done"));
</script>"""


def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"none of {', '.join(BROWSERS)} is installed")
    return found


def door(route: Route) -> dict[str, str]:
    path = re.sub(r"{(\w+)}", lambda found: NAMES.get(found[1], found[1]), route.path) + QUERIES.get(route.path, "")
    return {"method": route.method, "path": path, "body": BODIES.get(route.path, '{"version": 1, "expected": 1}')}


@contextmanager
def foreign(page: str) -> Iterator[tuple[int, threading.Event]]:
    """Another server on this machine, with one page; the event says that the page is done."""
    done = threading.Event()

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/done":
                done.set()
            body = page.encode() if self.path == "/" else b""
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, done
        finally:
            server.shutdown()
            thread.join()


def visit(address: str, done: threading.Event, profile: Path) -> None:
    """Open the page and leave it there until it has tried everything."""
    command = [browser(), *OPTIONS, f"--user-data-dir={profile}", address]
    with (profile.parent / "browser.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        assert done.wait(PATIENCE), f"the page did not come to its end: {(profile.parent / 'browser.log').read_text()}"
    finally:
        os.killpg(process.pid, 9)
        process.wait(10)


@pytest.fixture
def admitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bool]]:
    """Method, path, and whether the request came past the guard of all doors."""
    found: list[tuple[str, str, bool]] = []
    admit = principal.admit_local

    def look(scope: Any) -> Principal:
        try:
            who = admit(scope)
        except PenstockError:
            found.append((scope["method"], scope["path"], False))
            raise
        found.append((scope["method"], scope["path"], True))
        return who

    monkeypatch.setattr(principal, "admit_local", look)
    return found


def attack(server: Running, page_host: str, our_host: str, folder: Path) -> None:
    doors = json.dumps([door(route) for route in DOORS])
    page = PAGE.replace("DOORS", doors).replace("BASE", json.dumps(f"http://{our_host}:{server.port}"))
    with foreign(page) as (port, done):
        visit(f"http://{page_host}:{port}/", done, folder / "profile")


@pytest.mark.parametrize(
    ("page_host", "our_host"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("127.0.0.1", "localhost")]
)
def test_a_foreign_page_changes_nothing(
    tmp_path: Path, admitted: list[tuple[str, str, bool]], page_host: str, our_host: str
) -> None:
    asked: list[str] = []

    async def ask(model: str, rows: Any) -> Any:
        asked.append(model)

    catcher = Catcher(CAUGHT, {})
    with running(tmp_path, Settings(), ask=ask, catcher=catcher) as server:
        attack(server, page_host, our_host, tmp_path)
        house: Any = server.house
        assert house.count() == 0, "a foreign page changed something"
        assert (catcher.count, catcher.answer_of("subscription")) == (0, "200"), "a foreign page changed what is caught"
        assert asked == [] and list(house.services.artifacts.digests()) == []
    for route in DOORS:
        path = door(route)["path"].partition("?")[0]
        ways = {(method, passed) for method, tried, passed in admitted if tried == path}
        assert ways, f"no page tried {route.method} {route.path}: this test says nothing of it"
        changing = {method for method, passed in ways if passed} - {"OPTIONS", "GET"}
        assert not changing, f"{changing} {route.path} opens for a foreign page"


def test_a_door_without_the_guard_is_found(
    tmp_path: Path, admitted: list[tuple[str, str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    check = pages.check

    def one_forgotten(method: str, headers: pages.Headers) -> None:
        if (method, admitting["path"]) != ("POST", "/topics/flights/events"):
            check(method, headers)

    admitting: dict[str, str] = {}
    admit = principal.admit_local

    def noted(scope: Any) -> Principal:
        admitting["path"] = scope["path"]
        return admit(scope)

    monkeypatch.setattr(principal, "admit_local", noted)
    monkeypatch.setattr(pages, "check", one_forgotten)
    with pytest.raises(AssertionError, match=r"POST.* opens for a foreign page"):
        test_a_foreign_page_changes_nothing(tmp_path, admitted, "127.0.0.1", "127.0.0.1")
