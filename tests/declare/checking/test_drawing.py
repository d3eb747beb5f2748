from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.batch import DEAD, SYSTEM, TopicSpec
from penstock.declare.checking import svg
from penstock.declare.checking.drawing import FORMS
from penstock.declare.checking.graph import Graph, Node, as_text, graph_of, subscription_note, topic_note
from penstock.declare.checking.layout import layered
from penstock.filters.eventgrid import Filter
from penstock.plan.plan import FunctionSpec, ModelSpec, Plan, ScoreSpec, SubscriptionSpec
from penstock.plan.references import ReferenceSpec

PLAN = Plan(
    "flights",
    "app.py:app",
    "",
    (TopicSpec("departures", key="tailnum", retain_us=604_800_000_000), TopicSpec("features"), TopicSpec("delays")),
    (
        FunctionSpec("prepare", "departures", "features", "frame"),
        FunctionSpec("evaluate", SYSTEM, None, "event", event="penstock.model.registered", where="model < 'x' & 1"),
        ScoreSpec("delays", "features", "delays", "delay"),
    ),
    (ModelSpec("delay", ("arr_delay",)),),
)


def test_a_topic_of_json_records_says_so() -> None:
    assert topic_note(TopicSpec("t", encoding="json")).endswith("JSON records")
    assert "JSON" not in topic_note(TopicSpec("t"))


def test_text() -> None:
    assert as_text(PLAN).splitlines() == [
        "flights",
        "",
        "       departures ──▶ [prepare]  ──▶ features  per batch",
        "  penstock.system ──▶ [evaluate]               penstock.model.registered where model < 'x' & 1",
        "         features ──▶ [delays]   ──▶ delays    model delay@champion",
        "",
        "  departures  4 partitions · key tailnum · kept 7d",
        "              JSON",
        "  features    4 partitions · kept for ever",
        "              JSON",
        "  delays      4 partitions · kept for ever",
        "              JSON",
    ]


SUBSCRIBED = replace(
    PLAN,
    subscriptions=(
        SubscriptionSpec("late", "delays", ReferenceSpec("env", "OPS_URL"), where="arr_delay > 60"),
        SubscriptionSpec("all", "delays", "https://Hooks.example.com/path?token=hush"),
        SubscriptionSpec("copies", "departures", topic="features"),
        SubscriptionSpec(
            "models", SYSTEM, "https://example.com/", event="penstock.model.registered", where="version > 1"
        ),
    ),
)


def test_text_of_subscriptions() -> None:
    assert as_text(SUBSCRIBED).splitlines()[5:9] == [
        "           delays ──▶ [late]     ──▶ ps.env('OPS_URL')  where arr_delay > 60",
        "           delays ──▶ [all]      ──▶ hooks.example.com  every event",
        "       departures ──▶ [copies]   ──▶ features           every event",
        "  penstock.system ──▶ [models]   ──▶ example.com        penstock.model.registered where version > 1",
    ]
    assert "hush" not in as_text(SUBSCRIBED)


def test_a_filter_is_told() -> None:
    filtered = SubscriptionSpec("s", "t", "https://example.com/", filter=Filter(["x"]))
    assert subscription_note(filtered) == "to example.com · by a filter of Event Grid"
    asked = replace(filtered, handshake="cloudevents")
    note = "by a filter of Event Grid · after a handshake (cloudevents)"
    assert subscription_note(asked) == f"to example.com · {note}"
    assert note in as_text(replace(SUBSCRIBED, subscriptions=(asked,)))


def test_one_that_is_ordered_says_so() -> None:
    spec = SubscriptionSpec("s", "t", "https://example.com/", where="n > 1", ordered=True)
    assert subscription_note(spec) == "to example.com · where n > 1 · ordered"
    assert "where n > 1 · ordered" in as_text(replace(SUBSCRIBED, subscriptions=(spec,)))


def test_a_subscription_is_an_arrow_out_of_the_system() -> None:
    graph = graph_of(SUBSCRIBED)
    notes = {node.title: node.note for node in graph.nodes if node.kind == "subscription"}
    assert notes == {
        "late": "to ps.env('OPS_URL') · where arr_delay > 60",
        "all": "to hooks.example.com · every event",
        "copies": "every event",
        "models": "to example.com · penstock.model.registered where version > 1",
    }
    ways = {way for way in graph.edges if set(way) & {f"stage {name}" for name in notes}}
    assert ways == {
        ("topic delays", "stage late"),
        ("topic delays", "stage all"),
        ("topic departures", "stage copies"),
        ("stage copies", "topic features"),
        (f"topic {SYSTEM}", "stage models"),
    }
    picture = svg.as_svg(graph)
    root = ElementTree.fromstring(picture)
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polygon[@class='shape subscription']")) == 4
    assert all("hush" not in form(graph) for form in FORMS.values())
    assert '[/"late<br>' in FORMS[".mmd"](graph) and "shape=cds" in FORMS[".dot"](graph)


