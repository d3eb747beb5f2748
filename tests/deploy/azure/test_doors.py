"""The doors of a gateway on Azure: closed, or open to whoever shows a key, over TLS."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from tests.deploy import strict, wiring
from tests.deploy.azure.built import app_built, by_name, of, one
from tests.deploy.capture import Program
from tests.deploy.components import ADMIN, PLANTED, SECRETS, asked, opened
from tests.deploy.plans import SUBSCRIBED
from tests.deploy.services.values import Secret

from penstock.access.audit import AUDIT

pytestmark = pytest.mark.clouds

TOLD = ("PENSTOCK_ADMIN_KEY", "PENSTOCK_SAS_SECRET", *(f"PENSTOCK_OIDC_{name}" for name in ("ISSUER", "AUDIENCE")))


def built(**changed: Any) -> Program:
    return app_built(SUBSCRIBED, **{**opened("azure", SUBSCRIBED), **changed})


@cache
def open_to_keys() -> Program:
    return built()


def apps(program: Program) -> Mapping[str, Mapping[str, Any]]:
    found = by_name(program, "app:ContainerApp", "containerAppName")
    return {name.removeprefix("shop-"): inputs for name, inputs in found.items()}


def env(program: Program, service: str) -> Mapping[str, Any]:
    (container,) = apps(program)[service]["template"]["containers"]
    return {variable["name"]: variable for variable in container["env"]}


def check_open(program: Program) -> None:
    ingress = {name: inputs["configuration"].get("ingress") for name, inputs in apps(program).items()}
    assert ingress == {
        "gateway": {"external": True, "allowInsecure": False, "targetPort": 8000, "transport": "http"},
        "worker": None,
        "courier": None,
    }
    words = apps(program)["gateway"]["template"]["containers"][0]["args"]
    assert words[-6:] == ["--access", "keys", "--host", "0.0.0.0", "--port", "8000"], "nobody is asked for a key"


def test_the_gateway_alone_is_open_over_tls_and_asks() -> None:
    check_open(open_to_keys())


def test_others_are_told_where_the_doors_are() -> None:
    program = open_to_keys()
    domain = program.one("azure-native:app:ManagedEnvironment").outputs["defaultDomain"]
    url = f"https://shop-gateway.{domain}"
    assert program.exports["public_url"] == url
    told = {name: env(program, name).get("PENSTOCK_PUBLIC_URL", {}).get("value") for name in apps(program)}
    assert told == {"gateway": url, "courier": url, "worker": None}
    proxied = built(settings={"RISKS_URL": "u", "PENSTOCK_PUBLIC_URL": "https://events.example.com"})
    assert env(proxied, "courier")["PENSTOCK_PUBLIC_URL"]["value"] == "https://events.example.com"


def check_told(program: Program) -> None:
    for name in apps(program):
        seen = [variable for variable in TOLD if variable in env(program, name)]
        assert seen == (list(TOLD) if name == "gateway" else []), f"the {name} sees what is the gateway's alone"
        assert all("secretRef" in env(program, name)[variable] for variable in seen), "a secret is in the clear"


def test_what_access_takes_is_told_to_the_gateway_alone_and_out_of_the_vault() -> None:
    program = open_to_keys()
    check_told(program)
    vault = one(program, "keyvault:Vault")["vaultName"]
    kept = {secret["name"]: secret["keyVaultUrl"] for secret in apps(program)["gateway"]["configuration"]["secrets"]}
    assert kept["penstock-sas-secret"] == f"https://{vault}.vault.azure.net/secrets/penstock-sas-secret"
    values = {secret["secretName"]: secret["properties"]["value"] for secret in of(program, "keyvault:Secret")}
    assert values["penstock-admin-key"] == Secret(ADMIN)


def test_mutant_that_tells_the_worker_the_sas_secret_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.requirements import Requirements

    everything = lambda needed, _: [secret.name for secret in needed.secrets]  # noqa: E731
    monkeypatch.setattr(Requirements, "secrets_of", everything)
    program = built()
    with pytest.raises(AssertionError, match=r"the courier sees what is the gateway's alone|the worker sees what"):
        check_told(program)
    found = wiring.check(program, SUBSCRIBED, "azure", asked())
    assert "worker: it sees the secret PENSTOCK_SAS_SECRET, and has no use for it" in found


def test_mutant_that_writes_a_secret_into_the_program_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    import pulumi

    from penstock.deploy.azure import secrets

    monkeypatch.setattr(secrets, "secret_value", lambda values, name: pulumi.Output.from_input(values[name]))
    found = strict.check_whole(built(), SECRETS)
    with pytest.raises(AssertionError, match=r"PENSTOCK_SAS_SECRET: properties.value: a secret in the clear"):
        assert not found, "\n".join(found)


def test_mutant_of_an_ingress_to_doors_that_ask_nobody_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.containers import Doors

    monkeypatch.setattr(Doors, "words", property(lambda _: ["--host", "0.0.0.0", "--port", "8000"]))
    program = built()
    with pytest.raises(AssertionError, match="nobody is asked for a key"):
        check_open(program)
    assert [text for text in wiring.check(program, SUBSCRIBED, "azure", asked()) if "its doors are told" in text]


def test_mutant_of_an_ingress_without_access_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from penstock.deploy import arguments
    from penstock.deploy.azure import args
    from penstock.deploy.containers import Doors

    def careless(*given: Any, has_ingress: bool) -> Any:
        return replace(arguments.opened(*given, has_ingress=False), doors=Doors(asks=False, is_open=has_ingress))

    monkeypatch.setattr(args, "opened", careless)
    found = wiring.check(app_built(SUBSCRIBED, ingress=True), SUBSCRIBED, "azure")
    with pytest.raises(AssertionError, match="gateway: it has an ingress, and nobody is asked for a key"):
        assert not found, "\n".join(found)


def test_with_keys_and_no_ingress_the_doors_ask_and_stay_closed() -> None:
    program = built(ingress=False)
    assert "ingress" not in apps(program)["gateway"]["configuration"] and program.exports["public_url"] == ""
    assert apps(program)["gateway"]["template"]["containers"][0]["args"][-2:] == ["--access", "keys"]
    assert "PENSTOCK_PUBLIC_URL" not in env(program, "courier")


def test_the_audit_is_a_hub_that_the_gateway_alone_comes_to() -> None:
    program = open_to_keys()
    hub = by_name(program, "eventhub:EventHub", "eventHubName")[AUDIT]
    assert hub["partitionCount"] == 1 and hub["retentionDescription"]["retentionTimeInHours"] == 168
    (id_,) = [made.id for made in program.of("azure-native:eventhub:EventHub") if made.inputs["eventHubName"] == AUDIT]
    given = {role["principalId"] for role in of(program, "authorization:RoleAssignment") if role["scope"] == id_}
    gateway = program.one("azure-native:managedidentity:UserAssignedIdentity", "shop-identity-gateway")
    assert given == {gateway.outputs["principalId"]}


def test_what_is_no_key_is_told_without_it_once_it_is_known() -> None:
    import pulumi

    wrong = {**opened("azure", SUBSCRIBED)["secrets"], "PENSTOCK_ADMIN_KEY": f"{PLANTED}-no-key"}
    late = {name: pulumi.Output.from_input(value) if "ADMIN" in name else value for name, value in wrong.items()}
    for secrets in (wrong, late):
        with pytest.raises(Exception, match="PENSTOCK_ADMIN_KEY is no key") as refusal:
            built(secrets=secrets)
        assert f"{PLANTED}-no-key" not in str(refusal.value)
