"""The components of both targets, for an app, with all that they can be given."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.deploy.plans import DAY_US, plan_of
from tests.deploy.wiring.ways_in import CONTROLLER

from penstock.access.admin import ADMIN_KEY
from penstock.access.oidc.open import FIELDS
from penstock.deploy.access import DoorAccess
from penstock.deploy.requirements import requirements_of
from penstock.plan.plan import Plan

IMAGE = f"registry.example/penstock@sha256:{'0a' * 32}"
ADMIN = "psk_000000000000000000000000000000000Dqkal"  # a whole key, and nobody's
PLANTED = "planted-value"  # in every secret that is given: whoever shows it has shown a secret
SECRETS = (PLANTED, ADMIN)


def held(plan: Plan) -> Plan:
    """With no topic kept for longer than a hub keeps it, nor for ever."""
    week = 7 * DAY_US
    topics = tuple(replace(topic, retain_us=min(topic.retain_us or week, week)) for topic in plan.topics)
    return replace(plan, topics=topics)


def example(app: str) -> Plan:
    return held(plan_of(app))


def component(target: str, plan: Plan, **changed: Any) -> Callable[[], object]:
    """A program of one component, whose outputs are exported; ``changed`` are arguments of it."""

    def program() -> None:
        import pulumi

        there = importlib.import_module(f"penstock.deploy.{target}")
        app = there.PenstockApp(plan.app, there.PenstockAppArgs(**{**given(target, plan), **changed}))
        for name in there.PenstockApp.__annotations__:
            pulumi.export(name, getattr(app, name))

    return program


def opened(target: str, plan: Plan, access: str = "keys,oidc,sas") -> Mapping[str, Any]:
    """The arguments besides, with which the doors are open from outside."""
    values = {name: f"{PLANTED}-of-{name}-that-is-long-enough" for name in asked(access).secrets}
    found = {"access": access, "secrets": {**given(target, plan)["secrets"], **values, ADMIN_KEY: ADMIN}}
    if target == "azure":
        return {**found, "ingress": True}
    there = importlib.import_module("penstock.deploy.kubernetes")
    return {**found, "ingress": there.Ingress("events.example.com", "nginx", "shop-tls", CONTROLLER)}


def asked(access: str = "keys,oidc,sas") -> DoorAccess:
    found = DoorAccess.parse(access, [f"PENSTOCK_OIDC_{name}" for name in FIELDS])
    assert found is not None
    return found


def given(target: str, plan: Plan) -> Mapping[str, Any]:
    """The component's arguments."""
    needed = requirements_of(plan)
    common = {
        "plan": plan,
        "image": IMAGE,
        "secrets": {secret.name: f"{PLANTED}-{secret.name}" for secret in needed.secrets},
        "settings": {setting.name: f"of {setting.name}" for setting in needed.settings if setting.default is None},
    }
    if target == "azure":
        return {**common, "location": "westeurope", "tags": {"team": "shop"}}
    there = importlib.import_module("penstock.deploy.kubernetes")
    users = [*(service.name for service in needed.services), "scaler"]
    return {
        **common,
        "log": "kafka://broker-1:9093,broker-2:9093?security=sasl_ssl&mechanism=SCRAM-SHA-512",
        "artifacts": "s3://models/shop",
        "namespace": "shop",
        "make_namespace": True,
        "kafka_ca": "-----BEGIN CERTIFICATE-----",
        "kafka_credentials": {who: there.KafkaCredentials(f"user-of-{who}", f"{PLANTED}-of-{who}") for who in users},
        "artifact_credentials": {
            who: {"AWS_ACCESS_KEY_ID": f"id-of-{who}", "AWS_SECRET_ACCESS_KEY": f"{PLANTED}-of-{who}"}
            for who in ("gateway", "worker")
        },
        "labels": {"team": "shop"},
    }
