"""The values of a resource's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that nobody is shown: it lies encrypted in the stack's state."""

    value: Any


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that travels, or a folder. ``path``: empty for a text or an address."""

    path: str
    is_folder: bool = False


Value: TypeAlias = "str | float | bool | Secret | Asset | Mapping[str, Value] | Sequence[Value] | None"
