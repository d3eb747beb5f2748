"""The way to the gateway's doors from outside: the ingress of its container app, and the name that it has."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import app

from ..containers import DOORS_PORT
from ..requirements import GATEWAY
from .args import CheckedAzureArgs
from .names import AzureSite


def ingress_of(checked: CheckedAzureArgs, service: str) -> app.IngressArgs | None:
    """Only the gateway may have one. TLS ends at the platform, which has a certificate of the environment's name; who
    comes in plain is sent there. From the platform to the replica requests go in plain, keys too."""
    if service != GATEWAY or not checked.opened.doors.is_open:
        return None
    return app.IngressArgs(
        external=True,
        allow_insecure=False,
        target_port=DOORS_PORT,
        transport=app.IngressTransportMethod.HTTP,  # what the doors speak: it is not looked for
    )


def public_url(
    site: AzureSite, checked: CheckedAzureArgs, environment: app.ManagedEnvironment
) -> pulumi.Output[str] | None:
    """Known before the container app is there, which is told it; None: nobody reaches the doors."""
    if not checked.opened.doors.is_open:
        return None
    return pulumi.Output.format("https://{}.{}", site.named(GATEWAY), environment.default_domain)
