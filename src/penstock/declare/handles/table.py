"""The handles that there are."""

from __future__ import annotations

from .handle import Handle
from .models import Models

HANDLES: tuple[type[Handle], ...] = (Models,)
"""A row a handle."""
