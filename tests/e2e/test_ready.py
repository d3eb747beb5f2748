"""``ready`` means ready: what is asked at that moment is answered, and what cannot work is said in the same breath."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.e2e import rig
from tests.run.server import Server, wait_for

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart" / "app.py"
PAYMENT = {"id": "p1", "card": "c7", "amount": 120, "country": "US"}


def first_score(folder: Path, **options: object) -> dict[str, object]:
    """What the README's first request is answered, sent at ``ready``."""
    with rig.running(QUICKSTART, folder, whole=False, **options) as running:  # type: ignore[arg-type]
        answer = httpx.post(f"{running.url}/topics/payments/events?wait=scores", json=PAYMENT, timeout=30)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def assert_scored(said: dict[str, object]) -> None:
    assert said["complete"] and [row["data"] for row in said["results"]] == [{"id": "p1", "risk": 0.36}], (  # type: ignore[attr-defined]
        f"ready, and not scored: {said}"
    )


@pytest.mark.parametrize("nth", range(4))
def test_the_first_request_at_ready_is_answered_with_its_score(tmp_path: Path, nth: int) -> None:
    assert_scored(first_score(tmp_path / "data"))


@pytest.mark.soak
@pytest.mark.parametrize("nth", range(20))
def test_twenty_times_of_twenty(tmp_path: Path, nth: int) -> None:
    assert_scored(first_score(tmp_path / "data"))


def test_mutant_a_stage_that_says_ready_at_once_is_caught(tmp_path: Path) -> None:
    code = """
import time
from penstock.run.compose.warming import Preparation
from penstock.runner.child import ChildRunner
plain = ChildRunner.predict
def slow(self, *given, **named):
    time.sleep(2)
    return plain(self, *given, **named)
ChildRunner.predict = slow
Preparation.run = lambda self, stop, waiting: setattr(self, "missing", None)
"""
    env = rig.planted(tmp_path / "planted", code, "penstock.run.worker")
    with pytest.raises(AssertionError, match="ready, and not scored"):
        assert_scored(first_score(tmp_path / "data", env=env))


NO_VERSION = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("waiting")

@dataclass
class Row:
    x: float

@dataclass
class Answer:
    y: float

rows, answers = app.topic("rows", Row), app.topic("answers", Answer)
app.score(rows, app.model("m", outputs=["y"], inputs=["x"]), to=answers)
"""


def reasons(url: str) -> dict[str, str]:
    answer = httpx.get(f"{url}/readyz", timeout=10)
    said = answer.json()
    assert answer.status_code == (200 if said["ready"] else 503)
    return {each["stage"]: each["reason"] for each in said["reasons"]}


def test_a_model_without_a_version_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(NO_VERSION)
    with Server(tmp_path / "app.py", tmp_path / "data") as server:
        server.ready()
        line = "it waits for the first version of model 'm'; penstock models register m FILE"
        assert wait_for(lambda: server.said[1:]) == [f"not ready: answers: {line}"]
        assert reasons(server.url) == {"answers": line}, "before any event"
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        server.stop()


RESOURCE = """
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import penstock as ps

app = ps.App("resource")

@dataclass
class Row:
    x: float

class Table:
    pass

rows = app.topic("rows", Row)

@app.resource
def table() -> Iterator[Table]:
    if not (Path(__file__).parent / "there").exists():
        raise RuntimeError("the table is not there")
    yield Table()

@app.on(rows)
def store(row: Row, table: Table) -> None:
    pass
"""


def test_a_resource_that_raises_at_start_is_told_by_line_and_tried_again(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(RESOURCE)
    place = f"{app}:{1 + next(n for n, line in enumerate(RESOURCE.splitlines()) if 'raise RuntimeError' in line)}"
    with Server(app, tmp_path / "data") as server:
        server.ready()
        (told,) = wait_for(lambda: server.said[1:])
        assert told.startswith(f"not ready: store: RuntimeError: the table is not there ({place}); ")
        assert place in reasons(server.url)["store"]
        assert place in server.errors and "RuntimeError: the table is not there" in server.errors
        (tmp_path / "there").touch()
        wait_for(lambda: not reasons(server.url))
        server.stop()


def test_a_variable_that_is_not_set_keeps_its_stage_from_being_ready(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(RESOURCE.replace("def table()", 'def table(key: str = ps.secret("READY_KEY"))'))
    (tmp_path / "there").touch()
    with Server(app, tmp_path / "data") as server:
        server.ready()
        (told,) = wait_for(lambda: server.said[1:])
        assert "not ready: store: DeclarationError: ps.secret('READY_KEY') has no value: set the" in told
        assert f"({app}:" in told
        server.stop()


def test_ready_is_not_late_for_ever(tmp_path: Path) -> None:
    """A start that nothing is missing from says so only once: no second line follows ``ready``."""
    with Server(QUICKSTART, tmp_path / "data") as server:
        server.ready()
        time.sleep(0.2)
        assert server.said == [f"ready {server.url}"]
        server.stop()
