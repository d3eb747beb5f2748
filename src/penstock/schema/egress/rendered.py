"""What a renderer makes."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

Header: TypeAlias = tuple[str, str]
"""Name and value, in ASCII and without line breaks."""


class Rendered(msgspec.Struct, frozen=True, gc=False):
    """A request that carries events: its body, and those headers that follow from the events and their format."""

    body: bytes
    headers: tuple[Header, ...]
