"""What each service is known as, and its roles.

Which resource grants which right, always for one hub, container or secret, and none for more:

- of a service, a role assignment: ``read`` of a log is Azure Event Hubs Data Receiver on the hub, in whichever group;
  ``append`` is Data Sender; ``get`` of the store is Storage Blob Data Reader on the container, ``put`` is Contributor,
  which reads as well and may delete: no built-in role puts without that; ``secret`` is Key Vault Secrets User on the
  secret;
- of the scaler and the producers, who cannot be given an identity, a rule of the hub: Listen for ``read``, Send for
  ``append`` (``logs.py``).

A service may pull the image besides, where the registry is Azure's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization, managedidentity

from ...plan.plan import Verb
from ..names import dashed
from ..requirements import Identity, Requirements
from .names import AzureSite

RECEIVER, SENDER = "Azure Event Hubs Data Receiver", "Azure Event Hubs Data Sender"
BLOB_READER, BLOB_CONTRIBUTOR = "Storage Blob Data Reader", "Storage Blob Data Contributor"
SECRETS_USER, PULL = "Key Vault Secrets User", "AcrPull"
ROLE_IDS: Mapping[str, str] = {
    RECEIVER: "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
    SENDER: "2b629674-e913-4c01-ae53-ef4638d8f975",
    BLOB_READER: "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    BLOB_CONTRIBUTOR: "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    SECRETS_USER: "4633458b-17de-408a-b874-0445c86b69e6",
    PULL: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
}
"""Azure's own, the same in every tenant."""

ROLES: Mapping[Verb, str] = {
    "read": RECEIVER,
    "append": SENDER,
    "get": BLOB_READER,
    "put": BLOB_CONTRIBUTOR,
    "secret": SECRETS_USER,
}


@dataclass(frozen=True, slots=True)
class RoleOn:
    """``kind``: log, store, secret or registry."""

    role: str
    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """``roles``: what must be there before the service starts, or it would be refused."""

    made: managedidentity.UserAssignedIdentity
    roles: tuple[authorization.RoleAssignment, ...]


def roles_of(identity: Identity) -> list[RoleOn]:
    """Each once, in the order of the rights; who may put has no need of another role to get."""
    rights = [right for right in identity.rights if right.kind != "host"]  # which no role of Azure's is about
    found = dict.fromkeys(RoleOn(ROLES[right.verb], right.kind, right.what) for right in rights)
    for put in [each for each in found if each.role == BLOB_CONTRIBUTOR]:
        found.pop(RoleOn(BLOB_READER, put.kind, put.what), None)
    return list(found)


def make_identities(
    site: AzureSite,
    needed: Requirements,
    scopes: Mapping[tuple[str, str], pulumi.Input[str]],
    registry: pulumi.Input[str] | None,
) -> Mapping[str, ServiceIdentity]:
    """One a service. ``scopes``: the id of each log, store and secret by kind and name."""
    services = {service.name for service in needed.services}
    pulled = {} if registry is None else {("registry", "image"): registry}
    found = {}
    for identity in needed.identities:
        if identity.service in services:
            roles = roles_of(identity) + [RoleOn(PULL, *key) for key in pulled]
            found[identity.service] = _identity(site, identity.service, roles, {**scopes, **pulled})
    return found


def _identity(
    site: AzureSite, service: str, roles: list[RoleOn], scopes: Mapping[tuple[str, str], pulumi.Input[str]]
) -> ServiceIdentity:
    made = managedidentity.UserAssignedIdentity(
        site.logical("identity", service),
        resource_name_=site.named(service),
        resource_group_name=site.group,
        location=site.location,
        tags=site.tags,
        opts=site.options(),
    )
    return ServiceIdentity(made, tuple(_assignment(site, service, made, on, scopes[on.kind, on.what]) for on in roles))


def _assignment(
    site: AzureSite,
    service: str,
    to: managedidentity.UserAssignedIdentity,
    on: RoleOn,
    scope: pulumi.Input[str],
) -> authorization.RoleAssignment:
    role = ROLE_IDS[on.role]
    return authorization.RoleAssignment(
        site.logical("role", service, dashed(on.role), on.kind, on.what),
        # Follows from whom it is for: the service refuses an assignment that changes hands.
        role_assignment_name=pulumi.Output.all(scope, to.principal_id).apply(
            lambda known: str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((*known, role))))
        ),
        principal_id=to.principal_id,
        principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,  # else it is looked for before it is everywhere
        role_definition_id=pulumi.Output.format(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{}", site.subscription, role
        ),
        scope=scope,
        opts=site.options(),
    )
