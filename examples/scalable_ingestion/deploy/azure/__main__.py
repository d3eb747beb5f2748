"""scalable-ingestion on Azure. This file is yours: penstock deploy does not write it again."""

import pulumi
from penstock.deploy.azure import PenstockApp, PenstockAppArgs

config = pulumi.Config()
args = PenstockAppArgs(
    plan="generated/plan.json",
    image=config.require("image"),
)
app = PenstockApp("scalable-ingestion", args)
pulumi.export("resource_group", app.resource_group)
pulumi.export("kafka_endpoint", app.kafka_endpoint)
pulumi.export("producer_connections", app.producer_connections)
