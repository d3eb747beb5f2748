"""The services: what runs in their pods, and with whom they speak."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...destinations.webhook.addresses import allowed_blocks
from ..arguments import check_image
from ..containers import DATA, DOORS_PORT, PROBES_PORT, TMP, USER, grace_s, run_words
from ..requirements import COURIER, GATEWAY, WORKER
from .logs import CA
from .names import own_labels
from .secrets import VariableSource
from .stores import MOUNT

if TYPE_CHECKING:
    from .args import CheckedArgs, Pods
    from .names import ObjectNames

DATA_MIB, TMP_MIB = 4_096, 1_024
DNS = 53
ISSUER_PORT = 443  # as its URL is https; it is secret, so another port is the user's to say
KAFKA_CA = "kafka-ca"
DOORS = "doors"
AWAIT: Mapping[str, Mapping[str, str]] = {GATEWAY: {}, WORKER: {"pulumi.com/skipAwait": "true"}, COURIER: {}}
"""A worker is ready once each model has a version, which may come long after the deployment: nobody waits for it."""


def deployment(
    checked: CheckedArgs,
    names: ObjectNames,
    service: str,
    sources: Sequence[VariableSource],
    account: Any,
    ca: Any,
    opts: Any,
) -> Any:
    """``account``: the service's ServiceAccount. A new version's pod is ready before one of the old one ends."""
    import pulumi
    from pulumi_kubernetes.apps.v1 import (
        Deployment,
        DeploymentSpecArgs,
        DeploymentStrategyArgs,
        RollingUpdateDeploymentArgs,
    )
    from pulumi_kubernetes.core.v1 import (
        LocalObjectReferenceArgs,
        PodSecurityContextArgs,
        PodSpecArgs,
        PodTemplateSpecArgs,
        SeccompProfileArgs,
    )
    from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs

    args = checked.given
    # A pod has what the variables were when it began: another version of them takes other pods.
    versions = pulumi.Output.all(*(source.version for source in sources)).apply(" ".join)
    annotations: dict[str, Any] = {"penstock/configuration": versions}
    if args.prometheus:
        annotations |= {"prometheus.io/scrape": "true", "prometheus.io/port": str(PROBES_PORT)}
    pod = PodSpecArgs(
        containers=[_container(checked, service, sources, has_ca=ca is not None)],
        volumes=_volumes(checked, service, ca),
        service_account_name=account.metadata.name,
        automount_service_account_token=False,
        enable_service_links=False,  # the environment is the app's
        image_pull_secrets=[LocalObjectReferenceArgs(name=name) for name in args.image_pull_secrets],
        security_context=PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=USER,
            run_as_group=USER,
            fs_group=USER,
            seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
        ),
        termination_grace_period_seconds=grace_s(args.settings),
    )
    return Deployment(
        names.logical(service),
        metadata=names.metadata(service, service=service, annotations=AWAIT[service]),
        spec=DeploymentSpecArgs(
            # KEDA says how many workers there are.
            replicas={GATEWAY: args.gateway_replicas, COURIER: args.courier_replicas}.get(service),
            selector=LabelSelectorArgs(match_labels=own_labels(names.app, service)),
            strategy=DeploymentStrategyArgs(
                type="RollingUpdate", rolling_update=RollingUpdateDeploymentArgs(max_unavailable=0, max_surge=1)
            ),
            revision_history_limit=3,
            template=PodTemplateSpecArgs(
                metadata=ObjectMetaArgs(labels=names.labelled(service), annotations=annotations), spec=pod
            ),
        ),
        opts=opts,
    )


def _container(checked: CheckedArgs, service: str, sources: Iterable[VariableSource], *, has_ca: bool) -> Any:
    import pulumi
    from pulumi_kubernetes.core.v1 import (
        CapabilitiesArgs,
        ContainerArgs,
        ContainerPortArgs,
        SecurityContextArgs,
        VolumeMountArgs,
    )

    args = checked.given
    mounts = [VolumeMountArgs(name="data", mount_path=DATA), VolumeMountArgs(name="tmp", mount_path=TMP)]
    if has_ca:
        folder = CA.rpartition("/")[0]
        mounts.append(VolumeMountArgs(name=KAFKA_CA, mount_path=folder, read_only=True))
    ports = {"probes": PROBES_PORT, **({DOORS: DOORS_PORT} if _is_open(checked, service) else {})}
    models = checked.needed.has_models(service)
    if models and checked.store.claim:
        mounts.append(VolumeMountArgs(name="artifacts", mount_path=str(MOUNT)))
    return ContainerArgs(
        name=service,
        image=pulumi.Output.from_input(args.image).apply(check_image),
        args=run_words(
            checked.file,
            service,
            checked.cluster.url,
            checked.store.url if models else None,
            args.workers_a_pod,
            checked.opened.doors,
        ),
        env=[variable for source in sources for variable in source.env()],
        ports=[ContainerPortArgs(name=name, container_port=port, protocol="TCP") for name, port in ports.items()],
        resources=_resources(
            {GATEWAY: args.gateway_pods, WORKER: args.worker_pods, COURIER: args.courier_pods}[service]
        ),
        volume_mounts=mounts,
        # Before it is started nothing else is asked: it waits for brokers, and loads models.
        startup_probe=_probe("/healthz", period_s=2, failures=60),
        liveness_probe=_probe("/healthz", period_s=10, failures=6),
        readiness_probe=_probe("/readyz", period_s=5, failures=3),
        security_context=SecurityContextArgs(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            run_as_non_root=True,
            capabilities=CapabilitiesArgs(drop=["ALL"]),
        ),
    )


def _resources(pods: Pods) -> Any:
    from pulumi_kubernetes.core.v1 import ResourceRequirementsArgs

    return ResourceRequirementsArgs(
        requests={"cpu": f"{pods.cpu_milli}m", "memory": f"{pods.memory_mib}Mi"},
        limits={"memory": f"{pods.memory_limit_mib}Mi"},
    )


def _probe(path: str, *, period_s: int, failures: int) -> Any:
    from pulumi_kubernetes.core.v1 import HTTPGetActionArgs, ProbeArgs

    return ProbeArgs(
        http_get=HTTPGetActionArgs(path=path, port="probes"),
        period_seconds=period_s,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def _volumes(checked: CheckedArgs, service: str, ca: Any) -> list[Any]:
    """Memory that is shared with runners has no file, so ``/dev/shm`` is as it comes."""
    from pulumi_kubernetes.core.v1 import (
        ConfigMapVolumeSourceArgs,
        EmptyDirVolumeSourceArgs,
        PersistentVolumeClaimVolumeSourceArgs,
        VolumeArgs,
    )

    found = [
        VolumeArgs(name=name, empty_dir=EmptyDirVolumeSourceArgs(size_limit=f"{mib}Mi"))
        for name, mib in (("data", DATA_MIB), ("tmp", TMP_MIB))
    ]
    if ca is not None:
        found.append(VolumeArgs(name=KAFKA_CA, config_map=ConfigMapVolumeSourceArgs(name=ca.name)))
    if checked.store.claim and checked.needed.has_models(service):
        claim = PersistentVolumeClaimVolumeSourceArgs(claim_name=checked.store.claim)
        found.append(VolumeArgs(name="artifacts", persistent_volume_claim=claim))
    return found


def disruption_budget(names: ObjectNames, service: str, opts: Any) -> Any:
    """One pod at a time; at least one that stays would keep a node with the only one from ever being drained."""
    from pulumi_kubernetes.meta.v1 import LabelSelectorArgs
    from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs

    return PodDisruptionBudget(
        names.logical(service),
        metadata=names.metadata(service, service=service),
        spec=PodDisruptionBudgetSpecArgs(
            max_unavailable=1, selector=LabelSelectorArgs(match_labels=own_labels(names.app, service))
        ),
        opts=opts,
    )


def network_policy(checked: CheckedArgs, names: ObjectNames, service: str, opts: Any) -> Any:
    """In: nobody but who scrapes metrics, and the ingress's controller to the doors (and the node, which most networks
    let in for its probes). Out: names, the brokers, the artifacts' store and what the user says; of the courier its
    hosts' ports too, of a gateway that takes tokens the issuer's. Nothing else, and nothing of it by host: addresses
    change."""
    from pulumi_kubernetes.meta.v1 import LabelSelectorArgs
    from pulumi_kubernetes.networking.v1 import (
        NetworkPolicy,
        NetworkPolicyEgressRuleArgs,
        NetworkPolicyIngressRuleArgs,
        NetworkPolicyPeerArgs,
        NetworkPolicyPortArgs,
        NetworkPolicySpecArgs,
    )

    def ports(protocol: str, numbers: Iterable[int]) -> list[Any]:
        return [NetworkPolicyPortArgs(protocol=protocol, port=number) for number in numbers]

    ingress = []
    if scraper := checked.given.prometheus:
        home = LabelSelectorArgs(match_labels={"kubernetes.io/metadata.name": scraper.namespace})
        peers = [NetworkPolicyPeerArgs(namespace_selector=home)]
        ingress = [NetworkPolicyIngressRuleArgs(from_=peers, ports=ports("TCP", [PROBES_PORT]))]
    if (way := checked.given.ingress) and _is_open(checked, service):
        home = LabelSelectorArgs(match_labels={"kubernetes.io/metadata.name": way.namespace})
        peers = [NetworkPolicyPeerArgs(namespace_selector=home)]
        ingress.append(NetworkPolicyIngressRuleArgs(from_=peers, ports=ports("TCP", [DOORS_PORT])))
    stored = checked.store.ports if checked.needed.has_models(service) else ()
    access = checked.opened.access
    issuer = (ISSUER_PORT,) if service == GATEWAY and access is not None and access.has_tokens else ()
    out = sorted({*checked.cluster.ports, *stored, *issuer, *checked.given.egress_ports})
    egress = [
        NetworkPolicyEgressRuleArgs(ports=ports("UDP", [DNS]) + ports("TCP", [DNS])),
        NetworkPolicyEgressRuleArgs(ports=ports("TCP", out)),
    ]
    if service == COURIER:
        egress += [
            NetworkPolicyEgressRuleArgs(to=_peers(is_private), ports=ports("TCP", numbers))
            for is_private, numbers in _ports_outside(checked).items()
        ]
    return NetworkPolicy(
        names.logical(service),
        metadata=names.metadata(service, service=service),
        spec=NetworkPolicySpecArgs(
            pod_selector=LabelSelectorArgs(match_labels=own_labels(names.app, service)),
            policy_types=["Ingress", "Egress"],
            ingress=ingress,
            egress=egress,
        ),
        opts=opts,
    )


def _is_open(checked: CheckedArgs, service: str) -> bool:
    return checked.opened.doors.is_open and service == GATEWAY


def _ports_outside(checked: CheckedArgs) -> dict[bool, list[int]]:
    """Of the hosts that the courier sends to, by whether they may be inside of the network."""
    found: dict[bool, set[int]] = {}
    for host in checked.needed.hosts:
        found.setdefault(host.is_private, set()).update(host.ports)
    return {is_private: sorted(numbers) for is_private, numbers in found.items()}


def _peers(is_private: bool) -> list[Any]:
    """Where webhooks may go, as the courier itself looks at each connection."""
    from pulumi_kubernetes.networking.v1 import IPBlockArgs, NetworkPolicyPeerArgs

    return [
        NetworkPolicyPeerArgs(ip_block=IPBlockArgs(cidr=str(block), except_=[str(each) for each in closed] or None))
        for block, closed in allowed_blocks(is_private).items()
    ]
