"""A broker that grants as little as an Event Hubs namespace of the Standard tier: no transactions, one way in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not marked as exported
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.brokers.cluster import PATIENCE, PLAIN, Cluster, running
from tests.brokers.node import HUB_USER
from tests.brokers.tls import Authority

AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    "super.users": "User:ANONYMOUS",
}


@contextmanager
def running_hub(directory: Path, authority: Authority) -> Iterator[Cluster]:
    """A broker whose users are refused every transactional id; over PLAINTEXT, which tests may use to look, nobody is.

    Event Hubs refuses where a client asks for the coordinator of its transactions; so does this one, with
    ``TRANSACTIONAL_ID_AUTHORIZATION_FAILED`` as the error.
    """
    with running(directory, authority=authority, overrides=AUTHORIZER) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.address(PLAIN)})
        refused = AclBinding(
            ResourceType.TRANSACTIONAL_ID,
            "*",
            ResourcePatternType.LITERAL,
            f"User:{HUB_USER}",
            "*",
            AclOperation.ALL,
            AclPermissionType.DENY,
        )
        for made in admin.create_acls([refused]).values():
            made.result(PATIENCE)
        yield cluster
