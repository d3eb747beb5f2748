"""The recipes of docs/your-model-here.md, as they are written: each file is registered, and scores what it should."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from penstock import testing
from penstock.declare.load import load
from penstock.models.runtimes import recipes

PAGE = (Path(__file__).parents[2] / "docs" / "your-model-here.md").read_text()
DECLARES = re.compile(r"^model = .*$", re.MULTILINE)
ROWS = 40


def sections() -> dict[str, list[str]]:
    """The Python blocks under each heading."""
    parts = re.split(r"^## (.*)$", PAGE, flags=re.MULTILINE)[1:]
    named = zip(parts[::2], parts[1::2], strict=True)
    found = {title: re.findall(r"```python\n(.*?)```", body, re.DOTALL) for title, body in named}
    return {title: blocks for title, blocks in found.items() if blocks}


DATA, APP = sections().pop("The data and the app")
RECIPES = {title: blocks for title, blocks in sections().items() if title != "The data and the app"}
BEFORE = {"Pickle and joblib": ["scikit-learn"], "scikit-learn by ONNX": ["scikit-learn"]}
"""Recipes that go on from the imports of another."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) == str(tmp_path / "app.py"):
            del sys.modules[name]


def predictions(folder: Path, declares: str, flights: Any) -> list[float]:
    """What the app of the page scores, with the model that this line declares."""
    (folder / "app.py").write_text(DECLARES.sub(lambda _: declares.strip(), APP, count=1))
    app = load(str(folder / "app.py")).app
    module: Any = next(m for m in list(sys.modules.values()) if getattr(m, "app", None) is app)
    with testing.run(app) as t:
        for n, row in enumerate(flights.head(ROWS).to_dict("records")):
            t.publish(module.flights, module.Flight(id=str(n), **row))
        t.settle()
        assert t.waiting() == {}
        assert t.dead(module.flights) == []
        answers = {delay.id: delay.arr_delay for delay in t.read(module.delays)}
    return [answers[str(n)] for n in range(ROWS)]


def executed(*blocks: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries about each other
        for block in blocks:
            exec(block, names)
    return names


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_scores_what_the_library_says(folder: Path, title: str) -> None:
    train, declares = RECIPES[title]
    names = executed(DATA, *(RECIPES[other][0] for other in BEFORE.get(title, [])), train)
    declares = declares.replace("{digest}", str(names.get("digest"))).replace('trust=f"', 'trust="')
    assert predictions(folder, declares, names["flights"]) == pytest.approx(
        np.asarray(names["expected"])[:ROWS].tolist(), rel=1e-4, abs=1e-3
    )


def test_a_wrong_number_would_be_seen(folder: Path) -> None:
    names = executed(DATA, RECIPES["ONNX"][0])
    swapped = RECIPES["ONNX"][1].replace('["distance", "dep_delay"]', '["dep_delay", "distance"]')
    wanted = np.asarray(names["expected"])[:ROWS].tolist()
    assert predictions(folder, swapped, names["flights"]) != pytest.approx(wanted, rel=1e-4, abs=1e-3)


def test_a_file_as_torch_exports_it(folder: Path) -> None:
    """A network of two layers, with the names, shapes and properties that its exporter writes."""
    names = executed(DATA)
    first, second = np.random.default_rng(0).normal(size=(8, 2)) / 100, np.random.default_rng(1).normal(size=(1, 8))
    held = {"fc1.weight": first, "fc1.bias": np.zeros(8), "fc2.weight": second, "fc2.bias": np.ones(1)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "fc1.weight", "fc1.bias"], ["linear"], "node_linear", transB=1),
            helper.make_node("Relu", ["linear"], ["relu"], "node_relu"),
            helper.make_node("Gemm", ["relu", "fc2.weight", "fc2.bias"], ["arr_delay"], "node_linear_1", transB=1),
        ],
        "main_graph",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("arr_delay", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in held.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10, producer_name="pytorch"
    )
    helper.set_model_props(model, {"pkg.torch.export.ExportedProgram.graph_signature": "..."})
    onnx.save(model, folder / "delay.onnx")
    wanted = np.maximum(names["numbers"].to_numpy() @ first.T, 0) @ second.T + 1
    assert predictions(folder, RECIPES["ONNX"][1], names["flights"]) == pytest.approx(
        wanted[:ROWS, 0].tolist(), rel=1e-4, abs=1e-3
    )


def test_every_section_that_a_message_points_to_is_on_the_page() -> None:
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    pointed = {recipe.section for _, recipe in [*recipes.BY_HEAD, *recipes.BY_MEMBERS]}
    linked = set(re.findall(r"\]\(#([\w-]+)\)", PAGE))
    assert {*pointed, *linked, recipes.REFUSED, recipes.PICKLE} <= anchors
