"""A graph in the form that a file's name asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import msgspec

from ...errors import CannotStart
from .graph import Graph
from .svg import as_svg

_SHAPES = {
    "topic": '[("{}")]',
    "system": '[("{}")]',
    "function": '["{}"]',
    "scorer": '{{{{"{}"}}}}',
    "subscription": '[/"{}"/]',
}
_STAGE = _SHAPES["function"]  # of every kind without a shape of its own


def draw(graph: Graph, file: Path, option: str, text: str | None = None) -> None:
    """Into that file; ``option`` is what it was named with, ``text`` what a .txt holds, if there may be one.

    Raises ``CannotStart`` for a name whose suffix says none of the forms that there are, and for a file that cannot be
    written.
    """
    forms = FORMS if text is None else {**FORMS, ".txt": lambda _: text}
    suffix = file.suffix.lower()
    if suffix not in forms:
        raise CannotStart(f"{option} {file.name}: there are {', '.join(forms)}; a browser prints .svg as .png or .pdf")
    try:
        file.write_text(forms[suffix](graph), encoding="utf-8")
    except OSError as error:
        raise CannotStart(f"{option} {file} cannot be written: {error.strerror or error}") from None


def as_mermaid(graph: Graph) -> str:
    """For a page in Markdown: ```mermaid."""
    short = {node.id: f"n{place}" for place, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        label = f"{node.title}<br>{node.note}".replace('"', "#quot;")
        lines.append(f"  {short[node.id]}{_SHAPES.get(node.kind, _STAGE).format(label)}")
    lines += [f"  {short[tail]} --> {short[head]}" for tail, head in graph.edges]
    return "\n".join(lines) + "\n"


def as_dot(graph: Graph) -> str:
    """For Graphviz."""
    shapes = {"topic": "cylinder", "system": "cylinder", "scorer": "hexagon", "subscription": "cds"}
    lines = [f"digraph {_quoted(graph.title)} {{", "  rankdir=LR;"]
    for node in graph.nodes:
        label = _quoted(f"{node.title}\n{node.note}")
        lines.append(f"  {_quoted(node.id)} [shape={shapes.get(node.kind, 'box')}, label={label}];")
    lines += [f"  {_quoted(tail)} -> {_quoted(head)};" for tail, head in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"


def as_json(graph: Graph) -> str:
    """The nodes and the edges, for programs."""
    return msgspec.json.format(msgspec.json.encode(asdict(graph))).decode() + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


FORMS: Mapping[str, Callable[[Graph], str]] = {
    ".svg": as_svg,
    ".mmd": as_mermaid,
    ".dot": as_dot,
    ".json": as_json,
}
