"""The ways of the events: from topic to topic, through the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .plan import Plan
from .reachability import reached


@dataclass(frozen=True, slots=True)
class Hop:
    """A stage on the way: it reads ``source`` and writes ``target``."""

    stage: str
    source: str
    target: str


def hops(plan: Plan) -> list[Hop]:
    """In the order of the stages; those that feed nothing have none. A subscription is no stage: what it feeds, it
    feeds later than its place in the source says."""
    found = [edge for stage in plan.stages for edge in stage.edges()]
    fed = [(edge.who, edge.what) for edge in found if edge.verb == "append"]
    return [Hop(e.who, e.what, to) for e in found if e.verb == "read" for who, to in fed if who == e.who]


def way(plan: Plan, source: str, target: str) -> list[Hop]:
    """The stages on all ways from one topic to another, parents before children; empty when there is none."""
    known = hops(plan)
    down = {source, *reached([source], ways(known))}
    up = {target, *reached([target], ways([Hop(h.stage, h.target, h.source) for h in known]))}
    left = [h for h in known if h.source in down and h.target in up]
    ordered: list[Hop] = []
    while left:
        ready = [h for h in left if not any(o.target == h.source for o in left)]
        if not ready:  # the plan has a circle; its hops come in the order declared
            ready = left
        ordered += ready
        left = [h for h in left if h not in ready]
    return ordered


def ways(known: list[Hop]) -> Mapping[str, list[str]]:
    """The topics that each topic leads to at once."""
    found: dict[str, list[str]] = {}
    for hop in known:
        found.setdefault(hop.source, []).append(hop.target)
    return found
