"""The graph as a picture: topics are pipes, stages stand between them, events run from left to right, and what a
subscription sends out leaves through an arrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template
from xml.sax.saxutils import escape

from .graph import Graph, Node
from .layout import layered

_ROW, _HEIGHT, _GAP, _MARGIN, _TOP = 96, 58, 72, 32, 76
_MOUTH = 9  # half the width of a pipe's open end
_TITLE_WIDTH, _NOTE_WIDTH = 9.8, 6.6  # pixels a character, at most, of the fonts below

# Written out twice rather than with CSS variables, which many viewers of SVG do not know and paint black.
_LIGHT = {
    "ground": "#ffffff", "ink": "#17202a", "faint": "#5d6d7e", "line": "#8fa1b3",
    "pipe": "#e3f0fb", "pipe_edge": "#2f7fc1", "pipe_end": "#b9d9f3",
    "function": "#f4f6f7", "function_edge": "#5d6d7e",
    "scorer": "#fdf0dc", "scorer_edge": "#d08a1d", "system": "#ece8f8", "system_edge": "#7b61c4",
    "system_end": "#d3c9f0", "out": "#e2f4e6", "out_edge": "#3a9455",
}  # fmt: skip
_DARK = {
    "ground": "#10161d", "ink": "#e8eef4", "faint": "#9fb0c0", "line": "#5f7387",
    "pipe": "#15314a", "pipe_edge": "#58a6e8", "pipe_end": "#1f4a70",
    "function": "#1d2630", "function_edge": "#8496a8",
    "scorer": "#3a2a10", "scorer_edge": "#e8ad4b", "system": "#2a2145", "system_edge": "#a28bf0",
    "system_end": "#3c3062", "out": "#16321f", "out_edge": "#62c080",
}  # fmt: skip
_COLOURS = Template("""
  .ground { fill:$ground; } .app, .title { fill:$ink; } .note { fill:$faint; }
  .way { stroke:$line; } .tip { fill:$line; }
  .topic { fill:$pipe; stroke:$pipe_edge; } .topic-end { fill:$pipe_end; stroke:$pipe_edge; }
  .system { fill:$system; stroke:$system_edge; } .system-end { fill:$system_end; stroke:$system_edge; }
  .store, .secret { fill:$system; stroke:$system_edge; }
  .function { fill:$function; stroke:$function_edge; } .scorer { fill:$scorer; stroke:$scorer_edge; }
  .subscription { fill:$out; stroke:$out_edge; }
