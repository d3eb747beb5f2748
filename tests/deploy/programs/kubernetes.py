"""A right program for Kubernetes, of the size of one page."""

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.apps.v1 import Deployment, DeploymentSpecArgs
from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    ConfigMap,
    ContainerArgs,
    ContainerPortArgs,
    EmptyDirVolumeSourceArgs,
    EnvVarArgs,
    EnvVarSourceArgs,
    HTTPGetActionArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
    Secret,
    SecretKeySelectorArgs,
    SecurityContextArgs,
    ServiceAccount,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.core.v1 import ConfigMapKeySelectorArgs as ConfigKey
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import NetworkPolicy, NetworkPolicySpecArgs
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs

labels = {"app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "worker"}
password = pulumi.Output.secret("planted-secret-of-the-app")


def meta(name: str) -> ObjectMetaArgs:
    return ObjectMetaArgs(name=name, labels=labels)


account = ServiceAccount("worker", metadata=meta("shop-worker"), automount_service_account_token=False)
settings = ConfigMap("settings", metadata=meta("shop-settings"), data={"SHOP_URL": "https://shop.example"})
secrets = Secret("secrets", metadata=meta("shop-secrets"), string_data={"API_KEY": password, "password": password})
pods = LabelSelectorArgs(match_labels=labels)
worker = Deployment(
    "worker",
    metadata=meta("shop-worker"),
    spec=DeploymentSpecArgs(
        selector=pods,
        template=PodTemplateSpecArgs(
            metadata=ObjectMetaArgs(labels=labels),
            spec=PodSpecArgs(
                service_account_name=account.metadata.name,
                containers=[
                    ContainerArgs(
                        name="worker",
                        image="registry.example/shop@sha256:" + "0" * 64,
                        image_pull_policy="IfNotPresent",
                        env=[
                            EnvVarArgs(
                                name="API_KEY",
                                value_from=EnvVarSourceArgs(
                                    secret_key_ref=SecretKeySelectorArgs(name=secrets.metadata.name, key="API_KEY")
                                ),
                            ),
                            EnvVarArgs(
                                name="SHOP_URL",
                                value_from=EnvVarSourceArgs(
                                    config_map_key_ref=ConfigKey(name=settings.metadata.name, key="SHOP_URL")
                                ),
                            ),
                        ],
                        ports=[ContainerPortArgs(name="probes", container_port=8081)],
                        readiness_probe=ProbeArgs(http_get=HTTPGetActionArgs(path="/readyz", port="probes")),
                        resources=ResourceRequirementsArgs(requests={"memory": "250Mi", "cpu": "500m"}),
                        security_context=SecurityContextArgs(
                            run_as_non_root=True,
                            read_only_root_filesystem=True,
                            capabilities=CapabilitiesArgs(drop=["ALL"]),
                        ),
                        volume_mounts=[VolumeMountArgs(name="data", mount_path="/data")],
                    )
                ],
                volumes=[VolumeArgs(name="data", empty_dir=EmptyDirVolumeSourceArgs())],
            ),
        ),
    ),
)
budget = PodDisruptionBudget(
    "worker", metadata=meta("shop-worker"), spec=PodDisruptionBudgetSpecArgs(selector=pods, max_unavailable=1)
)
policy = NetworkPolicy(
    "worker", metadata=meta("shop-worker"), spec=NetworkPolicySpecArgs(pod_selector=pods, policy_types=["Ingress"])
)
known = CustomResource(
    "lag",
    api_version="keda.sh/v1alpha1",
    kind="TriggerAuthentication",
    metadata=meta("shop-lag"),
    spec={"secretTargetRef": [{"parameter": "password", "name": secrets.metadata.name, "key": "password"}]},
)
scale = CustomResource(
    "scale",
    api_version="keda.sh/v1alpha1",
    kind="ScaledObject",
    metadata=meta("shop-worker"),
    spec={
        "scaleTargetRef": {"name": worker.metadata.name},
        "minReplicaCount": 1,
        "maxReplicaCount": 5,
        "triggers": [
            {
                "type": "kafka",
                "metadata": {
                    "bootstrapServers": "kafka:9092",
                    "consumerGroup": "shop.prepare",
                    "topic": "shop.orders",
                    "lagThreshold": "1000",
                },
                "authenticationRef": {"name": known.metadata.apply(lambda of: of["name"])},
            }
        ],
    },
)
pulumi.export("deployment", worker.metadata.name)
