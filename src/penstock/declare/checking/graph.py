"""A plan as a graph: topics and stages, and which feeds which; and that graph as text."""

from __future__ import annotations

from dataclasses import dataclass

from ...batch import DEAD, SYSTEM, TopicSpec
from ...plan.edges import edges
from ...plan.plan import FunctionSpec, Plan, ScoreSpec, StageSpec, SubscriptionSpec, path_of
from ...schema.rows import is_json

_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms"), (1, "us"))
RUN_TIME = "subscriptions at run time"
_OWN = {SYSTEM: "what Penstock does", DEAD: "what no attempt could deal with"}


@dataclass(frozen=True, slots=True)
class Node:
    """``id`` is unique in its graph: a topic and a stage may share a name. ``kind``: topic, system, subscription, or a
    stage's."""

    id: str
    kind: str
    title: str
    note: str


@dataclass(frozen=True, slots=True)
class Graph:
    title: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]  # ids, in the direction of the events


def graph_of(plan: Plan) -> Graph:
    """In the order of the file. System events are a node only where something listens to them."""
    nodes = [Node(f"topic {t.name}", "topic", t.name, topic_note(t)) for t in plan.topics]
    nodes += [Node(f"stage {s.name}", s.kind, s.name, stage_note(plan, s)) for s in plan.stages]
    nodes += [Node(f"stage {s.name}", "subscription", s.name, subscription_note(s)) for s in plan.subscriptions]
    if plan.invites_subscriptions:
        nodes.append(Node(RUN_TIME, "subscription", "subscriptions", "put at run time"))
    listened_to = {edge.what for edge in edges(plan) if edge.verb == "read"}
    nodes[:0] = [Node(f"topic {name}", "system", name, note) for name, note in _OWN.items() if name in listened_to]
    known = {node.id for node in nodes}
    ways = []
    for edge in edges(plan):
        stage, topic = f"stage {edge.who}", f"topic {edge.what}"  # no stage and no subscription share a name
        if edge.verb in ("read", "append") and {stage, topic} <= known:
            ways.append((topic, stage) if edge.verb == "read" else (stage, topic))
    ways += [(f"stage {edge.who}", RUN_TIME) for edge in edges(plan) if edge.verb == "subscribe"]
    return Graph(plan.app, tuple(nodes), tuple(ways))


def as_text(plan: Plan) -> str:
    """One line a stage and a subscription, from what it reads to what it feeds, then two a topic: how it is kept, and
    its columns."""
    ways = [(s.source, s.name, path_of(s.to, s.to_topic) if s.to else "", stage_note(plan, s)) for s in plan.stages]
    ways += [(path_of(s.source, s.domain_topic), s.name, s.receiver, _passes(s)) for s in plan.subscriptions]
    lines = [plan.app, ""]
    lines += ["  takes subscriptions at run time", ""] if plan.invites_subscriptions else []
    if ways:
        left, middle, right = (max(len(way[i]) for way in ways) for i in range(3))
        for source, name, to, note in ways:
            stage, arrow = f"[{name}]", f"──▶ {to}" if to else ""
            lines.append(f"  {source:>{left}} ──▶ {stage:<{middle + 2}} {arrow:<{right + 4}}  {note}".rstrip())
        lines.append("")
    width = max((len(t.name) for t in plan.topics), default=0)
    for topic in plan.topics:
        lines.append(f"  {topic.name:<{width}}  {topic_note(topic)}")
        lines.append(f"  {'':<{width}}  {'JSON' if is_json(topic.schema) else ', '.join(topic.schema.names)}")
    return "\n".join(lines).rstrip() + "\n"


def topic_note(topic: TopicSpec) -> str:
    parts = ["domain"] if topic.domain else []
    parts.append(partitions_text(topic.partitions))
    if topic.key is not None:
        parts.append(f"key {topic.key}")
    parts.append("kept for ever" if topic.retain_us is None else f"kept {duration_text(topic.retain_us)}")
    if topic.encoding == "json":
        parts.append("JSON records")
    return " · ".join(parts)


def stage_note(plan: Plan, stage: StageSpec) -> str:
    if isinstance(stage, FunctionSpec):
        return function_note(stage)
    if isinstance(stage, ScoreSpec):
        model = plan.model(stage.model)
        return f"model {stage.model}" + (f"@{model.alias}" if model else "")
    return " · ".join(f"{e.verb} {e.what}" for e in stage.edges() if e.verb not in ("read", "append")) or stage.kind


def subscription_note(subscription: SubscriptionSpec) -> str:
    """To whom, unless that is drawn beside it, and what passes."""
    to = "" if subscription.topic is not None else f"to {subscription.receiver} · "
    return to + _passes(subscription)


def _passes(subscription: SubscriptionSpec) -> str:
    """Which events, whether in their order, and after which handshake."""
    asked = "" if subscription.handshake == "none" else f" · after a handshake ({subscription.handshake})"
    return subscription.condition + (" · ordered" if subscription.ordered else "") + asked


def function_note(function: FunctionSpec) -> str:
    if function.event is not None:
        return function.event + (f" where {function.where}" if function.where else "")
    takes = {"frame": "per batch", "arrow": "per batch", "list": "per list"}.get(function.takes, "per event")
    asks = ", ".join([*function.resources, *(handle.name for handle in function.handles)])
    return takes + (f" · asks for {asks}" if asks else "")


def partitions_text(count: int) -> str:
    return f"{count} partition{'' if count == 1 else 's'}"


def duration_text(microseconds: int) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if microseconds % size == 0)
    return f"{microseconds // size}{unit}"
