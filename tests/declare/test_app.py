"""What one declaration alone can get wrong is refused at its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import penstock as ps
from penstock.errors import DeclarationError


@dataclass
class A:
    a: int


def test_declaring_returns_the_function_unchanged_and_calls_nothing() -> None:
    app = ps.App("x")
    calls: list[A] = []

    def seen(event: A) -> None:
        calls.append(event)

    topic = app.topic("a", A)
    assert app.on(topic)(seen) is seen
    assert not calls
    part = app.parts.functions[0]
    assert (part.name, part.source, part.timeout, part.retry.attempts) == ("seen", topic, 5.0, 3)


def test_the_place_is_the_users_line() -> None:
    app = ps.App("x")
    topic = app.topic("a", A)
    assert topic.place.startswith(f"{__file__}:")
    assert app.file == __file__


def nothing(event: A) -> None: ...


def provider() -> Iterator[A]:
    yield A(1)


WRONG: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("cannot be the name of a topic", lambda app, a: app.topic("a/b", A)),
    ("Penstock's own", lambda app, a: app.topic("penstock.dead", A)),
    ("cannot be the name of a topic", lambda app, a: app.topic(ps.env("NAME"), A)),
    ("partitions=0 must be at least 1", lambda app, a: app.topic("b", A, partitions=0)),
    ("partitions='4' must be an integer", lambda app, a: app.topic("b", A, partitions="4")),
    ("retain='week' is not a duration", lambda app, a: app.topic("b", A, retain="week")),
    ("extra='count' must be 'ignore' or 'reject'", lambda app, a: app.topic("b", A, extra="count")),
    ("extra='reject' needs a type", lambda app, a: app.topic("b", extra="reject")),
    ("encoding='avro' must be 'arrow' or 'json'", lambda app, a: app.topic("b", A, encoding="avro")),
    ("retain_bytes=-1", lambda app, a: app.topic("b", A, retain_bytes=-1)),
    ("key=3", lambda app, a: app.topic("b", A, key=3)),
    (r"write: a = app.topic\('a'\)", lambda app, a: app.on("a")),
    ("app.on takes a topic", lambda app, a: app.on(ps.SystemEvent)),
    ("to='b' is not a topic", lambda app, a: app.on(a, to="b")),
    ("has no to=", lambda app, a: app.on(ps.ModelRegistered, to=a)),
    ("where= is SQL", lambda app, a: app.on(a, where="a > 1")),
    ("start='now'", lambda app, a: app.on(a, start="now")),
    ("retry=3 is not a ps.Retry", lambda app, a: app.on(a, retry=3)),
    ("timeout='0s'", lambda app, a: app.on(a, timeout="0s")),
    ("concurrency=0", lambda app, a: app.on(a, concurrency=0)),
    ("give name=", lambda app, a: app.on(a)(lambda event: None)),
    ("decorates a function", lambda app, a: app.on(a)(A)),
    ("must yield", lambda app, a: app.resource(nothing)),
    ("outputs='y' must be a list", lambda app, a: app.model("m", outputs="y")),
    ("outputs=\\[\\]", lambda app, a: app.model("m", outputs=[])),
    ("names a column twice", lambda app, a: app.model("m", outputs=["y", "y"])),
    ("app.score takes a topic", lambda app, a: app.score("a", app.model("m", outputs=["y"]), to=a)),
    ("app.score takes a model", lambda app, a: app.score(a, "m", to=a)),
    ("needs to=", lambda app, a: app.score(a, app.model("m", outputs=["y"]), to=None)),
]


@pytest.mark.parametrize(("message", "declare"), WRONG, ids=[m for m, _ in WRONG])
def test_refused_with_its_place(message: str, declare: Callable[[Any, Any], Any]) -> None:
    app = ps.App("x")
    with pytest.raises(DeclarationError, match=rf"test_app\.py:\d+: .*{message}"):
        declare(app, app.topic("a", A))


def test_a_refused_declaration_leaves_nothing_behind() -> None:
    app = ps.App("x")
    with pytest.raises(DeclarationError):
        app.topic("a", A, partitions=0)
    assert not app.parts.topics
    app.resource(provider)
    assert len(app.parts.resources) == 1
