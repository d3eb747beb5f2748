"""The roles of services, read back and written down a second time: by what each right takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.deploy.azure.built import REGISTRY, app_built, of, plan_built
from tests.deploy.capture import Program
from tests.deploy.components import example
from tests.deploy.plans import APPS, PLAN, SUBSCRIBED
from tests.deploy.services.azure import SUBSCRIPTION

from penstock.deploy.requirements import requirements_of
from penstock.plan.plan import Plan

pytestmark = pytest.mark.clouds

OF_LOG = {"read": "a638d3c7-ab3a-418d-83e6-5f17a39d4fde", "append": "2b629674-e913-4c01-ae53-ef4638d8f975"}
READER, CONTRIBUTOR = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
SECRETS_USER, PULL = "4633458b-17de-408a-b874-0445c86b69e6", "7f951dda-4ed3-4680-a7ca-43fe172d538d"
Role = tuple[str, str, str]  # service, role, the end of the scope


def assigned(program: Program) -> list[Role]:
    who, apps = {}, of(program, "app:ContainerApp")
    for identity in program.of("azure-native:managedidentity:UserAssignedIdentity"):
        app = next(app for app in apps if identity.id in app["identity"]["userAssignedIdentities"])
        who[identity.outputs["principalId"]] = app["template"]["containers"][0]["name"]
    found = []
    for role in of(program, "authorization:RoleAssignment"):
        assert role["principalType"] == "ServicePrincipal"
        assert role["roleDefinitionId"].startswith(
            f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/"
        )
        end = REGISTRY if role["scope"] == REGISTRY else "/".join(role["scope"].split("/")[-2:])
        found.append((who[role["principalId"]], role["roleDefinitionId"].rpartition("/")[2], end))
    return found


def wanted(plan: Plan) -> Iterator[Role]:
    services = {service.name for service in requirements_of(plan).services}
    for identity in requirements_of(plan).identities:
        if identity.service not in services:
            continue
        put = any(right.verb == "put" for right in identity.rights)
        for right in identity.rights:
            if right.kind == "log":
                yield identity.service, OF_LOG[right.verb], f"eventhubs/{right.what}"
            if right.kind == "store":
                yield identity.service, CONTRIBUTOR if put else READER, "containers/artifacts"
            if right.kind == "secret":
                yield identity.service, SECRETS_USER, f"secrets/{right.what.lower().replace('_', '-')}"


def check_roles(program: Program, plan: Plan) -> None:
    found, needed = assigned(program), set(wanted(plan))
    assert not set(found) - needed, f"assigned and not needed: {sorted(set(found) - needed)}"
    assert not needed - set(found), f"needed and not assigned: {sorted(needed - set(found))}"
    assert len(set(found)) == len(found), "a role is assigned twice"


@pytest.mark.parametrize("app", APPS)
def test_an_example_has_the_roles_of_its_rights_and_no_others(app: str) -> None:
    check_roles(plan_built(example(app)), example(app))


def test_a_secret_is_looked_up_by_the_worker_alone() -> None:
    program = plan_built(PLAN)
    check_roles(program, PLAN)
    assert [role for role in assigned(program) if role[1] == SECRETS_USER] == [
        ("worker", SECRETS_USER, "secrets/api-key")
    ]


def test_a_courier_reads_what_it_delivers_and_looks_up_its_own_secrets_alone() -> None:
    program = plan_built(SUBSCRIBED)
    check_roles(program, SUBSCRIBED)
    mine = {(role, on) for service, role, on in assigned(program) if service == "courier"}
    read = {on.removeprefix("eventhubs/") for role, on in mine if role == OF_LOG["read"]}
    assert read == {"scores", "penstock.system", "penstock.snapshots", "penstock.dead", "penstock.retry"}
    assert not [on for role, on in mine if role in (READER, CONTRIBUTOR)], "it comes to models"
    looked_up = {(service, on) for service, role, on in assigned(program) if role == SECRETS_USER}
    assert looked_up == {
        ("worker", "secrets/api-key"),
        ("courier", "secrets/hook-key"),
        ("courier", "secrets/hook-url"),
    }


def test_mutant_that_gives_a_courier_the_workers_roles_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.azure import identities

    own, worker = identities.roles_of, requirements_of(SUBSCRIBED).identities[1]
    more = lambda identity: list(dict.fromkeys([*own(identity), *own(worker)]))  # noqa: E731
    monkeypatch.setattr(identities, "roles_of", more)
    with pytest.raises(AssertionError, match=r"assigned and not needed: \[\('courier', .*'containers/artifacts'"):
        check_roles(app_built(SUBSCRIBED), SUBSCRIBED)


def test_both_services_pull_from_the_registry_that_was_given() -> None:
    pulls = {role for role in assigned(app_built(PLAN, registry=REGISTRY)) if role[1] == PULL}
    assert {service for service, _, _ in pulls} == {"gateway", "worker"} and len(pulls) == 2


def test_a_role_follows_from_whom_it_is_for_and_what() -> None:
    roles = [role["roleAssignmentName"] for role in of(plan_built(PLAN), "authorization:RoleAssignment")]
    again = [role["roleAssignmentName"] for role in of(app_built(PLAN), "authorization:RoleAssignment")]
    assert sorted(roles) == sorted(again) and len(set(roles)) == len(roles)


@pytest.mark.parametrize(
    ("verb", "role"),
    [
        ("append", "Storage Blob Data Contributor"),
        ("read", "Azure Event Hubs Data Sender"),
        ("secret", "AcrPull"),
    ],
)
def test_a_role_that_is_another_is_found(verb: str, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.azure import identities

    other = {str(known): given for known, given in identities.ROLES.items()} | {verb: role}
    monkeypatch.setattr(identities, "ROLES", other)
    with pytest.raises(AssertionError, match="assigned and not needed"):
        check_roles(app_built(PLAN), PLAN)


def test_a_role_that_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.azure import identities

    all_of_them = identities.roles_of
    monkeypatch.setattr(identities, "roles_of", lambda identity: all_of_them(identity)[1:])
    with pytest.raises(AssertionError, match="needed and not assigned"):
        check_roles(app_built(PLAN), PLAN)


def test_a_scope_that_is_too_wide_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.azure import component

    narrow = component._scopes
    wide = lambda logs, stores, secrets: dict.fromkeys(narrow(logs, stores, secrets), logs.namespace.id)  # noqa: E731
    monkeypatch.setattr(component, "_scopes", wide)
    with pytest.raises(AssertionError, match="assigned and not needed"):
        check_roles(app_built(PLAN), PLAN)
