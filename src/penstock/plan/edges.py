"""Who does what to what: all that a graph, the doors, and the rights of a deployment are made of."""

from __future__ import annotations

from .plan import Edge, FunctionSpec, Plan, Verb
from .reachability import reached
from .references import ReferenceSpec

START = "penstock.start"
"""Who registers the models that the app brings along; no stage has such a name."""


def edges(plan: Plan) -> list[Edge]:
    """In the order of the stages, then of the subscriptions, each once. A resource's secrets are those of every stage
    that it is opened for."""
    found = [edge for stage in plan.stages for edge in stage.edges()]
    found += [edge for subscription in plan.subscriptions for edge in subscription.edges()]
    found += [Edge(START, "register", model.name) for model in plan.models if model.artifact is not None]
    found += [Edge(who, "secret", ref.variable) for who, ref, _ in references(plan) if ref.kind == "secret"]
    return list(dict.fromkeys(found))


def references(plan: Plan) -> list[tuple[str, ReferenceSpec, str]]:
    """Who looks up what of the environment, and the place where it says so; what nobody opens is not looked up."""
    needs = {resource.provides: resource.resources for resource in plan.resources}
    found = []
    for stage in plan.of_kind(FunctionSpec):
        found += [(stage.name, ref, stage.place) for ref in stage.references]
        opened = {*stage.resources, *reached(stage.resources, needs)}
        for resource in plan.resources:
            if resource.provides in opened:
                found += [(stage.name, ref, resource.place) for ref in resource.references]
    for subscription in plan.subscriptions:
        found += [(subscription.name, ref, subscription.place) for ref in subscription.references]
    for model in plan.models:
        given = (model.artifact, model.trust)
        found += [(START, ref, model.place) for ref in given if isinstance(ref, ReferenceSpec)]
    return found


def doers(plan: Plan, verb: Verb, what: str) -> list[str]:
    """Who does that, by name."""
    return [edge.who for edge in edges(plan) if (edge.verb, edge.what) == (verb, what)]
