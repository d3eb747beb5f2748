"""How many pods the worker has: KEDA's objects, which say by what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..requirements import SCALER, WORKER
from .identities import stage_reads
from .logs import CA, SASL
from .names import kafka_secret
from .secrets import secret_object

if TYPE_CHECKING:
    from .args import CheckedArgs
    from .names import ObjectNames


def scaled_object(checked: CheckedArgs, names: ObjectNames, worker: Any, ca: Any, opts: Any) -> Any:
    """``worker``: the Deployment whose pods are counted, by the metric where there is a Prometheus, else by how far
    behind stages are."""
    from pulumi_kubernetes.apiextensions import CustomResource

    args = checked.given
    if args.prometheus:
        triggers = [_metric_trigger(checked, names)]
    else:
        authentication = _authentication(checked, names, ca, opts)
        triggers = [
            _lag_trigger(checked, right.what, right.group, authentication) for right in stage_reads(checked.needed)
        ]
    return CustomResource(
        names.logical(WORKER, "scale"),
        api_version="keda.sh/v1alpha1",
        kind="ScaledObject",
        metadata=names.metadata(WORKER, service=WORKER),
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": worker.metadata.name},
            "minReplicaCount": args.min_workers,
            "maxReplicaCount": args.max_workers,
            "pollingInterval": 15,
            "triggers": triggers,
        },
        opts=opts,
    )


def _metric_trigger(checked: CheckedArgs, names: ObjectNames) -> dict[str, Any]:
    import pulumi

    args = checked.given
    assert args.prometheus is not None
    # Of a worker's stages: couriers, and runs of everything, say it of what delivers too.
    stages = "|".join(right.group.replace(".", "[.]") for right in stage_reads(checked.needed))
    wanted = pulumi.Output.format(
        'penstock_wanted_workers{{app="{0}",namespace="{1}",stage=~"{2}"}}',
        names.of(),
        pulumi.Output.from_input(names.namespace),
        stages,
    )
    return {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": args.prometheus.address,
            "query": pulumi.Output.concat("max(sum by (stage) (", wanted, "))"),
            "threshold": str(args.workers_a_pod),
        },
    }


def _lag_trigger(checked: CheckedArgs, topic: str, group: str, authentication: str) -> dict[str, Any]:
    cluster = checked.cluster
    metadata = {
        "bootstrapServers": ",".join(cluster.brokers),
        "consumerGroup": f"{cluster.prefix}{group}",
        "topic": f"{cluster.prefix}{topic}",
        "lagThreshold": str(checked.given.lag_threshold),
        "offsetResetPolicy": "earliest",
        "excludePersistentLag": "true",  # a partition that is held is no reason to scale
        "limitToPartitionsWithLag": "true",
    }
    if cluster.has_tls:
        metadata["tls"] = "enable"
    if cluster.has_credentials:
        metadata["sasl"] = SASL[cluster.mechanism]
    found: dict[str, Any] = {"type": "kafka", "metadata": metadata}
    return found | ({"authenticationRef": {"name": authentication}} if authentication else {})


def _authentication(checked: CheckedArgs, names: ObjectNames, ca: Any, opts: Any) -> str:
    """The name of the TriggerAuthentication with which KEDA signs in; empty where brokers ask for nothing."""
    from pulumi_kubernetes.apiextensions import CustomResource

    spec: dict[str, Any] = {}
    if credentials := checked.given.kafka_credentials.get(SCALER):
        values = {"username": credentials.user, "password": credentials.password}
        kept = secret_object(names, kafka_secret(SCALER), values, opts)
        spec["secretTargetRef"] = [{"parameter": key, "name": kept.name, "key": key} for key in values]
    if ca is not None:
        spec["configMapTargetRef"] = [{"parameter": "ca", "name": ca.name, "key": CA.rpartition("/")[2]}]
    if not spec:
        return ""
    CustomResource(
        names.logical(SCALER, "authentication"),
        api_version="keda.sh/v1alpha1",
        kind="TriggerAuthentication",
        metadata=names.metadata(SCALER),
        spec=spec,
        opts=opts,
    )
    return names.of(SCALER)
