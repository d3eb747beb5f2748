"""What one request may take, and all of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """``connections``: of all lanes, under way at once or kept open; each is a descriptor."""

    connections: int = 512
    connect_s: float = 10.0  # seconds for name, connection and TLS
    answer_s: float = 30.0  # seconds for everything
    body_bytes: int = 64 << 10  # bytes of an answer's body, after which it is ended
    head_bytes: int = 64 << 10  # bytes of an answer's head, likewise
    handshakes: int = 32  # under way at once
