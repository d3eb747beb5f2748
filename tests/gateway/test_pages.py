"""Pages of other origins: what a browser sends for them is refused at every door that changes something."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from penstock.errors import Forbidden, UnsupportedMediaType
from penstock.gateway import pages
from penstock.gateway.routes import ROUTES

HOST = (b"host", b"127.0.0.1:8000")
JSON = (b"content-type", b"application/json")
KIND = {"content-type": "application/json"}
EVENT = b'{"flight": 1, "tail": "a"}'
CHANGING = [route for route in ROUTES if route.method not in pages.SAFE]
FOREIGN: list[dict[str, str]] = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:9000"},
    {"origin": "http://localhost"},
    {"origin": "http://127.0.0.1.evil.example"},
    {"origin": ""},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "same-origin", "origin": "http://localhost:8000"},
    {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1"},
    {"sec-fetch-site": "something new"},
]


@pytest.mark.parametrize("marks", FOREIGN)
def test_no_door_that_changes_something_opens_for_a_foreign_page(house: Any, marks: dict[str, str]) -> None:
    async def go() -> None:
        async with house() as h:
            for route in CHANGING:
                path = re.sub(r"{\w+}", "flights", route.path)
                said = await h.http.request(route.method, path, content=EVENT, headers=KIND | marks)
                assert said.status_code == 403, f"{route.method} {route.path} opens for a foreign page"
                if not route.path.startswith("/v2/"):  # whose errors are texts
                    error = said.json()["error"]
                    assert error.get("details", [error])[0]["code"] == "forbidden"  # Event Grid's form has details
            assert h.count() == 0

    asyncio.run(go())


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "Text/Plain;charset=utf-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_no_door_that_changes_something_takes_what_is_sent_unasked(house: Any, kind: str) -> None:
    async def go() -> None:
        async with house() as h:
            for route in CHANGING:
                if route.verb == "consent":
                    continue  # its address is the secret, and whoever was sent it may call it as he likes
                path = re.sub(r"{\w+}", "flights", route.path)
                said = await h.http.request(route.method, path, content=b"{}", headers={"content-type": kind})
                assert said.status_code == 415 and "unasked" in said.text, f"{route.method} {route.path} takes {kind}"
            assert h.count() == 0

    asyncio.run(go())


def test_our_own_pages_and_programs_may() -> None:
    for marks in (
        [],
        [(b"origin", b"http://127.0.0.1:8000"), (b"sec-fetch-site", b"same-origin")],
        [(b"origin", b"HTTP://127.0.0.1:8000")],
        [(b"origin", b"https://127.0.0.1:8000")],
        [(b"sec-fetch-site", b"none")],
    ):
        pages.check("POST", [HOST, JSON, (b"content-length", b"2"), *marks])
    pages.check("POST", [HOST, (b"content-length", b"2")])  # a program that names no type
    pages.check("DELETE", [HOST, (b"origin", b"http://127.0.0.1:8000")])  # nothing to name the type of


@pytest.mark.parametrize(
    "headers",
    [
        [(b"origin", b"http://127.0.0.1:8000"), (b"content-length", b"2")],
        [(b"sec-fetch-site", b"none"), (b"transfer-encoding", b"chunked")],
    ],
)
def test_a_browser_names_the_type_of_a_body(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(UnsupportedMediaType, match="names its content type"):
        pages.check("POST", [HOST, *headers])


@pytest.mark.parametrize("name", [b"origin", b"sec-fetch-site", b"content-type"])
def test_what_is_said_twice_counts_where_it_is_worse(name: bytes) -> None:
    good = {
        b"origin": b"http://127.0.0.1:8000",
        b"sec-fetch-site": b"same-origin",
        b"content-type": b"application/json",
    }
    bad = {b"origin": b"http://evil.example", b"sec-fetch-site": b"cross-site", b"content-type": b"text/plain"}
    for pair in ([(name, good[name]), (name, bad[name])], [(name, bad[name]), (name, good[name])]):
        with pytest.raises((Forbidden, UnsupportedMediaType)):
            pages.check("POST", [HOST, *pair])


def test_foreign_pages_may_link_and_nothing_else() -> None:
    def asked(mode: bytes, dest: bytes, site: bytes = b"cross-site") -> None:
        pages.check("GET", [HOST, (b"sec-fetch-site", site), (b"sec-fetch-mode", mode), (b"sec-fetch-dest", dest)])

    asked(b"navigate", b"document")
    asked(b"no-cors", b"image", b"same-origin")
    pages.check("GET", [HOST, (b"origin", b"http://evil.example")])  # it has no leave to read the answer
    for mode, dest in ((b"no-cors", b"image"), (b"no-cors", b"script"), (b"navigate", b"iframe"), (b"cors", b"empty")):
        with pytest.raises(Forbidden, match="another site"):
            asked(mode, dest)
