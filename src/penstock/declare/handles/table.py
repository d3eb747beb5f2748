"""The handles that there are."""

from __future__ import annotations

from .handle import Handle
from .models import Models
from .subscriptions import Subscriptions

HANDLES: tuple[type[Handle], ...] = (Models, Subscriptions)
"""A row a handle."""
