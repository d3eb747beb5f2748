"""The keys of ``make test-access``: what is needed is found in the table of doors, and no more is given."""

from __future__ import annotations

import re

import pytest

from penstock.access.rights import Rights
from penstock.gateway.routes import EACH, ROUTES
from tests.least import LEAST, LISTED, TESTS, needed, unneeded


@pytest.mark.parametrize("test", LEAST)
def test_it_is_a_test_with_rights_that_are_written_in_full(test: str) -> None:
    file, _, name = test.partition("::")
    assert re.search(rf"^def {name}\(", (TESTS / file).read_text(), re.MULTILINE), "there is no such test"
    assert all(not right.endswith("*") for right in Rights.parse(LEAST[test]).texts), "it opens more than it names"


def test_each_door_for_several_things_says_what_they_are() -> None:
    assert set(LISTED) == {route.path for route in ROUTES if route.on == EACH}


@pytest.mark.parametrize(
    ("method", "path", "query", "found"),
    [
        ("POST", "/topics/orders/events", {"wait": "made"}, {("append", "orders"), ("read", "made")}),
        ("GET", "/topics/orders/events", {"wait": "1s"}, {("read", "orders")}),
        ("GET", "/dead", {}, {("read", "dead/*")}),
        ("POST", "/v2/models/delay/infer", {}, {("score", "models/delay")}),
        ("GET", "/healthz", {}, set()),
        ("GET", "/nowhere", {}, set()),
    ],
)
def test_what_a_request_needs(method: str, path: str, query: dict[str, str], found: set[tuple[str, str]]) -> None:
    assert set(needed(method, path, query)) == found


def test_what_a_key_has_beyond_what_was_asked_for() -> None:
    allowed = Rights.parse("append:orders,read:tx/orders,read:dead/orders,read:models/delay,redrive:orders").texts
    assert unneeded(allowed, []) == list(allowed)
    assert unneeded(allowed, [("append", "orders"), ("read", "tx/orders")]) == list(allowed[2:])
    assert unneeded(allowed, [("read", "*")]) == [allowed[0], *allowed[2:]]
    assert unneeded(allowed, [("read", "dead/*"), ("redrive", "dead/*")]) == [*allowed[:2], allowed[3]]
    assert unneeded(allowed, [("append", "others"), ("read", "copies")]) == list(allowed)
