"""Kubernetes, beside any Kafka: ``PenstockApp`` is an app as a Pulumi component. Reading its arguments takes no SDK."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...errors import CannotStart, install

if TYPE_CHECKING:
    from .args import Ingress, KafkaCredentials, PenstockAppArgs, Pods, Prometheus
    from .component import PenstockApp

__all__ = ["Ingress", "KafkaCredentials", "PenstockApp", "PenstockAppArgs", "Pods", "Prometheus"]


def __getattr__(name: str) -> Any:
    """Raises ``CannotStart`` where the SDK is not installed: whoever looks at the target's limits needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(".component" if name == "PenstockApp" else ".args", __name__), name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("pulumi"):
            raise
        raise CannotStart(f"{__name__} needs Pulumi and its SDK for Kubernetes: {install('kubernetes')}") from None
