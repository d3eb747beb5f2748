"""Each edge of each example is found wired in both targets, and whatever is taken away turns a judge red."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from functools import cache

import pytest
from tests.deploy import strict, wiring
from tests.deploy.capture import Program, capture
from tests.deploy.components import SECRETS, asked, component, example, opened
from tests.deploy.plans import APPS, SUBSCRIBED
from tests.deploy.removals import Removal, removals
from tests.deploy.services.azure import MARK

from penstock.deploy.access import DoorAccess
from penstock.deploy.targets import TARGETS
from penstock.plan.plan import Plan

pytestmark = pytest.mark.clouds

OPEN = "shop with access"
PLANS = ("shop", OPEN, *APPS)

OPTIONAL: Mapping[str, str] = {
    # type and path as in a removal, without numbers and names of lists; or with the resource's name and all
    "penstock:* output namespace*": "told to whoever deploys; nothing of the app depends on it",
    "penstock:* output gateway": "likewise",
    "penstock:* output worker": "likewise",
    "penstock:* output courier": "likewise",
    "penstock:* output public_url": "told to whoever deploys; who says it to others has his own",
    "azure-native:* location": "the provider has one of its own, azure-native:location, or the group's",
    "azure-native:* tags*": "for whoever looks for resources",
    "penstock:azure:PenstockApp output resource_group": "told to whoever deploys",
    "penstock:azure:PenstockApp output kafka_endpoint": "told to whoever deploys; the worker has its own",
    "penstock:azure:PenstockApp output artifacts_url": "told to whoever deploys; the services have their own",
    "penstock:azure:PenstockApp output producer_connections": "empty: nobody sends to this app past its doors",
    "azure-native:*Workspace retentionInDays": "30 days is the service's own",
    "azure-native:*Namespace disableLocalAuth": "keys are let in by the service itself",
    "azure-native:*Namespace sku.capacity": "one unit is the service's own",
    "azure-native:*Namespace publicNetworkAccess": "the SDK's own, and the service's",
    "azure-native:*StorageAccount enableHttpsTrafficOnly": "true is the service's own; false is refused",
    "azure-native:*StorageAccount allowCrossTenantReplication": "false is the service's own",
    "azure-native:*Vault properties.enabledFor*": "false is the SDK's own, and the service's",
    "azure-native:*Vault properties.publicNetworkAccess": "the SDK's own, and the service's",
    "azure-native:*Vault properties.enableSoftDelete": "true is the service's own, and cannot be otherwise",
    "azure-native:*Vault properties.softDeleteRetentionInDays": "90 is the service's own",
    "azure-native:*BlobContainer publicAccess": "none is the service's own, and the account lets nobody in",
    "azure-native:*ManagedEnvironment workloadProfiles.enableFips": "the SDK's own, and the service's",
    "azure-native:*RoleAssignment roleAssignmentName": "the provider makes one up",
    "azure-native:*ContainerApp containerAppName": "the provider makes one up, and nothing refers to it",
    "azure-native:*ContainerApp template.containers.probes.httpGet.scheme": "HTTP is the service's own",
    "penstock:kubernetes:PenstockApp output port_forward": "told to whoever deploys",
    "kubernetes:*Service spec.type": "ClusterIP is the cluster's own",
    "kubernetes:*Service spec.ports.protocol": "TCP is the cluster's own",
    "kubernetes:*Service spec.selector.app.kubernetes.io/name": "whose app it is is said by the others",
    "kubernetes:*Ingress metadata.name": "the provider makes one up, and nothing refers to it",
    "kubernetes:*Ingress metadata.annotations.*/ssl-redirect": "true is the controller's own, where there is TLS",
    "kubernetes:*Secret type": "Opaque is the cluster's own",
    "kubernetes:*/v1:* apiVersion": "the SDK's class says it",
    "kubernetes:*/v1:* kind": "the SDK's class says it",
    "kubernetes:* metadata.labels*": "objects are found by them, and selected by those of pods alone",
    "kubernetes:*Deployment spec.template.metadata.labels.team": "the user's own",
    "kubernetes:*PodDisruptionBudget metadata.name": "the provider makes one up, and nothing refers to it",
    "kubernetes:*NetworkPolicy metadata.name": "the provider makes one up, and nothing refers to it",
    "kubernetes:*ScaledObject metadata.name": "the provider makes one up, and nothing refers to it",
    "kubernetes:*Deployment metadata.name": "the provider makes one up; who refers to it takes the output",
    "kubernetes:* spec.*matchLabels.app.kubernetes.io/name": "whose app it is is said by the others",
    "kubernetes:*Deployment spec.revisionHistoryLimit": "10 is the cluster's own",
    "kubernetes:*Deployment spec.template.spec.containers.ports.protocol": "TCP is the cluster's own",
    "kubernetes:*ScaledObject spec.pollingInterval": "30 s is KEDA's own",
    "kubernetes:*ScaledObject spec.scaleTargetRef.apiVersion": "a Deployment is KEDA's own",
    "kubernetes:*ScaledObject spec.scaleTargetRef.kind": "a Deployment is KEDA's own",
    "kubernetes:*ScaledObject spec.triggers.metadata.excludePersistentLag": "how soon, not whether",
    "kubernetes:*ScaledObject spec.triggers.metadata.limitToPartitionsWithLag": "how many, not whether",
}
"""What a program may go without, and why."""


def plan_called(name: str) -> Plan:
    return SUBSCRIBED if name in ("shop", OPEN) else example(name)


def access_of(name: str) -> DoorAccess | None:
    return asked() if name == OPEN else None


@cache
def captured(target: str, name: str) -> Program:
    plan = plan_called(name)
    return capture(component(target, plan, **(opened(target, plan) if name == OPEN else {})))


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("target", TARGETS)
def test_what_a_component_asks_for_is_right(target: str, name: str) -> None:
    found = strict.check(captured(target, name), secrets=SECRETS)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("target", TARGETS)
def test_each_edge_is_wired_and_nobody_may_more(target: str, name: str) -> None:
    found = wiring.check(captured(target, name), plan_called(name), target, access_of(name))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("target", TARGETS)
def test_whatever_is_taken_away_turns_a_judge_red(target: str, name: str) -> None:
    made, plan = captured(target, name), plan_called(name)
    taken = list(removals(made, (*SECRETS, MARK)))
    assert len(taken) > 10 * len(made.resources)
    unseen = [
        str(removal)
        for removal in taken
        if not is_optional(removal) and not judged(removal, plan, target, access_of(name))
    ]
    assert not unseen, "\n".join(unseen)


def judged(removal: Removal, plan: Plan, target: str, access: DoorAccess | None) -> bool:
    """By the judge that is asked first; the other resources were looked at before anything was taken away."""
    return bool(
        (removal.changed and strict.check_one(removal.changed))
        or strict.check_whole(removal.program, SECRETS)
        or wiring.check(removal.program, plan, target, access)
    )


def is_optional(removal: Removal) -> bool:
    return any(matches(removal, pattern) for pattern in OPTIONAL)


def matches(removal: Removal, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for text in (removal.kind, str(removal)))


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_optional_is_there_and_no_judge_asks_for_it(target: str) -> None:
    """A row that says nothing would hide what comes later under its name."""
    made, access = captured(target, OPEN), access_of(OPEN)
    taken = [removal for removal in removals(made, (*SECRETS, MARK)) if is_optional(removal)]
    seen = {
        pattern
        for pattern in OPTIONAL
        for removal in taken
        if matches(removal, pattern) and not judged(removal, SUBSCRIBED, target, access)
    }
    mine = {pattern for pattern in OPTIONAL if pattern.startswith((f"penstock:{target}", "penstock:*", f"{target}"))}
    assert mine - seen == set()
