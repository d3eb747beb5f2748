"""An app of Penstock on Azure, as one resource of a Pulumi program."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_azure_native import authorization, resources

from ..house import ARTIFACTS
from ..names import dashed
from ..requirements import COURIER, GATEWAY, PRODUCERS, WORKER
from .args import CheckedAzureArgs, PenstockAppArgs, checked
from .identities import make_identities
from .logs import EventHubs, make_logs
from .names import AzureSite
from .secrets import VaultSecret, make_secrets
from .services import Surroundings, make_services
from .stores import BlobStores, make_stores

__all__ = ["PenstockApp", "PenstockAppArgs"]


class PenstockApp(pulumi.ComponentResource):  # type: ignore[misc]  # the SDK is not where types are checked
    """An app on Azure: its topics as event hubs, its models' files in a storage account, its secrets in a vault, its
    gateway, its workers and its courier as container apps, each with an identity that may do what the app's plan needs.

    Raises ``DeclarationError`` for arguments that cannot be, and for an app that Azure cannot hold, before any resource
    is made; ``PlanRefused`` for a plan that cannot be read.

    >>> app = PenstockApp("flights", PenstockAppArgs(plan="generated/plan.json", image="r.io/flights@sha256:…"))
    >>> pulumi.export("kafka_endpoint", app.kafka_endpoint)
    """

    resource_group: pulumi.Output[str]
    """The name of the resource group that all of it is in."""
    namespace: pulumi.Output[str]
    """The name of the Event Hubs namespace."""
    kafka_endpoint: pulumi.Output[str]
    """``HOST:PORT`` of the namespace for Kafka's clients: TLS, SASL PLAIN as ``$ConnectionString``."""
    producer_connections: pulumi.Output[Mapping[str, str]]
    """Secret: for each topic that others send to, the connection string of its hub, which may send and no more."""
    artifacts_url: pulumi.Output[str]
    """The address of the container with the models' files."""
    gateway: pulumi.Output[str]
    """The name of the gateway's container app."""
    worker: pulumi.Output[str]
    """The name of the worker's container app."""
    courier: pulumi.Output[str]
    """The name of the courier's container app; empty for an app without subscriptions, which has none."""
    public_url: pulumi.Output[str]
    """Where the doors are open, over TLS; empty without ``ingress``."""

    def __init__(self, name: str, args: PenstockAppArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        known = checked(args)
        super().__init__("penstock:azure:PenstockApp", name, None, opts)
        site = _site(self, name, known)
        logs = make_logs(site, args, known.needed)
        stores = make_stores(site, args, known.needed)
        secrets = make_secrets(site, args, known.needed)
        identities = make_identities(site, known.needed, _scopes(logs, stores, secrets), args.registry)
        services = make_services(site, known, Surroundings(logs, stores, secrets, identities))
        outputs = {
            "resource_group": pulumi.Output.from_input(site.group),
            "namespace": logs.namespace.name,
            "kafka_endpoint": logs.endpoint,
            "producer_connections": pulumi.Output.secret(dict(logs.connections[PRODUCERS])),
            "artifacts_url": stores.address(ARTIFACTS),
            "gateway": services.made[GATEWAY].name,
            "worker": services.made[WORKER].name,
            "courier": services.made[COURIER].name if COURIER in services.made else pulumi.Output.from_input(""),
            "public_url": pulumi.Output.from_input("") if services.public_url is None else services.public_url,
        }
        for key, value in outputs.items():
            setattr(self, key, value)
        self.register_outputs(outputs)


def _site(component: PenstockApp, name: str, known: CheckedAzureArgs) -> AzureSite:
    given = known.given
    client = authorization.get_client_config_output(opts=pulumi.InvokeOptions(parent=component))
    group = given.resource_group
    if group is None:
        group = resources.ResourceGroup(
            f"{name}-group",
            resource_group_name=dashed(known.needed.app, pulumi.get_stack()),
            location=given.location,
            tags=given.tags,
            opts=pulumi.ResourceOptions(parent=component),
        ).name
    return AzureSite(
        known.needed.app, name, component, group, client.subscription_id, client.tenant_id, given.location, given.tags
    )


def _scopes(
    logs: EventHubs, stores: BlobStores, secrets: Mapping[str, VaultSecret]
) -> dict[tuple[str, str], pulumi.Output[str]]:
    """The id of each thing that a right is about."""
    found = {("log", name): hub.id for name, hub in logs.hubs.items()}
    found |= {("store", name): container.id for name, container in stores.containers.items()}
    return found | {("secret", name): secret.scope for name, secret in secrets.items()}
