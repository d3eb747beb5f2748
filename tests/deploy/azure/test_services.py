"""The container apps: how they start, what they are told, who asks them, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.deploy.azure.built import IMAGE, REGISTRY, app_built, by_name, connection, one
from tests.deploy.capture import Program
from tests.deploy.plans import PLAN, SUBSCRIBED
from tests.deploy.services.azure import MARK
from tests.deploy.services.values import Secret

from penstock.batch import SYSTEM
from penstock.plan.plan import FunctionSpec
from penstock.plan.references import ReferenceSpec
from penstock.settings import Settings

pytestmark = pytest.mark.clouds

SERVICES = ("gateway", "worker", "courier")
LATE = replace(SUBSCRIBED, stages=(replace(PLAN.stages[0], start="latest"), *PLAN.stages[1:]))
SETTINGS = {"RISKS_URL": "u", "TEAM": "t", "PENSTOCK_BATCH_ROWS": "9"}


@pytest.fixture(scope="module")
def program() -> Program:
    return app_built(LATE, registry=REGISTRY, settings=SETTINGS)


def service(program: Program, name: str) -> Mapping[str, Any]:
    return by_name(program, "app:ContainerApp", "containerAppName")[f"shop-{name}"]


def container(program: Program, name: str) -> Mapping[str, Any]:
    (only,) = service(program, name)["template"]["containers"]
    found: Mapping[str, Any] = only
    return found


def environ(program: Program, name: str) -> Mapping[str, Mapping[str, Any]]:
    return {variable["name"]: variable for variable in container(program, name)["env"]}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_started_as_its_half_of_the_app(name: str, program: Program) -> None:
    args = container(program, name)["args"]
    client = environ(program, name)["AZURE_CLIENT_ID"]["value"]
    namespace = one(program, "eventhub:Namespace")["namespaceName"]
    assert args == [
        "run", "/app/app.py",
        "--only", {"gateway": "gateway", "worker": "workers", "courier": "courier"}[name],
        "--log", f"kafka+eventhubs://{namespace}?identity={client}",
        *([] if name == "courier" else ["--artifacts", "az://artifacts/models"]),
        "--data", "/data",
        "--probes", "0.0.0.0:8081",
        *(["--workers", "1"] if name == "worker" else []),
    ]  # fmt: skip
    assert container(program, name)["image"] == IMAGE and "command" not in container(program, name)


def test_each_service_is_known_by_an_identity_of_its_own(program: Program) -> None:
    clients = {environ(program, name)["AZURE_CLIENT_ID"]["value"] for name in SERVICES}
    given = {tuple(service(program, name)["identity"]["userAssignedIdentities"]) for name in SERVICES}
    assert len(clients) == len(given) == 3 and all(len(each) == 1 for each in given)
    assert {service(program, name)["identity"]["type"] for name in SERVICES} == {"UserAssigned"}


def test_no_door_is_open(program: Program) -> None:
    assert all("ingress" not in service(program, name)["configuration"] for name in SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_the_platform_asks_how_a_service_is(name: str, program: Program) -> None:
    probes = {probe["type"]: probe["httpGet"] for probe in container(program, name)["probes"]}
    assert {kind: (get["path"], get["port"]) for kind, get in probes.items()} == {
        "Startup": ("/healthz", 8081),
        "Liveness": ("/healthz", 8081),
        "Readiness": ("/readyz", 8081),
    }


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_written_lies_on_volumes_of_the_replica(name: str, program: Program) -> None:
    mounts = {mount["volumeName"]: mount["mountPath"] for mount in container(program, name)["volumeMounts"]}
    volumes = {volume["name"]: volume["storageType"] for volume in service(program, name)["template"]["volumes"]}
    assert mounts == {"data": "/data", "tmp": "/tmp"} and volumes == dict.fromkeys(mounts, "EmptyDir")


@pytest.mark.parametrize(("cpu", "memory"), [(0.25, "0.5Gi"), (0.75, "1.5Gi"), (1.0, "2Gi"), (2.0, "4Gi")])
def test_cpu_and_memory_are_a_pair_that_consumption_has(cpu: float, memory: str) -> None:
    program = app_built(SUBSCRIBED, gateway_cpu=cpu, worker_cpu=cpu, courier_cpu=cpu)
    assert [container(program, name)["resources"] for name in SERVICES] == [{"cpu": cpu, "memory": memory}] * 3
    half = int(float(memory.removesuffix("Gi")) * 2**30) // 2
    assert environ(program, "worker")["PENSTOCK_RUNNER_MEMORY"]["value"] == str(half)
    assert {service(program, name)["workloadProfileName"] for name in SERVICES} == {"Consumption"}
    (profile,) = one(program, "app:ManagedEnvironment")["workloadProfiles"]
    assert (profile["name"], profile["workloadProfileType"]) == ("Consumption", "Consumption")


# -- what it is told ---------------------------------------------------------


def test_a_setting_and_a_secret_are_of_whoever_looks_them_up_alone(program: Program) -> None:
    check_variables(program)


def check_variables(program: Program) -> None:
    gateway, worker, courier = (environ(program, name) for name in SERVICES)
    variables = ("RISKS_URL", "API_KEY", "TEAM", "HOOK_KEY", "HOOK_URL")
    assert [env[name] for env in (gateway, worker, courier) for name in variables if name in env] == [
        {"name": "RISKS_URL", "value": "u"},
        {"name": "API_KEY", "secretRef": "api-key"},
        {"name": "TEAM", "value": "t"},
        {"name": "HOOK_KEY", "secretRef": "hook-key"},
        {"name": "HOOK_URL", "secretRef": "hook-url"},
    ], "somebody sees what is none of theirs"
    assert {env["PENSTOCK_BATCH_ROWS"]["value"] for env in (gateway, worker, courier)} == {"9"}
    account = one(program, "storage:StorageAccount")["accountName"]
    assert {env["AZURE_STORAGE_ACCOUNT_NAME"]["value"] for env in (worker, gateway)} == {account}
    assert not {"AZURE_STORAGE_ACCOUNT_NAME", "PENSTOCK_RUNNER_MEMORY"} & set(courier), "it has no use for models"


@pytest.mark.parametrize("what", ["secrets_of", "settings_of"])
def test_mutant_that_shows_everybody_a_signing_secret_is_caught(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.requirements import Requirements

    everything = lambda needed, _: [each.name for each in getattr(needed, what.removesuffix("_of"))]  # noqa: E731
    monkeypatch.setattr(Requirements, what, everything)
    with pytest.raises(AssertionError, match="somebody sees what is none of theirs"):
        check_variables(app_built(LATE, settings=SETTINGS))


def secrets(program: Program, name: str) -> Mapping[str, Mapping[str, Any]]:
    return {secret["name"]: secret for secret in service(program, name)["configuration"]["secrets"]}


def test_a_secret_comes_out_of_the_vault_by_the_identity_of_who_looks_it_up(program: Program) -> None:
    vault = one(program, "keyvault:Vault")["vaultName"]
    for who, name in (("worker", "api-key"), ("courier", "hook-key"), ("courier", "hook-url")):
        assert secrets(program, who)[name] == {
            "name": name,
            "keyVaultUrl": f"https://{vault}.vault.azure.net/secrets/{name}",
            "identity": service(program, who)["identity"]["userAssignedIdentities"][0],
        }
    assert secrets(program, "gateway") == {}
    assert secrets(program, "courier").keys() == {"hook-key", "hook-url"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_secret_that_is_referred_to_is_there(name: str, program: Program) -> None:
    rules = service(program, name)["template"]["scale"].get("rules", [])
    referred = {auth["secretRef"] for rule in rules for auth in rule["custom"]["auth"]}
    referred |= {variable["secretRef"] for variable in environ(program, name).values() if "secretRef" in variable}
    assert referred == set(secrets(program, name))


def test_the_image_is_pulled_by_the_services_identity(program: Program) -> None:
    for name in SERVICES:
        (registry,) = service(program, name)["configuration"]["registries"]
        assert registry["server"] == "shop.azurecr.io"
        assert registry["identity"] in service(program, name)["identity"]["userAssignedIdentities"]


def test_a_replica_has_time_to_end(program: Program) -> None:
    def grace(program: Program) -> float:
        return float(service(program, "worker")["template"]["terminationGracePeriodSeconds"])

    assert grace(program) == Settings().drain_timeout + 10
    longer = app_built(PLAN, settings={"RISKS_URL": "u", "PENSTOCK_DRAIN_TIMEOUT": "45.5"})
    assert grace(longer) == 56


# -- how many there are ------------------------------------------------------


def check_scaled(program: Program) -> None:
    scale = service(program, "worker")["template"]["scale"]
    assert (scale["minReplicas"], scale["maxReplicas"]) == (1, 5)
    endpoint = program.exports["kafka_endpoint"]
    found = {}
    for rule in scale["rules"]:
        custom = rule["custom"]
        metadata = dict(custom["metadata"])
        found[metadata.pop("topic"), metadata.pop("consumerGroup")] = metadata.pop("offsetResetPolicy")
        assert custom["type"] == "kafka" and all(isinstance(value, str) for value in metadata.values())
        assert metadata == {"bootstrapServers": endpoint, "lagThreshold": "50", "sasl": "plaintext", "tls": "enable"}
    assert found == {
        ("orders", "prepare"): "latest",
        ("inputs", "score"): "earliest",
        (SYSTEM, "evaluate"): "earliest",
    }, "a stage's lag is not looked at"
    names = [rule["name"] for rule in scale["rules"]]
    assert len(set(names)) == len(names), "two rules have one name"


def test_workers_follow_the_lag_of_every_stage(program: Program) -> None:
    check_scaled(program)


def test_a_stage_whose_lag_nobody_looks_at_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy import requirements

    monkeypatch.setattr(requirements, "of_scale", lambda plan: ())
    with pytest.raises(AssertionError, match="a stage's lag is not looked at"):
        check_scaled(app_built(LATE))


def test_keda_signs_in_to_the_hub_of_the_rule(program: Program) -> None:
    kept = secrets(program, "worker")
    for rule in service(program, "worker")["template"]["scale"]["rules"]:
        auth = {each["triggerParameter"]: kept[each["secretRef"]]["value"] for each in rule["custom"]["auth"]}
        topic = rule["custom"]["metadata"]["topic"]
        assert auth == {
            "username": Secret("$ConnectionString"),
            "password": Secret(connection(program, topic, "scaler")),
        }


def test_a_secret_of_the_app_is_none_of_kedas() -> None:
    variables = ("KEDA_USER", "KEDA_HUB_ORDERS", "LAG_ORDERS")
    looking_up = tuple(ReferenceSpec("secret", name) for name in variables)
    program = app_built(replace(PLAN, resources=(replace(PLAN.resources[0], references=looking_up),)))
    names = [secret["name"] for secret in service(program, "worker")["configuration"]["secrets"]]
    assert len(names) == len(set(names)) == 3 + 1 + 3


def test_stages_whose_names_are_alike_have_rules_of_their_own() -> None:
    alike = tuple(
        FunctionSpec(name, "orders", None, "event", place="app.py:5") for name in ("a.b", "a-b", "A_B", "x" * 50)
    )
    program = app_built(replace(PLAN, stages=alike, models=(), resources=()))
    names = [rule["name"] for rule in service(program, "worker")["template"]["scale"]["rules"]]
    assert len(set(names)) == 4 and "lag-a-b" in names


def test_there_is_one_gateway_and_as_many_workers_as_was_told() -> None:
    program = app_built(SUBSCRIBED, min_workers=2, max_workers=9, lag_threshold=7)
    for one_alone in ("gateway", "courier"):
        assert service(program, one_alone)["template"]["scale"] == {"minReplicas": 1, "maxReplicas": 1}
    scale = service(program, "worker")["template"]["scale"]
    assert (scale["minReplicas"], scale["maxReplicas"]) == (2, 9)
    assert {rule["custom"]["metadata"]["lagThreshold"] for rule in scale["rules"]} == {"7"}


def test_there_are_as_many_couriers_as_was_told_and_none_without_subscriptions() -> None:
    program = app_built(SUBSCRIBED, courier_replicas=3)
    assert service(program, "courier")["template"]["scale"] == {"minReplicas": 3, "maxReplicas": 3}
    assert program.exports["courier"] == "shop-courier"
    bare = app_built(PLAN)
    assert by_name(bare, "app:ContainerApp", "containerAppName").keys() == {"shop-gateway", "shop-worker"}
    assert bare.exports["courier"] == ""


def test_what_services_print_is_kept_and_its_key_is_secret(program: Program) -> None:
    logs = one(program, "app:ManagedEnvironment")["appLogsConfiguration"]
    assert logs["destination"] == "log-analytics"
    workspace = one(program, "operationalinsights:Workspace")
    key = Secret(f"{MARK}-{workspace['workspaceName']}")
    assert logs["logAnalyticsConfiguration"]["sharedKey"] == key
    assert (workspace["sku"], workspace["retentionInDays"]) == ({"name": "PerGB2018"}, 30)
