"""The page's recipe, run as it stands: a third kind of stage, from its declaration to what it makes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.docs.pages import blocks

import penstock as ps
from penstock import testing
from penstock.declare.checking.drawing import FORMS
from penstock.declare.checking.graph import as_text, graph_of
from penstock.declare.planning.build import resolve
from penstock.declare.planning.kinds import PLANNERS
from penstock.errors import DeclarationError, PlanRefused
from penstock.plan.codec import plan_from_bytes, plan_to_bytes
from penstock.plan.edges import edges
from penstock.plan.graph import Hop, way
from penstock.plan.plan import KINDS, Edge
from penstock.run.compose.stages import BUILDERS

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-stage.md"
TABLES: tuple[dict[Any, Any], ...] = (KINDS, PLANNERS, BUILDERS)


@dataclass
class Reading:
    n: int


@dataclass
class Other:
    text: str


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The page's files, imported in its order; afterwards the tables are as they were."""
    files = [block for block in blocks(PAGE.read_text()) if block.name]
    for block in files:
        (tmp_path / block.name).write_text("\n".join(block.lines))
    monkeypatch.syspath_prepend(tmp_path)
    before = [dict(table) for table in TABLES]
    names = [Path(block.name).stem for block in files]
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        for table, rows in zip(TABLES, before, strict=True):
            table.clear()
            table.update(rows)
        for name in names:
            sys.modules.pop(name, None)


def app_with(recipe: SimpleNamespace, **options: Any) -> tuple[ps.App, Any, Any]:
    app = ps.App("sampling")
    source = app.topic("readings", Reading, partitions=1)
    target = app.topic("some", options["type"]) if "type" in options else app.topic("some")
    recipe.sample_part.sample(app, source, to=target, every=options.get("every", 3))
    return app, source, target


def test_it_runs(recipe: SimpleNamespace) -> None:
    app, source, target = app_with(recipe)
    with testing.run(app) as running:
        running.publish(source, *map(Reading, range(7)))
        running.settle()
        assert running.read(target) == [{"n": 0}, {"n": 3}, {"n": 6}]
        assert running.waiting() == {}


def test_its_plan_travels_and_is_drawn(recipe: SimpleNamespace) -> None:
    plan = resolve(app_with(recipe)[0]).plan
    assert plan_from_bytes(plan_to_bytes(plan)) == plan
    assert edges(plan) == [Edge("every-3", "read", "readings"), Edge("every-3", "append", "some")]
    assert way(plan, "readings", "some") == [Hop("every-3", "readings", "some")]
    for form in FORMS.values():
        assert "every-3" in form(graph_of(plan))
    assert "every-3" in as_text(plan)


def test_what_could_not_run_is_told(recipe: SimpleNamespace) -> None:
    with pytest.raises(DeclarationError, match="every=0 must be at least 1"):
        app_with(recipe, every=0)
    (finding,) = resolve(app_with(recipe, type=Other)[0]).findings
    assert "which has other columns" in finding.message and "the same type" in finding.mend


@pytest.mark.parametrize("table", range(len(TABLES)), ids=["KINDS", "PLANNERS", "BUILDERS"])
def test_a_row_that_is_missing_is_found(recipe: SimpleNamespace, table: int) -> None:
    TABLES[table].popitem()
    with pytest.raises((KeyError, ValueError, PlanRefused), match=r"[Ss]ample"):
        test_its_plan_travels_and_is_drawn(recipe)
        test_it_runs(recipe)