def test_what_is_ours_is_shown_where_something_listens_to_it() -> None:
    shown = [(node.title, node.note) for node in graph_of(PLAN).nodes if node.kind == "system"]
    assert shown == [(SYSTEM, "what Penstock does")]
    mourn = FunctionSpec("mourn", DEAD, None, "event", event="penstock.event.deadlettered")
    graph = graph_of(replace(PLAN, stages=(*PLAN.stages, mourn)))
    assert [node.title for node in graph.nodes if node.kind == "system"] == [SYSTEM, DEAD]
    assert (f"topic {DEAD}", "stage mourn") in graph.edges


def test_layers_follow_the_events() -> None:
    layers = layered(graph_of(PLAN))
    depth = {node: i for i, layer in enumerate(layers) for node in layer}
    assert all(depth[tail] < depth[head] for tail, head in graph_of(PLAN).edges)
    assert len(layers) == 5


def test_the_picture_holds_every_name_once_and_escapes() -> None:
    root = ElementTree.fromstring(svg.as_svg(graph_of(PLAN)))
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("delays") == 2  # the stage and the topic
    assert "penstock.model.registered where model < 'x' & 1" in texts
    assert "prefers-color-scheme: dark" in svg.as_svg(graph_of(PLAN))


def test_names_stay_clear_of_the_open_end_of_their_pipe() -> None:
    wide = 9.6  # pixels a character of DejaVu Sans, the widest of the fonts that viewers take
    for group in ElementTree.fromstring(svg.as_svg(graph_of(PLAN))).iter("{http://www.w3.org/2000/svg}g"):
        mouth = group.find("{http://www.w3.org/2000/svg}ellipse")
        title = group.find("{http://www.w3.org/2000/svg}text")
        assert title is not None and title.text is not None
        if mouth is not None:
            right = float(title.attrib["x"]) + wide * len(title.text) / 2
            assert right < float(mouth.attrib["cx"]) - float(mouth.attrib["rx"]), title.text


def test_an_app_of_nothing_can_be_drawn() -> None:
    empty = Plan('a"<&', "", "", ())
    assert ElementTree.fromstring(svg.as_svg(graph_of(empty))).get("aria-label") == 'a"<&'
    assert as_text(empty) == 'a"<&\n'


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30))
def test_any_graph_is_laid_out_without_overlaps(edges: list[tuple[int, int]]) -> None:
    nodes = tuple(Node(f"n{i}", "topic", "t" * i, "") for i in range(12))
    graph = Graph("g", nodes, tuple((f"n{a}", f"n{b}") for a, b in edges))
    layers = layered(graph)
    assert sorted(n for layer in layers for n in layer) == sorted(n.id for n in nodes)
    boxes = list(svg._boxes(graph).values())
    for one, other in combinations(boxes, 2):
        apart = one.right <= other.x or other.right <= one.x
        assert apart or abs(one.y - other.y) >= svg._HEIGHT


@pytest.mark.parametrize("size", [2, 400])
def test_circles_and_long_chains_end(size: int) -> None:
    ring = tuple((f"n{i}", f"n{(i + 1) % size}") for i in range(size))
    graph = Graph("g", tuple(Node(f"n{i}", "topic", "t", "") for i in range(size)), ring)
    assert len(layered(graph)) == size


def test_mutant_a_url_that_is_drawn_whole_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SubscriptionSpec, "receiver", property(lambda spec: spec.topic or str(spec.url)))
    with pytest.raises(AssertionError, match="token=hush"):
        test_a_subscription_is_an_arrow_out_of_the_system()


def test_that_an_app_takes_subscriptions_at_run_time_is_drawn() -> None:
    invites = replace(PLAN, open_to_subscriptions=True)
    assert as_text(invites).splitlines()[:3] == ["flights", "", "  takes subscriptions at run time"]
    assert "at run time" not in as_text(PLAN) and "at run time" not in as_text(SUBSCRIBED)
    assert [(n.title, n.note) for n in graph_of(invites).nodes][-1] == ("subscriptions", "put at run time")
