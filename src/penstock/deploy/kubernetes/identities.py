"""What each service is known as, and what each needs of the brokers.

Which resource grants which right:

- ``read`` and ``append`` of a log: rules of the brokers (``acls_of``), for the user whose credentials the service's
  Secret holds; whoever runs the brokers makes them;
- ``get`` and ``put`` of the store: the credentials in the service's Secret, or the role that its ServiceAccount's
  annotations name; for a volume, that it is mounted;
- ``secret``: a reference to the Secret's key among the environment of the service's container.

In the cluster itself nobody needs a right: accounts have no role, and no token is mounted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ...access.audit import AUDIT
from ...log.broker_limits import APPENDING, GROUPLESS
from ..requirements import GATEWAY, SCALER, WORKER, Requirements, Right
from .logs import KafkaCluster

if TYPE_CHECKING:
    import pulumi

    from .args import CheckedArgs
    from .names import ObjectNames


@dataclass(frozen=True, slots=True, order=True)
class KafkaAcl:
    """``service`` may do ``operation`` to what is called ``name``, or begins with it where ``pattern`` is prefixed."""

    service: str
    resource: str  # topic, group or transactional-id, as kafka-acls.sh calls them
    name: str
    operation: str
    pattern: str = "literal"

    def command(self, principal: str) -> str:
        return (
            f"kafka-acls.sh --add --allow-principal {principal} --operation {self.operation} "
            f"--{self.resource} {self.name} --resource-pattern-type {self.pattern}"
        )


def acls_of(needed: Requirements, cluster: KafkaCluster) -> list[KafkaAcl]:
    """What each identity needs of the brokers once the topics are there; each row once, in order."""
    found: set[KafkaAcl] = set()
    for identity in needed.identities:
        if identity.service != SCALER:
            found.update(_of_rights(identity.service, identity.rights, cluster))
    for service in needed.services:
        found.update(_of_service(service.name, needed, cluster))
    found.update(_of_scaler(needed, cluster))
    return sorted(found)


def stage_reads(needed: Requirements) -> list[Right]:
    """What a worker's stages read in a group: how far behind these are says how many workers there must be."""
    rights = needed.rights_of(WORKER)
    return [right for right in rights if right.verb == "read" and right.group and right.reason.place]


def _of_rights(service: str, rights: Iterable[Right], cluster: KafkaCluster) -> Iterator[KafkaAcl]:
    """On Kafka whoever may read or write may also describe."""
    for right in rights:
        if right.kind != "log":
            continue
        operation = "Read" if right.verb == "read" else "Write"
        yield KafkaAcl(service, "topic", f"{cluster.prefix}{right.what}", operation)
        if right.group:
            yield KafkaAcl(service, "group", f"{cluster.prefix}{right.group}", "Read")
            if cluster.is_transactional:  # a stage's outputs and positions are one transaction, of its group's name
                yield KafkaAcl(service, "transactional-id", f"{cluster.prefix}{right.group}/", "Write", "prefixed")


def _of_service(service: str, needed: Requirements, cluster: KafkaCluster) -> Iterator[KafkaAcl]:
    """What no edge says: every process looks up all topics of the app, and appends some things in transactions."""
    for log in needed.logs:
        if log.name == AUDIT and service != GATEWAY:
            continue  # which the doors alone make and look up
        yield KafkaAcl(service, "topic", f"{cluster.prefix}{log.name}", "Describe")
        # A start, of doors too, looks whether several brokers have what is accepted.
        yield KafkaAcl(service, "topic", f"{cluster.prefix}{log.name}", "DescribeConfigs")
        if service != WORKER:  # the doors show how far behind each group is
            for reader in log.readers:
                yield KafkaAcl(service, "group", f"{cluster.prefix}{reader.group}", "Describe")
    yield KafkaAcl(service, "group", f"{cluster.prefix}{GROUPLESS}", "Describe")
    if cluster.is_transactional:
        yield KafkaAcl(service, "transactional-id", f"{cluster.prefix}{APPENDING}", "Write", "prefixed")


def _of_scaler(needed: Requirements, cluster: KafkaCluster) -> Iterator[KafkaAcl]:
    """It reads no event: where a log ends and where a group is are described."""
    for right in stage_reads(needed):
        yield KafkaAcl(SCALER, "topic", f"{cluster.prefix}{right.what}", "Describe")
        yield KafkaAcl(SCALER, "group", f"{cluster.prefix}{right.group}", "Describe")


def acl_rows(checked: CheckedArgs) -> list[dict[str, pulumi.Input[str]]]:
    """Of the users whose credentials were given. Brokers that ask for none know nobody apart: then there are none."""
    import pulumi

    rows = []
    for acl in acls_of(checked.needed, checked.cluster):
        if credentials := checked.given.kafka_credentials.get(acl.service):
            user = pulumi.Output.from_input(credentials.user)
            rows.append({"service": acl.service, "command": user.apply(partial(_command, acl))})
    return rows


def _command(acl: KafkaAcl, user: str) -> str:
    return acl.command(f"User:{user}")


def service_account(checked: CheckedArgs, names: ObjectNames, service: str, opts: Any) -> Any:
    """Without a token: nothing in a pod speaks to the cluster."""
    from pulumi_kubernetes.core.v1 import ServiceAccount

    return ServiceAccount(
        names.logical(service),
        metadata=names.metadata(
            service, service=service, annotations=checked.given.service_account_annotations.get(service)
        ),
        automount_service_account_token=False,
        opts=opts,
    )
