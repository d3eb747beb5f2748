"""How many replicas there are: of the gateway one, of the courier as many as was told, since what waits for an endpoint
is no reason for more; of the worker what KEDA makes of how far behind its stages are."""

from __future__ import annotations

from collections.abc import Iterator

import pulumi
from pulumi_azure_native import app

from ..requirements import COURIER, SCALER, WORKER
from .args import CheckedAzureArgs
from .logs import EventHubs
from .names import within

# With a dot, which no secret of the app's has: its are small letters, digits and dashes.
USER_SECRET, HUB_SECRET = "keda.user", "keda.hub.{}"
KAFKA_USER = "$ConnectionString"  # of Event Hubs, for whoever signs in with a key


def lag_secrets(logs: EventHubs) -> Iterator[app.SecretArgs]:
    """What KEDA signs in with: it takes a user and a password of secrets alone."""
    connections = logs.connections[SCALER]
    if connections:
        yield app.SecretArgs(name=USER_SECRET, value=pulumi.Output.secret(KAFKA_USER))
    for topic, connection in connections.items():
        yield app.SecretArgs(name=HUB_SECRET.format(within(topic)), value=connection)


def scale_of(checked: CheckedAzureArgs, logs: EventHubs, service: str) -> app.ScaleArgs:
    """Whichever stage is furthest behind decides; of a topic there are no more replicas than partitions."""
    if service != WORKER:
        count = checked.given.courier_replicas if service == COURIER else 1
        return app.ScaleArgs(min_replicas=count, max_replicas=count)
    scaler = next(identity for identity in checked.needed.identities if identity.service == SCALER)
    starts = {stage.name: stage.start for stage in checked.plan.stages}
    rules = []
    for right in scaler.rights:
        metadata = {
            "bootstrapServers": logs.endpoint,
            "topic": right.what,
            "consumerGroup": right.group,
            "lagThreshold": str(checked.given.lag_threshold),
            # How far behind a stage is that has committed nothing yet.
            "offsetResetPolicy": starts[right.group],
            "sasl": "plaintext",
            "tls": "enable",
        }
        auth = [
            app.ScaleRuleAuthArgs(trigger_parameter="username", secret_ref=USER_SECRET),
            app.ScaleRuleAuthArgs(trigger_parameter="password", secret_ref=HUB_SECRET.format(within(right.what))),
        ]
        rule = app.CustomScaleRuleArgs(type="kafka", metadata=metadata, auth=auth)
        rules.append(app.ScaleRuleArgs(name=f"lag-{within(right.group)}", custom=rule))
    return app.ScaleArgs(min_replicas=checked.given.min_workers, max_replicas=checked.given.max_workers, rules=rules)
