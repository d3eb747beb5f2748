from __future__ import annotations

from penstock.batch import SYSTEM, TopicSpec
from penstock.plan.edges import START, doers, edges, references
from penstock.plan.plan import ANY, Edge, FunctionSpec, HandleSpec, ModelSpec, Plan, ResourceSpec, ScoreSpec
from penstock.plan.references import ReferenceSpec

KEY, URL, PASSWORD = ReferenceSpec("secret", "KEY"), ReferenceSpec("env", "URL"), ReferenceSpec("secret", "PASSWORD")
PLAN = Plan(
    "fraud",
    "app.py:app",
    "",
    (TopicSpec("payments"), TopicSpec("inputs"), TopicSpec("scores")),
    (
        FunctionSpec(
            "prepare", "payments", "inputs", "frame", resources=("Risks",), references=(KEY, URL), place="app.py:1"
        ),
        FunctionSpec("evaluate", SYSTEM, None, "event", handles=(HandleSpec("Models", ("load", "alias")),)),
        ScoreSpec("scores", "inputs", "scores", "fraud"),
    ),
    (ModelSpec("fraud", ("score",), artifact="fraud.onnx"), ModelSpec("other", ("y",))),
    (
        ResourceSpec("Risks", ("Client",), place="app.py:2"),
        ResourceSpec("Client", (), (PASSWORD,), "app.py:3"),
        ResourceSpec("Unused", (), (ReferenceSpec("secret", "UNUSED"),)),
    ),
)


def test_every_stage_says_what_it_does() -> None:
    assert edges(PLAN) == [
        Edge("prepare", "read", "payments"),
        Edge("prepare", "append", "inputs"),
        Edge("evaluate", "read", SYSTEM),
        Edge("evaluate", "load", ANY),
        Edge("evaluate", "alias", ANY),
        Edge("scores", "read", "inputs"),
        Edge("scores", "append", "scores"),
        Edge("scores", "score", "fraud"),
        Edge(START, "register", "fraud"),
        Edge("prepare", "secret", "KEY"),
        Edge("prepare", "secret", "PASSWORD"),
    ]


def test_a_reference_is_looked_up_by_whoever_opens_its_resource() -> None:
    assert references(PLAN) == [
        ("prepare", KEY, "app.py:1"),
        ("prepare", URL, "app.py:1"),
        ("prepare", PASSWORD, "app.py:3"),
    ]


def test_doers() -> None:
    assert doers(PLAN, "score", "fraud") == ["scores"]
    assert doers(PLAN, "score", "other") == []
