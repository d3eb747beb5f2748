"""What access takes of a cloud, and who outside may do what with an app's own things."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.deploy.components import ADMIN, asked
from tests.deploy.plans import PLAN, SUBSCRIBED

from penstock.access.admin import ADMIN_KEY
from penstock.access.audit import AUDIT
from penstock.access.rights import ROLES, Rights
from penstock.access.sas import SECRET
from penstock.batch import TopicSpec
from penstock.declare.planning.findings import Finding
from penstock.deploy.access import DoorAccess, checked_secret, is_open, outside_rights, with_access
from penstock.deploy.arguments import opened
from penstock.deploy.azure.args import PenstockAppArgs as AzureArgs
from penstock.deploy.azure.args import checked as checked_for_azure
from penstock.deploy.drawing import graph_of
from penstock.deploy.kubernetes.args import Ingress
from penstock.deploy.kubernetes.args import PenstockAppArgs as KubernetesArgs
from penstock.deploy.kubernetes.args import checked as checked_for_kubernetes
from penstock.deploy.requirements import Requirements, requirements_of
from penstock.deploy.table import outside_rows
from penstock.deploy.targets import TARGETS, not_held
from penstock.errors import DeclarationError
from penstock.plan.references import ReferenceSpec

IMAGE = f"r.example/shop@sha256:{'0a' * 32}"
COMMON: dict[str, Any] = {"plan": PLAN, "image": IMAGE, "settings": {"RISKS_URL": "u"}}
KEYED: dict[str, Any] = {"access": "keys", "secrets": {"API_KEY": "k", ADMIN_KEY: ADMIN}}
BROKERS: dict[str, Any] = {"log": "kafka://b:9092", "artifacts": "s3://models", "namespace": "ml"}
WAY = Ingress("events.example.com", "nginx", "tls", "ingress-nginx")


def told(target: str, **changed: Any) -> Requirements:
    if target == "azure":
        return checked_for_azure(AzureArgs(**{**COMMON, **KEYED, "ingress": True, **changed})).needed
    return checked_for_kubernetes(KubernetesArgs(**{**COMMON, **KEYED, **BROKERS, "ingress": WAY, **changed})).needed


@pytest.mark.parametrize("word", ["key", "keys,saml", "oidc", "sas,oidc", ",", "keys;oidc"])
def test_another_word_is_refused(word: str) -> None:
    with pytest.raises(DeclarationError, match=r"access: .* there are keys, and beside it oidc and sas"):
        DoorAccess.parse(word)


def test_each_word_has_its_secrets() -> None:
    assert DoorAccess.parse("") is None
    found = {word: DoorAccess.parse(word) for word in ("keys", "sas, keys", "keys,oidc")}
    assert {word: (access.word, list(access.secrets)) for word, access in found.items() if access} == {
        "keys": ("keys", [ADMIN_KEY]),
        "sas, keys": ("keys,sas", [ADMIN_KEY, SECRET]),
        "keys,oidc": ("keys,oidc", [ADMIN_KEY, *(f"PENSTOCK_OIDC_{name}" for name in ("ISSUER", "AUDIENCE", "ROLES"))]),
    }
    further = DoorAccess.parse("keys,oidc", ["PENSTOCK_OIDC_LEEWAY", "PENSTOCK_OIDC_LEWAY", "API_KEY"])
    assert further is not None and list(further.secrets)[-1] == "PENSTOCK_OIDC_LEEWAY" and further.has_tokens


def check_least(needed: Requirements, bare: Requirements) -> None:
    more = {(right.who, right.verb, right.what) for right in needed.rights}
    more -= {(right.who, right.verb, right.what) for right in bare.rights}
    assert more == {
        ("penstock.gateway", "append", AUDIT),
        ("penstock.gateway", "read", AUDIT),
        *(("penstock.gateway", "secret", name) for name in asked().secrets),
    }, "access gives somebody else a right, or the gateway another"


def test_the_gateway_alone_has_what_access_takes() -> None:
    bare = requirements_of(SUBSCRIBED)
    needed = with_access(bare, asked())
    check_least(needed, bare)
    assert [log.name for log in needed.logs if log.is_internal][-1] == AUDIT and is_open(needed) and not is_open(bare)
    assert with_access(bare, None) is bare
    check_told_alone(needed)


def check_told_alone(needed: Requirements) -> None:
    for service in ("worker", "courier"):
        told = set(needed.secrets_of(service)) & set(asked().secrets)
        assert not told, f"the {service} is told what is the gateway's"


def test_mutant_that_tells_the_worker_the_sas_secret_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy import access

    monkeypatch.setattr(access, "GATEWAY", "worker")
    with pytest.raises(AssertionError, match="the worker is told what is the gateway's"):
        check_told_alone(with_access(requirements_of(SUBSCRIBED), asked()))


@pytest.mark.parametrize("name", [ADMIN_KEY, SECRET, "PENSTOCK_OIDC_ROLES"])
@pytest.mark.parametrize("kind", ["env", "secret"])
def test_an_app_that_looks_up_what_is_the_gateways_is_refused(kind: Any, name: str) -> None:
    nosy = replace(PLAN, resources=(replace(PLAN.resources[0], references=(ReferenceSpec(kind, name),)),))
    with pytest.raises(DeclarationError, match=f"app.py:10: the app looks up '{name}', which is the gateway's alone"):
        with_access(requirements_of(nosy), DoorAccess.parse("keys"))


# -- what a component is told ------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nobody is asked": ({"access": "", "secrets": {"API_KEY": "k"}}, 'ingress: it would let everybody.*access="keys"'),
    "another word": ({"access": "key"}, "access: 'key': there are keys"),
    "no first key": (
        {"secrets": {"API_KEY": "k"}},
        "app.py:1: access: PENSTOCK_ADMIN_KEY has no value, the first key.*\n.*secrets={'PENSTOCK_ADMIN_KEY'",
    ),
    "a first key that is none": ({"secrets": {"API_KEY": "k", ADMIN_KEY: "hush"}}, "PENSTOCK_ADMIN_KEY is no key"),
    "a short secret": (
        {"access": "keys,sas", "secrets": {**KEYED["secrets"], SECRET: "hush"}},
        "PENSTOCK_SAS_SECRET has fewer than 32 characters",
    ),
    "no issuer": ({"access": "keys,oidc"}, "access: PENSTOCK_OIDC_ISSUER has no value"),
    "an issuer that nobody asked for": (
        {"secrets": {**KEYED["secrets"], "PENSTOCK_OIDC_ISSUER": "https://id.example"}},
        "secrets: the app looks up no 'PENSTOCK_OIDC_ISSUER'",
    ),
    "the first key in the clear": (
        {"settings": {"RISKS_URL": "u", ADMIN_KEY: ADMIN}},
        "settings: 'PENSTOCK_ADMIN_KEY' is a secret",
    ),
}


def refused(target: str, case: str) -> None:
    changed, message = WRONG[case]
    with pytest.raises(DeclarationError, match=f"(?s){message}") as refusal:
        told(target, **changed)
    assert "hush" not in str(refusal.value) and ADMIN not in str(refusal.value)


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("target", TARGETS)
def test_what_cannot_be_is_refused_with_what_to_write(target: str, case: str) -> None:
    refused(target, case)


@pytest.mark.parametrize("target", TARGETS)
def test_mutant_of_an_ingress_that_needs_no_access_is_caught(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    args = importlib.import_module(f"penstock.deploy.{target}.args")
    monkeypatch.setattr(args, "opened", lambda *given, has_ingress: opened(*given, has_ingress=False))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        refused(target, "nobody is asked")


@pytest.mark.parametrize("target", TARGETS)
def test_what_just_fits_is_taken(target: str) -> None:
    assert is_open(told(target))
    closed: Any = {"ingress": False if target == "azure" else None}
    assert is_open(told(target, **closed))
    assert not is_open(told(target, **closed, access="", secrets={"API_KEY": "k"}))
    assert checked_secret("API_KEY", "anything") == "anything"


def test_a_request_that_the_platform_would_end_is_refused() -> None:
    slow = {"RISKS_URL": "u", "PENSTOCK_WAIT_LIMIT": "171"}
    with pytest.raises(
        DeclarationError, match="ingress: a request may take 241 seconds, and the platform ends it after"
    ):
        told("azure", settings=slow)
    assert is_open(told("azure", settings={**slow, "PENSTOCK_WAIT_LIMIT": "170"}))
    assert is_open(told("azure", settings=slow, ingress=False)) and is_open(told("kubernetes", settings=slow))


@pytest.mark.parametrize(
    "host", ["https://events.example.com", "events", "Events.example.com", "a..b", "-a.b", "a.b:8"]
)
def test_no_name_of_a_host_is_refused(host: str) -> None:
    with pytest.raises(DeclarationError, match=r"ingress: .* is no name of a host"):
        told("kubernetes", ingress=replace(WAY, host=host))


def test_the_audit_counts_among_the_hubs() -> None:
    def beyond(access: DoorAccess | None) -> list[Finding]:
        topics = tuple(replace(PLAN.topics[0], name=f"t{n}", place=f"app.py:{n}") for n in range(4))
        return not_held(replace(PLAN, topics=(*PLAN.topics, *topics)), "azure", access)

    assert beyond(None) == []
    (found,) = beyond(asked())
    assert "topic 't3' would be the hub number 11: the app has 7 topics and Penstock 4" in found.message


# -- who may do what from outside --------------------------------------------


def check_outside(needed: Requirements) -> None:
    for role, verb, name in outside_rights(needed):
        assert Rights.parse(ROLES[role]).may(verb, name), f"{role} may not {verb} {name}"


def test_who_outside_may_do_what_follows_from_the_roles() -> None:
    needed = with_access(requirements_of(SUBSCRIBED), asked())
    check_outside(needed)
    rows = {(row["who"], row["right"]): row["what"] for row in outside_rows(needed)}
    assert rows["publisher", "append"] == rows["reader", "read"] == "orders, inputs, scores"
    assert rows["operator", "steer"] == "subscriptions/cases, subscriptions/named, subscriptions/copied"
    assert rows["scorer", "score"] == "models/risk, models/other" and rows["monitor", "look"] == "health"
    assert [who for who, right in rows if right == "manage"] == ["admin"]
    assert [who for (who, right), what in rows.items() if right == "read" and AUDIT in what] == ["admin"]
    assert not list(outside_rows(requirements_of(SUBSCRIBED))), "nobody comes in"


def test_tenants_are_named_beside_the_roles() -> None:
    tx, risks = (TopicSpec(name, domain=True, place=f"app.py:{n}") for n, name in enumerate(("tx", "risks"), 1))
    needed = with_access(requirements_of(replace(PLAN, topics=(*PLAN.topics, tx, risks))), asked())
    rows = {(row["who"], row["right"]): row["what"] for row in outside_rows(needed)}
    assert rows["publisher", "append"].endswith("tx/*, risks/*")
    assert rows["a tenant", "append"] == rows["a tenant", "read"] == "tx/TENANT, risks/TENANT"
    check_outside(needed)


def test_mutant_that_shows_a_reader_the_audit_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.access import rights

    with monkeypatch.context() as patched:
        patched.setattr(rights, "_is_below", lambda name, start: True)
        rows = list(outside_rights(with_access(requirements_of(PLAN), asked())))
    with pytest.raises(AssertionError, match="a reader may read the audit"):
        assert ("reader", "read", AUDIT) not in rows, "a reader may read the audit"


def test_clients_are_drawn_where_they_come_in() -> None:
    drawn = graph_of(with_access(requirements_of(PLAN), asked()))
    assert ("outside", "part penstock.gateway") in drawn.edges
    assert "outside" not in {node.id for node in graph_of(requirements_of(PLAN)).nodes}
