"""The keys of ``make test-access``: what is needed is found in the table of doors, and no more is given."""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import httpx
import pytest

from penstock.access.rights import Rights, Verb
from penstock.errors import Forbidden
from penstock.gateway.routes import EACH, ROUTES
from tests import least
from tests.least import ALL, LISTED, TESTS, LeastKeys, needed, row, unneeded
from tests.least_rights import LEAST, SOME, WITHOUT
from tests.run.server import Server, write_app

WHOLE_RUNS = ("e2e", "run/test_run.py")  # where each test says what it needs
IN_DOMAIN = re.compile(r"(append|read):(?!dead/|models/|subscriptions/)\w+/\*")


@cache
def written_in(place: str) -> list[str]:
    """By file and name."""
    files = sorted((TESTS / place).glob("test_*.py")) or [TESTS / place]
    return [
        f"{file.relative_to(TESTS).as_posix()}::{each.name}"
        for file in files
        for each in ast.walk(ast.parse(file.read_text()))
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    ]


def faults(tests: Iterable[str], needing: Iterable[str], without: Iterable[str]) -> list[str]:
    """Of the tables: each test is in one of them, and what is in them is a test."""
    tests, rows = list(tests), {name.partition("[")[0] for name in needing}
    found = {pattern: fnmatch.filter(tests, pattern) for pattern in without}
    passed_over = {name for names in found.values() for name in names}
    return [
        *(f"{name}: write what it needs, or why it is not run so" for name in tests if name not in rows | passed_over),
        *(f"{name}: it is in both tables" for name in rows & passed_over),
        *(f"{pattern}: there is no such test" for pattern, names in found.items() if not names),
    ]


def test_each_test_of_whole_runs_says_what_it_needs_or_why_not() -> None:
    assert faults((name for place in WHOLE_RUNS for name in written_in(place)), LEAST, WITHOUT) == []


def test_mutant_a_test_that_says_nothing_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"e2e/a.py::test_b: write what it needs"):
        assert faults(["e2e/a.py::test_a", "e2e/a.py::test_b"], ["e2e/a.py::test_a[1]"], []) == []


def test_what_else_is_wrong_with_the_tables() -> None:
    assert faults(["a"], ["a"], ["a*"]) == ["a: it is in both tables"]
    assert faults(["a"], [], ["a", "b*"]) == ["b*: there is no such test"]


@pytest.mark.parametrize("test", LEAST)
def test_it_is_a_test_with_rights_that_are_written_in_full(test: str) -> None:
    assert test.partition("[")[0] in written_in(test.partition("::")[0]), "there is no such test"
    for right in Rights.parse(LEAST[test]).texts:
        assert not right.endswith("*") or IN_DOMAIN.fullmatch(right), "it opens more than it names"


def test_some_take_each_verb_and_each_kind_of_name() -> None:
    assert LEAST.keys() >= SOME
    assert kinds(SOME) == kinds(LEAST)


def kinds(tests: Iterable[str]) -> set[tuple[str, str]]:
    """Verbs, and the folders of the names; those of domains are one."""
    rights = [right.partition(":") for test in tests for right in Rights.parse(LEAST[test]).texts]
    folders = {"dead", "models", "subscriptions", ""}
    return {(verb, kind if (kind := name.rpartition("/")[0]) in folders else "domain") for verb, _, name in rights}


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


def test_what_a_subscription_needs_of_its_source() -> None:
    found = set(needed("PUT", "/subscriptions/acme", {}, b'{"source": "orders"}'))
    assert found == {("subscribe", "subscriptions/acme"), ("read", "orders")}


def test_the_row_of_who_has_asked_for_that() -> None:
    asked: list[tuple[Verb, str]] = [("score", "models/delay"), ("read", "dead/*"), ("append", "orders")]
    assert row("a.py::test", asked) == '"a.py::test": "append:orders,read:dead/*,score:delay",'


def test_what_a_key_has_beyond_what_was_asked_for() -> None:
    allowed = Rights.parse("append:orders,read:tx/orders,read:dead/orders,read:models/delay,redrive:orders").texts
    assert unneeded(allowed, []) == list(allowed)
    assert unneeded(allowed, [("append", "orders"), ("read", "tx/orders")]) == list(allowed[2:])
    assert unneeded(allowed, [("read", "*")]) == [allowed[0], *allowed[2:]]
    assert unneeded(allowed, [("read", "dead/*"), ("redrive", "dead/*")]) == [*allowed[:2], allowed[3]]
    assert unneeded(["read:tx/*"], [("read", "tx/*")]) == []
    assert unneeded(["read:tx/*"], [("read", "tx/orders")]) == ["read:tx/*"]
    assert unneeded(allowed, [("append", "others"), ("read", "copies")]) == list(allowed)


TEST = "a.py::test"


def given(monkeypatch: pytest.MonkeyPatch, rights: str) -> LeastKeys:
    """A test of these rights begins, as with ``--access all``."""
    monkeypatch.setattr(least, "LEAST", {TEST: rights})
    monkeypatch.setattr(least, "keys", None)
    monkeypatch.setattr(httpx.Client, "send", httpx.Client.send)  # as it is, when this ends
    keys = least.turned_on(ALL)
    keys.test = TEST
    return keys


def test_mutant_a_key_that_opens_too_little_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "read:readings")
    with Server(write_app(tmp_path), tmp_path / "data") as server, server.ready().client() as client:
        assert client.read("readings").is_empty()
        with pytest.raises(Forbidden, match="0-test may not append 'readings'"):
            client.publish("readings", {"n": 1, "x": 0.5})


def test_mutant_a_key_that_opens_too_much_is_caught(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = given(monkeypatch, "append:orders,read:copies")
    keys.asked.add(("append", "orders"))
    called = keys.pytest_runtest_call(request.node)
    next(called)
    with pytest.raises(AssertionError, match="rights that it needs for nothing: read:copies"):
        called.send(None)
