"""A plan as a graph: topics and stages, and which feeds which; and that graph as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...batch import SYSTEM, TopicSpec
from ...schema.rows import is_json
from ..plan import FunctionSpec, Plan

Kind = Literal["topic", "function", "scorer", "system"]

_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms"), (1, "us"))


@dataclass(frozen=True, slots=True)
class Node:
    """``id`` is unique in its graph: a topic and a stage may share a name."""

    id: str
    kind: Kind
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
    edges = []
    for function in plan.functions:
        stage = f"stage {function.name}"
        nodes.append(Node(stage, "function", function.name, function_note(function)))
        edges.append((f"topic {function.source}", stage))
        edges += [] if function.to is None else [(stage, f"topic {function.to}")]
    for scorer in plan.scorers:
        stage = f"stage {scorer.name}"
        nodes.append(Node(stage, "scorer", scorer.name, _model_ref(plan, scorer.model)))
        edges += [(f"topic {scorer.source}", stage), (stage, f"topic {scorer.to}")]
    if any(function.source == SYSTEM for function in plan.functions):
        nodes.insert(0, Node(f"topic {SYSTEM}", "system", SYSTEM, "what Penstock does"))
    known = {node.id for node in nodes}
    return Graph(plan.app, tuple(nodes), tuple(e for e in edges if e[0] in known and e[1] in known))


def as_text(plan: Plan) -> str:
    """One line a stage, from what it reads to what it feeds, then two a topic: how it is kept, and its columns."""
    notes = {node.id: node.note for node in graph_of(plan).nodes}
    ways = [(f.source, f.name, f.to or "", notes[f"stage {f.name}"]) for f in plan.functions]
    ways += [(s.source, s.name, s.to, notes[f"stage {s.name}"]) for s in plan.scorers]
    lines = [plan.app, ""]
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
    parts = [f"{topic.partitions} partition{'' if topic.partitions == 1 else 's'}"]
    if topic.key is not None:
        parts.append(f"key {topic.key}")
    parts.append("kept for ever" if topic.retain_us is None else f"kept {_duration(topic.retain_us)}")
    if topic.encoding == "json":
        parts.append("JSON records")
    return " · ".join(parts)


def function_note(function: FunctionSpec) -> str:
    if function.event is not None:
        return function.event + (f" where {function.where}" if function.where else "")
    takes = {"frame": "per batch", "arrow": "per batch", "list": "per list"}.get(function.takes, "per event")
    return takes + (f" · asks for {', '.join(function.injects)}" if function.injects else "")


def _model_ref(plan: Plan, name: str) -> str:
    return next((f"model {m.name}@{m.alias}" for m in plan.models if m.name == name), f"model {name}")


def _duration(microseconds: int) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if microseconds % size == 0)
    return f"{microseconds // size}{unit}"
