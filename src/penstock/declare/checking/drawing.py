"""The graph in the form that a file's name asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

import msgspec

from ...errors import CannotStart
from ...plan.plan import Plan
from .graph import as_text, graph_of
from .svg import as_svg

_SHAPES = {"topic": '[("{}")]', "system": '[("{}")]', "function": '["{}"]', "scorer": '{{{{"{}"}}}}'}
_STAGE = _SHAPES["function"]  # of every kind without a shape of its own


def drawn(plan: Plan, name: str) -> str:
    """Raises ``CannotStart`` for a name whose suffix says none of the forms that there are."""
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    if suffix not in FORMS:
        raise CannotStart(f"--out {name}: there are {', '.join(FORMS)}; a browser prints .svg as .png or .pdf")
    return FORMS[suffix](plan)


def as_mermaid(plan: Plan) -> str:
    """For a page in Markdown: ```mermaid."""
    graph = graph_of(plan)
    short = {node.id: f"n{place}" for place, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        label = f"{node.title}<br>{node.note}".replace('"', "#quot;")
        lines.append(f"  {short[node.id]}{_SHAPES.get(node.kind, _STAGE).format(label)}")
    lines += [f"  {short[tail]} --> {short[head]}" for tail, head in graph.edges]
    return "\n".join(lines) + "\n"


def as_dot(plan: Plan) -> str:
    """For Graphviz."""
    graph = graph_of(plan)
    shapes = {"topic": "cylinder", "system": "cylinder", "function": "box", "scorer": "hexagon"}
    lines = [f"digraph {_quoted(graph.title)} {{", "  rankdir=LR;"]
    for node in graph.nodes:
        label = _quoted(f"{node.title}\n{node.note}")
        lines.append(f"  {_quoted(node.id)} [shape={shapes.get(node.kind, 'box')}, label={label}];")
    lines += [f"  {_quoted(tail)} -> {_quoted(head)};" for tail, head in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"


def as_json(plan: Plan) -> str:
    """The nodes and the edges, for programs."""
    return msgspec.json.format(msgspec.json.encode(asdict(graph_of(plan)))).decode() + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


FORMS: Mapping[str, Callable[[Plan], str]] = {
    ".svg": as_svg,
    ".mmd": as_mermaid,
    ".dot": as_dot,
    ".json": as_json,
    ".txt": as_text,
}
