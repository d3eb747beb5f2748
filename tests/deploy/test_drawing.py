from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from tests.deploy.plans import PLAN, plans

from penstock.declare.checking.svg import as_svg
from penstock.deploy.drawing import graph_of
from penstock.deploy.requirements import requirements_of
from penstock.plan.edges import edges
from penstock.plan.plan import Plan, SubscriptionSpec


def test_the_apps_edges_lead_to_what_they_are_deployed_as() -> None:
    graph = graph_of(requirements_of(PLAN))
    assert set(graph.edges) == {
        ("part penstock.gateway", "log orders"),
        ("log orders", "part prepare"),
        ("part prepare", "log inputs"),
        ("secret API_KEY", "part prepare"),
        ("log penstock.system", "part evaluate"),
        ("store artifacts", "part evaluate"),
        ("log inputs", "part score"),
        ("part score", "log scores"),
        ("store artifacts", "part score"),
        ("part penstock.start", "store artifacts"),
        ("store artifacts", "part penstock.start"),
    }
    notes = {node.title: node.note for node in graph.nodes}
    assert notes["prepare"] == "in the worker" and notes["penstock.gateway"] == "in the gateway"


def test_a_topic_and_a_store_of_one_name_are_two() -> None:
    named = replace(PLAN, topics=(*PLAN.topics, replace(PLAN.topics[0], name="artifacts")))
    ids = [node.id for node in graph_of(requirements_of(named)).nodes if node.title == "artifacts"]
    assert ids == ["log artifacts", "store artifacts"]


@settings(max_examples=60, deadline=None)
@given(plans(subscribed=True))
def test_every_edge_of_any_plan_is_drawn_between_nodes_that_are_there(plan: Plan) -> None:
    graph = graph_of(requirements_of(plan))
    ids = [node.id for node in graph.nodes]
    assert len(set(ids)) == len(ids) and {end for way in graph.edges for end in way} <= set(ids)
    house = {"penstock.dead", "penstock.retry"}
    system = {(each.name, "penstock.system") for each in plan.subscriptions}  # they read it beside their router
    for edge in edges(plan):
        if edge.what in house or (edge.who, edge.what) in system:
            continue
        if edge.verb == "deliver":
            assert (f"part {edge.who}", f"host {edge.what}") in graph.edges
        if edge.verb == "read":
            assert (f"log {edge.what}", f"part {edge.who}") in graph.edges
        if edge.verb == "append":
            assert (f"part {edge.who}", f"log {edge.what}") in graph.edges
    as_svg(graph)


def test_a_subscription_leads_to_its_host() -> None:
    hooks = (
        SubscriptionSpec("cases", "scores", "https://hooks.example.com/", place="app.py:11"),
        SubscriptionSpec("more", "scores", "https://hooks.example.com/more", place="app.py:12"),
    )
    graph = graph_of(requirements_of(replace(PLAN, subscriptions=hooks)))
    assert {way for way in graph.edges if "part cases" in way} == {
        ("log scores", "part cases"),
        ("part cases", "host hooks.example.com"),
    }
    (host,) = [node for node in graph.nodes if node.kind == "subscription"]
    assert (host.title, host.note) == ("hooks.example.com", "host")
    assert {node.title: node.note for node in graph.nodes}["cases"] == "in the courier"
