"""scalable-ingestion on Kubernetes. This file is yours: penstock deploy does not write it again."""

import pulumi
from penstock.deploy.kubernetes import PenstockApp, PenstockAppArgs

config = pulumi.Config()
args = PenstockAppArgs(
    plan="generated/plan.json",
    namespace=config.require("namespace"),
    log=config.require("log"),
    artifacts=config.require("artifacts"),
    image=config.require("image"),
)
app = PenstockApp("scalable-ingestion", args)
pulumi.export("kafka_topics", app.kafka_topics)
pulumi.export("kafka_acls", app.kafka_acls)
pulumi.export("port_forward", app.port_forward)
