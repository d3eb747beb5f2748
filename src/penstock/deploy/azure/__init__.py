"""Azure: Event Hubs Standard, Storage, Key Vault and Container Apps. ``PenstockApp`` is an app as a Pulumi component;
nothing else here needs Pulumi's SDK."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...errors import CannotStart, install

if TYPE_CHECKING:
    from .args import PenstockAppArgs
    from .component import PenstockApp

__all__ = ["PenstockApp", "PenstockAppArgs"]


def __getattr__(name: str) -> Any:
    """Raises ``CannotStart`` where the SDK is not installed: whoever looks at the target's limits needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        component = import_module(".component", __name__)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("pulumi"):
            raise
        raise CannotStart(f"{__name__} needs Pulumi and its SDK for Azure: {install('azure')}") from None
    return getattr(component, name)
