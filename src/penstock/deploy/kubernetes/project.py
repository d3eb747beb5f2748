"""What a Pulumi project for Kubernetes has of its own."""

from __future__ import annotations

from ..project.values import StackValue, TargetProject

PROJECT = TargetProject(
    "Kubernetes",
    "pulumi_kubernetes",
    (
        StackValue("namespace", "NAMESPACE", "the namespace, which is there"),
        StackValue("log", "kafka://BROKER:9092", "where events are kept, as penstock run --log has it"),
        StackValue(
            "artifacts", "s3://BUCKET/models", "where models' files are kept, as penstock run --artifacts has it"
        ),
    ),
    ("kafka_topics", "kafka_acls", "port_forward"),
    (("kubectl config current-context", "the cluster that it goes to"),),
    (
        ("pulumi stack output kafka_topics", "the commands that make the topics on the brokers"),
        ("pulumi stack output kafka_acls", "and those that give each service its rights there"),
        ("pulumi stack output port_forward", "the command that leads to the gateway"),
    ),
)
