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
    """ingress=Ingress(
        host=config.require("host"),
        class_name=config.require("ingress_class"),
        tls_secret=config.require("tls_secret"),
        namespace=config.require("ingress_namespace"),
    )""",
    ("Ingress",),
    (
        StackValue("host", "events.example.com", "the name by which others reach the doors"),
        StackValue("ingress_class", "nginx", "the IngressClass of the controller that leads there"),
        StackValue("tls_secret", "SECRET", "the Secret of the namespace with the name's certificate"),
        StackValue("ingress_namespace", "ingress-nginx", "the namespace in which the controller runs"),
    ),
)
