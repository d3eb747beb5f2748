"""An app on Kubernetes as a component of a Pulumi program."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from ..requirements import COURIER, GATEWAY, WORKER
from .args import PenstockAppArgs, checked
from .doors import make_doors
from .identities import acl_rows, service_account
from .logs import CA, topics_of
from .names import ObjectNames
from .scaling import scaled_object
from .secrets import config_map, variable_sources
from .services import DATA_MIB, KAFKA_CA, deployment, disruption_budget, network_policy


class PenstockApp(pulumi.ComponentResource):  # type: ignore[misc]  # the SDK is not looked at
    """Gateway, workers and courier of an app, on a Kafka that is there.

    Without ``ingress`` the doors listen on the pods' loopback, so there is no Service: ``port_forward`` is the command
    by which they are reached. Raises ``DeclarationError`` before anything is made, see ``PenstockAppArgs``.
    """

    namespace: pulumi.Output[str]
    gateway: pulumi.Output[str]
    """The name of the gateway's Deployment."""
    worker: pulumi.Output[str]
    """The name of the worker's."""
    courier: pulumi.Output[str]
    """The name of the courier's; empty for an app without subscriptions, which has none."""
    port_forward: pulumi.Output[str]
    public_url: pulumi.Output[str]
    """Where the doors are open, over TLS; empty without ``ingress``."""
    kafka_topics: pulumi.Output[list[str]]
    """Commands that make the topics."""
    kafka_acls: pulumi.Output[list[dict[str, str]]]
    """Which service needs which command, one a right; none where the brokers ask nobody for credentials."""

    def __init__(self, name: str, args: PenstockAppArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        read = checked(args)
        super().__init__("penstock:kubernetes:PenstockApp", name, {}, opts)
        mine = pulumi.ResourceOptions(parent=self)
        names = ObjectNames(name, read.needed.app, args.namespace, args.labels)
        if args.make_namespace:
            made = Namespace(names.logical("namespace"), metadata=_namespace(names), opts=mine)
            # What lies in it waits for it, since its name comes from there.
            names = ObjectNames(name, read.needed.app, made.metadata.name, args.labels)
        ca = config_map(names, KAFKA_CA, {CA.rpartition("/")[2]: args.kafka_ca}, mine) if args.kafka_ca else None
        sources = variable_sources(read, names, DATA_MIB, mine)
        deployments = {}
        for service in (each.name for each in read.needed.services):
            account = service_account(read, names, service, mine)
            disruption_budget(names, service, mine)
            network_policy(read, names, service, mine)
            deployments[service] = deployment(read, names, service, sources[service], account, ca, mine)
        if args.ingress is not None:
            make_doors(read, names, args.ingress, mine)
        scaled_object(read, names, deployments[WORKER], ca, mine)
        self.namespace = pulumi.Output.from_input(names.namespace)
        self.gateway, self.worker = (deployments[service].metadata.name for service in (GATEWAY, WORKER))
        courier = deployments[COURIER].metadata.name if COURIER in deployments else ""
        self.courier = pulumi.Output.from_input(courier)
        self.port_forward = pulumi.Output.concat(
            "kubectl --namespace ", self.namespace, " port-forward deployment/", self.gateway, " 8000:8000"
        )
        url = "" if args.ingress is None else f"https://{args.ingress.host}"
        self.public_url = pulumi.Output.from_input(url)
        self.kafka_topics = pulumi.Output.from_input([topic.command for topic in topics_of(read.needed, read.cluster)])
        self.kafka_acls = pulumi.Output.from_input(acl_rows(read))
        self.register_outputs({output: getattr(self, output) for output in PenstockApp.__annotations__})


def _namespace(names: ObjectNames) -> ObjectMetaArgs:
    """Pods that may do more than ours are refused there."""
    labels = {**names.labelled(), "pod-security.kubernetes.io/enforce": "restricted"}
    return ObjectMetaArgs(name=names.namespace, labels=labels)
