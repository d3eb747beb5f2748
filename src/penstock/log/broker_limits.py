"""What brokers hold, and what some things on them are called: for the backend that speaks to them, and for whoever says
beforehand what they cannot hold and whom they have to let in.

Event Hubs' are those of its Standard tier, the smallest that speaks Kafka's protocol; they are taken from its
documentation, see ``docs/decisions/0008-event-hubs.md``.
"""

from __future__ import annotations

NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
NAME_LIMIT_CHARS = 249  # characters of a topic's name on Kafka, namespace included
NAMESPACE_LIMIT_CHARS = 100  # characters: what remains of a topic's name is for its own

GROUPLESS = "penstock.groupless"
"""After the namespace, the group that a client names which reads without one; no stage has such a name."""

APPENDING = "append/"
"""After the namespace, what begins the name of a transaction that no group takes part in."""

HUBS = 10  # of a namespace
HUB_PARTITIONS = 32  # of a hub
HUB_GROUPS = 20  # consumer groups of a hub, with $Default, which each has
HUB_RETENTION_HOURS = 168
HUB_RECORD_LIMIT_BYTES = 1_000_000  # bytes: the service ends the connection of a request beyond 1,046,528