""")
_STYLE = (
    """
  text { font-family: ui-sans-serif, system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
  .app { font-size:20px; font-weight:700; }
  .title { font-size:15px; font-weight:600; }
  .note { font-size:11.5px; }
  .way { fill:none; stroke-width:2; }
  .back { stroke-dasharray:5 4; }
  .shape { stroke-width:1.6; }
"""
    + _COLOURS.substitute(_LIGHT)
    + "@media (prefers-color-scheme: dark) {"
    + _COLOURS.substitute(_DARK)
    + "}\n"
)


@dataclass(frozen=True, slots=True)
class Box:
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.y + _HEIGHT / 2

    @property
    def right(self) -> float:
        return self.x + self.width


def as_svg(graph: Graph) -> str:
    """A self-contained SVG document, readable on light and dark ground."""
    boxes = _boxes(graph)
    right = max((box.right for box in boxes.values()), default=0.0)
    width = max(right, _TITLE_WIDTH * 1.4 * len(graph.title) + _MARGIN) + _MARGIN
    below = 56 if any(_goes_back(boxes[tail], boxes[head]) for tail, head in graph.edges) else 0
    height = max((box.y + _HEIGHT for box in boxes.values()), default=_TOP) + _MARGIN + below
    ways = [_way(boxes[tail], boxes[head], height - 12) for tail, head in graph.edges]
    shapes = [_shape(node, boxes[node.id]) for node in graph.nodes]
    head = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {head} role="img" aria-label={_quoted(graph.title)}>',
            f"<style>{_STYLE}</style>",
            '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path class="tip" d="M0 0 8 4 0 8Z"/></marker>',
            '<rect width="100%" height="100%" rx="12" class="ground"/>',
            f'<text class="app" x="{_MARGIN}" y="42">{escape(graph.title)}</text>',
            *ways,
            *shapes,
            "</svg>",
            "",
        ]
    )


def _boxes(graph: Graph) -> dict[str, Box]:
    nodes = {node.id: node for node in graph.nodes}
    layers = layered(graph)
    tallest = max(map(len, layers), default=0)
    boxes: dict[str, Box] = {}
    x = float(_MARGIN)
    for layer in layers:
        width = max(_width(nodes[id]) for id in layer)
        top = _TOP + (tallest - len(layer)) * _ROW / 2
        for row, id in enumerate(layer):
            own = _width(nodes[id])
            boxes[id] = Box(x + (width - own) / 2, top + row * _ROW, own)
        x += width + _GAP
    return boxes


def _width(node: Node) -> float:
    return max(_TITLE_WIDTH * len(node.title), _NOTE_WIDTH * len(node.note)) + 44


def _goes_back(tail: Box, head: Box) -> bool:
    return head.x < tail.right


def _way(tail: Box, head: Box, bottom: float) -> str:
    """A curve from side to side; one that leads back runs along the bottom."""
    x1, y1, x2, y2 = tail.right, tail.middle, head.x - 3, head.middle
    if _goes_back(tail, head):
        curve = f"M{x1:.1f} {y1:.1f} C{x1 + 60:.1f} {bottom:.1f} {x2 - 60:.1f} {bottom:.1f} {x2:.1f} {y2:.1f}"
        return f'<path class="way back" marker-end="url(#tip)" d="{curve}"/>'
    bend = max((x2 - x1) / 2, 24)
    curve = f"M{x1:.1f} {y1:.1f} C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return f'<path class="way" marker-end="url(#tip)" d="{curve}"/>'


def _shape(node: Node, box: Box) -> str:
    outline_of = _OUTLINES.get(node.kind, _plate)
    outline = outline_of(node, box)
    mouth = 2 * _MOUTH if outline_of is _pipe else 0
    x = box.x + (box.width - mouth) / 2
    title = f'<text class="title" text-anchor="middle" x="{x:.1f}" y="{box.middle - 3:.1f}">{escape(node.title)}</text>'
    note = f'<text class="note" text-anchor="middle" x="{x:.1f}" y="{box.middle + 15:.1f}">{escape(node.note)}</text>'
    return f"<g>{outline}{title}{note}</g>"


def _pipe(node: Node, box: Box) -> str:
    """A length of pipe, its open end to the right."""
    end, half = _MOUTH, _HEIGHT / 2
    body = (
        f"M{box.x + end:.1f} {box.y:.1f} H{box.right - end:.1f} A{end} {half} 0 0 1 {box.right - end:.1f} "
        f"{box.y + _HEIGHT:.1f} H{box.x + end:.1f} A{end} {half} 0 0 1 {box.x + end:.1f} {box.y:.1f}Z"
    )
    mouth = f'cx="{box.right - end:.1f}" cy="{box.middle:.1f}" rx="{end}" ry="{half}"'
    return f'<path class="shape {node.kind}" d="{body}"/><ellipse class="shape {node.kind}-end" {mouth}/>'


def _plate(node: Node, box: Box) -> str:
    size = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{_HEIGHT}"'
    return f'<rect class="shape {node.kind}" {size} rx="10"/>'


def _turbine(node: Node, box: Box) -> str:
    cut = 16
    points = [
        (box.x + cut, box.y),
        (box.right - cut, box.y),
        (box.right, box.middle),
        (box.right - cut, box.y + _HEIGHT),
        (box.x + cut, box.y + _HEIGHT),
        (box.x, box.middle),
    ]
    return _polygon(node, points)


def _arrow(node: Node, box: Box) -> str:
    """Out of the system."""
    point = 16
    points = [
        (box.x, box.y),
        (box.right - point, box.y),
        (box.right, box.middle),
        (box.right - point, box.y + _HEIGHT),
        (box.x, box.y + _HEIGHT),
    ]
    return _polygon(node, points)


def _polygon(node: Node, points: Sequence[tuple[float, float]]) -> str:
    return f'<polygon class="shape {node.kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


_OUTLINES = {"topic": _pipe, "system": _pipe, "scorer": _turbine, "subscription": _arrow}
"""Of every other kind a plate."""


def _quoted(text: str) -> str:
    return '"' + escape(text, {'"': "&quot;"}) + '"'
