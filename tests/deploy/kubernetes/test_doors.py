"""The doors of a gateway on Kubernetes: closed, or open by an Ingress over TLS to whoever shows a key."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from tests.deploy import strict, wiring
from tests.deploy.capture import capture
from tests.deploy.components import SECRETS, asked, component, opened
from tests.deploy.kubernetes.objects import MadeObjects
from tests.deploy.plans import SUBSCRIBED
from tests.deploy.wiring.ways_in import CONTROLLER

pytestmark = pytest.mark.clouds

SERVICES = ("shop-gateway", "shop-worker", "shop-courier")
NGINX = "nginx.ingress.kubernetes.io"


def built(**changed: Any) -> MadeObjects:
    arguments = {**opened("kubernetes", SUBSCRIBED), **changed}
    return MadeObjects(capture(component("kubernetes", SUBSCRIBED, **arguments)))


@cache
def open_to_keys() -> MadeObjects:
    return built()


def check_open(made: MadeObjects) -> None:
    (service,), (ingress,) = made.of("Service"), made.of("Ingress")
    assert service["spec"]["selector"]["app.kubernetes.io/component"] == "gateway"
    assert service["spec"]["ports"] == [{"name": "doors", "port": 80, "targetPort": "doors", "protocol": "TCP"}]
    ports = {name: [port["name"] for port in made.container(name)["ports"]] for name in SERVICES}
    assert ports == {"shop-gateway": ["probes", "doors"], "shop-worker": ["probes"], "shop-courier": ["probes"]}
    assert ingress["spec"]["tls"] == [{"hosts": ["events.example.com"], "secretName": "shop-tls"}]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["events.example.com"]
    words = made.container("shop-gateway")["args"]
    assert words[-6:] == ["--access", "keys", "--host", "0.0.0.0", "--port", "8000"], "nobody is asked for a key"


def test_the_gateway_alone_is_open_over_tls_and_asks() -> None:
    check_open(open_to_keys())


def test_the_controller_alone_comes_to_the_doors() -> None:
    home = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": CONTROLLER}}}
    let_in = {name: open_to_keys().one("NetworkPolicy", name)["spec"]["ingress"] for name in SERVICES}
    assert let_in == {
        "shop-gateway": [{"from": [home], "ports": [{"protocol": "TCP", "port": 8000}]}],
        "shop-worker": [],
        "shop-courier": [],
    }


def limits(made: MadeObjects) -> dict[str, str]:
    (ingress,) = made.of("Ingress")
    found: dict[str, str] = ingress["metadata"]["annotations"]
    return {name.removeprefix(f"{NGINX}/"): value for name, value in found.items()}


def test_the_ingress_takes_what_the_doors_take() -> None:
    wanted = {"proxy-read-timeout": "100", "proxy-send-timeout": "100", "ssl-redirect": "true"}
    assert limits(open_to_keys()) == {**wanted, "proxy-body-size": str(32 << 20)}
    settings = {"RISKS_URL": "u", "PENSTOCK_BODY_LIMIT": "1048576", "PENSTOCK_WAIT_LIMIT": "120.5"}
    ingress = opened("kubernetes", SUBSCRIBED)["ingress"]
    own = type(ingress)("a.example", "nginx", "tls", CONTROLLER, {f"{NGINX}/ssl-redirect": "false", "other": "1"})
    assert limits(built(settings=settings, ingress=own)) == {
        "proxy-body-size": "1048576", "proxy-read-timeout": "191", "proxy-send-timeout": "191",
        "ssl-redirect": "false", "other": "1",
    }  # fmt: skip


def test_others_are_told_where_the_doors_are() -> None:
    made = open_to_keys()
    assert made.outputs["public_url"] == "https://events.example.com"
    for name in ("shop-gateway", "shop-courier"):
        assert made.env(name)["PENSTOCK_PUBLIC_URL"] == f"configMap {name}-settings PENSTOCK_PUBLIC_URL"
        settings = made.one("ConfigMap", f"{name}-settings")["data"]
        assert settings["PENSTOCK_PUBLIC_URL"] == "https://events.example.com"
    assert "PENSTOCK_PUBLIC_URL" not in made.env("shop-worker")


def check_told(made: MadeObjects) -> None:
    for name in SERVICES:
        seen = sorted(set(made.env(name)) & set(asked().secrets))
        assert seen == (sorted(asked().secrets) if name == "shop-gateway" else []), f"{name} sees what is the gateway's"
        for variable in seen:
            key = variable.lower().replace("_", "-")
            assert made.env(name)[variable] == f"secret shop-{key} {variable}", "a secret is in the clear"


def test_what_access_takes_is_told_to_the_gateway_alone_and_of_secrets() -> None:
    check_told(open_to_keys())
    assert strict.check_whole(open_to_keys().program, SECRETS) == []


def test_mutant_that_tells_the_worker_the_sas_secret_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.requirements import Requirements

    everything = lambda needed, _: [secret.name for secret in needed.secrets]  # noqa: E731
    monkeypatch.setattr(Requirements, "secrets_of", everything)
    made = built()
    with pytest.raises(AssertionError, match="shop-worker sees what is the gateway's"):
        check_told(made)
    found = wiring.check(made.program, SUBSCRIBED, "kubernetes", asked())
    assert "worker: it sees the secret PENSTOCK_SAS_SECRET, and has no use for it" in found


def test_mutant_that_writes_a_secret_into_a_config_map_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.kubernetes import secrets

    monkeypatch.setattr(secrets, "secret_object", secrets.config_map)
    kept = wiring.check(built().program, SUBSCRIBED, "kubernetes", asked())
    with pytest.raises(AssertionError, match=r"nobody lets it: .*'gateway'.*'PENSTOCK_SAS_SECRET'"):
        assert not kept, "\n".join(kept)
    monkeypatch.setattr(secrets, "secret_value", lambda values, name: values[name])
    shown = strict.check_whole(built().program, SECRETS)
    with pytest.raises(AssertionError, match=r"ConfigMap shop-PENSTOCK_SAS_SECRET: .* a secret in the clear"):
        assert not shown, "\n".join(shown)


def test_mutant_of_an_ingress_without_access_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from penstock.deploy import arguments
    from penstock.deploy.containers import Doors
    from penstock.deploy.kubernetes import args

    def careless(*given: Any, has_ingress: bool) -> Any:
        return replace(arguments.opened(*given, has_ingress=False), doors=Doors(asks=False, is_open=has_ingress))

    monkeypatch.setattr(args, "opened", careless)
    program = capture(component("kubernetes", SUBSCRIBED, ingress=opened("kubernetes", SUBSCRIBED)["ingress"]))
    found = wiring.check(program, SUBSCRIBED, "kubernetes")
    with pytest.raises(AssertionError, match="gateway: it has an ingress, and nobody is asked for a key"):
        assert not found, "\n".join(found)


def test_mutant_of_an_ingress_without_a_certificate_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from pulumi_kubernetes.networking import v1

    monkeypatch.setattr(v1, "IngressTLSArgs", lambda hosts, secret_name: None)
    found = wiring.check(built().program, SUBSCRIBED, "kubernetes", asked())
    with pytest.raises(
        AssertionError, match=r"no certificate is for .*events.example.com.*: keys may come in the clear"
    ):
        assert not found, "\n".join(found)


def test_with_keys_and_no_ingress_the_doors_ask_and_stay_closed() -> None:
    made = built(ingress=None)
    assert made.of("Service") == made.of("Ingress") == [] and made.outputs["public_url"] == ""
    assert made.container("shop-gateway")["args"][-2:] == ["--access", "keys"]
    assert "PENSTOCK_PUBLIC_URL" not in made.env("shop-courier")


def test_the_audit_is_a_topic_that_the_gateway_alone_comes_to() -> None:
    outputs: Any = open_to_keys().outputs
    (topic,) = [command for command in outputs["kafka_topics"] if "penstock.audit" in command]
    assert "--topic shop.penstock.audit --partitions 1" in topic and "retention.ms=-1" in topic
    rules = [row for row in outputs["kafka_acls"] if "penstock.audit" in row["command"]]
    assert {row["service"] for row in rules} == {"gateway"}
    assert {row["command"].split("--operation ")[1].split()[0] for row in rules} == {
        "Read", "Write", "Describe", "DescribeConfigs",
    }  # fmt: skip


def check_issuer(made: MadeObjects) -> None:
    out = {
        name: {port["port"] for way in made.one("NetworkPolicy", name)["spec"]["egress"] for port in way["ports"]}
        for name in SERVICES[:2]
    }
    assert {name: 443 in ports for name, ports in out.items()} == {"shop-gateway": True, "shop-worker": False}, (
        "the gateway does not come to the issuer's keys, or somebody else does"
    )


VOLUME = {"artifacts": "file:///artifacts/shop", "artifacts_claim": "models", "artifact_credentials": {}}


def test_a_gateway_that_takes_tokens_comes_to_the_issuer() -> None:
    """Also where models are on a volume, so that nothing else leads to that port."""
    check_issuer(built(**VOLUME))


def test_mutant_that_keeps_the_gateway_from_the_issuer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.access import DoorAccess

    monkeypatch.setattr(DoorAccess, "has_tokens", False)
    with pytest.raises(AssertionError, match="the gateway does not come to the issuer's keys"):
        check_issuer(built(**VOLUME))
