"""What an app needs as a graph: its own edges, as they are deployed. The house's rights lead from everything to
everything, so they are in the table alone."""

from __future__ import annotations

from ..declare.checking.graph import Graph, Node, partitions_text
from .access import OUTSIDE, is_open
from .house import DOORS
from .requirements import Requirements, Right

OUT_OF = ("read", "get", "secret")  # what is done to it goes from it to whoever does it


def graph_of(needed: Requirements) -> Graph:
    """Topics, stores and secrets, and who of which service does what to them. Events come in by the doors where no
    stage feeds a topic; with access from whoever shows who he is."""
    internal = {log.name for log in needed.logs if log.is_internal}
    rights = [right for right in needed.rights if right.reason.place and _is_drawn(right, internal)]
    fed = {right.what for right in rights if right.verb == "append"}
    open_to = [log.name for log in needed.logs if not log.is_internal and log.name not in fed]
    used = {_id(right) for right in rights} | {f"log {log.name}" for log in needed.logs if not log.is_internal}
    clients = [Node(OUTSIDE, "subscription", "clients", "each shows who he is")] if is_open(needed) else []
    doing = {right.who for right in rights} | ({DOORS} if open_to or clients else set())
    nodes = [
        Node(f"log {log.name}", "system" if log.is_internal else "topic", log.name, partitions_text(log.partitions))
        for log in needed.logs
    ]
    nodes += [Node(f"store {store.name}", "store", store.name, "store") for store in needed.stores]
    nodes += [Node(f"secret {secret.name}", "secret", secret.name, "secret") for secret in needed.secrets]
    nodes += [Node(_id(right), "subscription", right.what, "host") for right in rights if right.kind == "host"]
    nodes = list(dict.fromkeys(nodes))  # several subscriptions may send to one host
    parts = [
        Node(f"part {who}", "function", who, f"in the {identity.service}")
        for identity in needed.identities
        for who in dict.fromkeys(right.who for right in identity.rights)
        if who in doing
    ]
    ways = [(client.id, f"part {DOORS}") for client in clients]
    ways += [(f"part {DOORS}", f"log {name}") for name in open_to]
    for right in rights:
        way = _id(right), f"part {right.who}"
        ways.append(way if right.verb in OUT_OF else way[::-1])
    return Graph(
        needed.app, (*clients, *(node for node in nodes if node.id in used), *parts), tuple(dict.fromkeys(ways))
    )


def _id(right: Right) -> str:
    return f"{right.kind} {right.what}"


def _is_drawn(right: Right, internal: set[str]) -> bool:
    """Of Penstock's own topics, those that a stage listens to."""
    return right.kind != "log" or right.what not in internal or bool(right.group)
