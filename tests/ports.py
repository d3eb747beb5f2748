"""Ports for servers that are started by other programs, or again."""

from __future__ import annotations

import random
import socket


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to outgoing connections: nobody takes one before its server has it, or while a
    killed one is away."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 2_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports on this machine")


def free_port() -> int:
    return free_ports(1)[0]
