"""Places for the nodes of a graph: layers from left to right, few crossings.

After Sugiyama, Tagawa and Toda (1981): longest-path layers, then each layer in turn ordered by the mean place of its
neighbours in the one before. The graphs are small; nothing here is tuned for large ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from .graph import Graph

_SWEEPS = 8


def layered(graph: Graph) -> list[list[str]]:
    """The ids of the nodes by layer. An edge that closes a circle may point to the left."""
    forward = _without_circles(graph)
    depth = {node.id: 0 for node in graph.nodes}
    for _ in graph.nodes:
        for tail, head in forward:
            depth[head] = max(depth[head], depth[tail] + 1)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in graph.nodes:
        layers[depth[node.id]].append(node.id)
    for sweep in range(_SWEEPS):
        ways = forward if sweep % 2 == 0 else [(head, tail) for tail, head in forward]
        _sweep(layers if sweep % 2 == 0 else layers[::-1], ways)
    return layers


def _without_circles(graph: Graph) -> list[tuple[str, str]]:
    """The edges that a walk in depth, from the sources on, does not find leading back into itself."""
    after: dict[str, list[str]] = {node.id: [] for node in graph.nodes}
    for tail, head in graph.edges:
        after[tail].append(head)
    heads = {head for _, head in graph.edges}
    starts = [n.id for n in graph.nodes if n.id not in heads] + [n.id for n in graph.nodes]
    done: set[str] = set()
    kept: list[tuple[str, str]] = []
    for start in starts:
        path = [(start, iter(after[start]))] if start not in done else []
        while path:
            node, rest = path[-1]
            found = next(rest, "")
            if not found:
                done.add(node)
                path.pop()
            elif found not in {n for n, _ in path}:
                kept.append((node, found))
                if found not in done:
                    path.append((found, iter(after[found])))
    return kept


def _sweep(layers: Sequence[list[str]], ways: Sequence[tuple[str, str]]) -> None:
    place = {node: float(row) for layer in layers for row, node in enumerate(layer)}
    for layer in layers[1:]:
        for node in layer:
            near = [place[tail] for tail, head in ways if head == node]
            place[node] = sum(near) / len(near) if near else place[node]
        layer.sort(key=place.__getitem__)
        place.update({node: float(row) for row, node in enumerate(layer)})
