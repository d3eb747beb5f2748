from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.declare.load import load
from penstock.declare.planning.build import folder_of, resolve
from penstock.plan import places
from penstock.plan.codec import plan_to_bytes
from penstock.plan.places import Site, located, portable
from penstock.plan.plan import FunctionSpec, ModelSpec, Plan, ResourceSpec
from penstock.plan.references import ReferenceSpec

APP = """
from collections.abc import Iterator
from dataclasses import dataclass
import penstock as ps
app = ps.App("tried")
@dataclass
class A:
    a: int
first = app.topic("first", A)
@app.resource
def risks(key: str = ps.secret("KEY")) -> Iterator[A]:
    yield A(1)
@app.on(first)
def f(x: A, risks: A) -> None: ...
model = app.model("m", "m.onnx", outputs=["y"])
app.subscribe(first, "https://example.com/")
"""


@pytest.fixture
def made(tmp_path: Path) -> Callable[[], tuple[Plan, Path]]:
    (tmp_path / "travelling.py").write_text(APP)
    (tmp_path / "m.onnx").write_bytes(b"")

    def make() -> tuple[Plan, Path]:
        found = load(str(tmp_path / "travelling.py"))
        sys.modules.pop(Path(found.app.file).stem, None)  # the next test has another file of that name
        return resolve(found.app, target=found.target, code=found.code).plan, folder_of(found.app)

    return make


def names_the_machine(plan: Plan, folder: Path) -> bool:
    return str(folder).encode() in plan_to_bytes(plan)


def test_a_plan_does_not_say_where_it_was_made(made: Callable[[], tuple[Plan, Path]]) -> None:
    plan, folder = made()
    assert plan.target == "travelling.py:app" and plan.stages[0].place == "travelling.py:13"
    assert plan.resources == (ResourceSpec("A", (), (ReferenceSpec("secret", "KEY"),), "travelling.py:10"),)
    lines = APP.splitlines()
    for place, text in ((plan.place, "ps.App("), (plan.topics[0].place, "app.topic(")):
        file, _, line = place.partition(":")
        assert file == "travelling.py" and text in lines[int(line) - 1]
    assert plan.models[0].artifact == "m.onnx" and plan.subscriptions[0].place == "travelling.py:16"
    assert not names_the_machine(plan, folder)


def test_a_path_in_a_plan_is_found(made: Callable[[], tuple[Plan, Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.declare.planning.build.portable", lambda path, folder: path)
    plan, folder = made()
    with pytest.raises(AssertionError, match="names_the_machine"):
        assert not names_the_machine(plan, folder)


def test_where_it_starts_its_files_have_places_again(made: Callable[[], tuple[Plan, Path]]) -> None:
    plan, folder = made()
    here = located(plan, folder)
    assert here.target == f"{folder}/travelling.py:app" and here.stages[0].place == f"{folder}/travelling.py:13"
    assert here.models[0].artifact == f"{folder}/m.onnx" and here.resources[0].place == f"{folder}/travelling.py:10"
    assert here.subscriptions[0].place == f"{folder}/travelling.py:16"
    assert here.place == f"{folder}/{plan.place}" and here.topics[0].place == f"{folder}/{plan.topics[0].place}"
    assert located(here, folder) == here
    assert load(here.target).app.name == "tried"


def test_elsewhere_places_stay_as_they_are(tmp_path: Path) -> None:
    plan = Plan("x", "package.app:app", "", (), (FunctionSpec("f", "t", None, "event", place="lib/other.py:3"),))
    assert located(plan, tmp_path) == plan


def test_what_is_outside_of_the_folder_is_named_as_it_is_imported(tmp_path: Path) -> None:
    assert portable(f"{tmp_path}/in/it.py:3", tmp_path) == "in/it.py:3"
    assert portable(f"{Path(places.__file__)}:3", tmp_path) == "penstock/plan/places.py:3"
    assert portable("/nowhere/that/is/imported.py:3", tmp_path) == "imported.py:3"


def test_a_site_knows_where_a_models_file_is(tmp_path: Path) -> None:
    site = Site(tmp_path, {"FILE": "sub/m.onnx"})
    assert site.file(ModelSpec("m", ("y",), artifact="m.onnx")) == tmp_path / "m.onnx"
    assert site.file(ModelSpec("m", ("y",), artifact=ReferenceSpec("env", "FILE"))) == tmp_path / "sub/m.onnx"
    assert site.file(ModelSpec("m", ("y",), artifact=ReferenceSpec("env", "NONE"))) is None
    assert site.file(ModelSpec("m", ("y",))) is None
