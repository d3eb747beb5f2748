"""How objects are called and labelled: all begin with the app's name, so that a namespace holds several apps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..names import dashed
from ..requirements import COURIER, GATEWAY, SCALER, WORKER

if TYPE_CHECKING:
    import pulumi

PART_OF = "app.kubernetes.io"


def settings_map(service: str) -> str:
    """What the service's settings are called, after the app."""
    return f"{service}-settings"


def kafka_secret(identity: str) -> str:
    """What the credentials on Kafka are called, after the app."""
    return f"{identity}-kafka"


def artifacts_secret(service: str) -> str:
    """What the credentials of the artifacts' store are called, after the app."""
    return f"{service}-artifacts"


def own_secrets() -> dict[str, str]:
    """The names of Secrets that no variable of the app may have, and what each holds."""
    kafka = {kafka_secret(who): f"the {who}'s credentials on Kafka" for who in (GATEWAY, WORKER, COURIER, SCALER)}
    return kafka | {artifacts_secret(who): f"the {who}'s credentials of the store" for who in (GATEWAY, WORKER)}


def own_labels(app: str, service: str = "") -> dict[str, str]:
    """By these alone pods are selected, so they never change."""
    labels = {f"{PART_OF}/name": "penstock", f"{PART_OF}/instance": dashed(app)}
    return labels | ({f"{PART_OF}/component": service} if service else {})


@dataclass(frozen=True, slots=True)
class ObjectNames:
    """``component``: what the user calls the component in the program; ``labels``: the user's, on every object."""

    component: str
    app: str
    namespace: pulumi.Input[str]
    labels: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)

    def logical(self, *parts: str) -> str:
        """What Pulumi calls a resource: the component's name begins it, as others of its kind may be in the program."""
        return "-".join((self.component, *parts))

    def of(self, *parts: str) -> str:
        return dashed(self.app, *parts)

    def labelled(self, service: str = "") -> dict[str, Any]:
        return {**self.labels, **own_labels(self.app, service)}

    def metadata(
        self, *parts: str, service: str = "", annotations: Mapping[str, pulumi.Input[str]] | None = None
    ) -> Any:
        """An object's ``ObjectMetaArgs``, of this name after the app's."""
        from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

        return ObjectMetaArgs(
            name=self.of(*parts), namespace=self.namespace, labels=self.labelled(service), annotations=annotations
        )
