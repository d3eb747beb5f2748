"""What a Pulumi project for Azure has of its own."""

from __future__ import annotations

from ..project.values import StackValue, TargetProject

PROJECT = TargetProject(
    "Azure",
    "pulumi_azure_native",
    (StackValue("azure-native:location", "westeurope", "the region"),),
    ("resource_group", "kafka_endpoint", "producer_connections"),
    (("az login", "the account that deploys"),),
    (("pulumi stack output producer_connections --show-secrets", "what who sends events connects with, by topic"),),
    "ingress=True",
)
