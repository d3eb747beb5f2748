"""The component as it is captured for the tests of this room, and what they look at of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.deploy.capture import Captured, Program, capture
from tests.deploy.components import component
from tests.deploy.services.azure import PREFIX, answer

from penstock.plan.plan import Plan

IMAGE = "shop.azurecr.io/shop@sha256:" + "0a" * 32
REGISTRY = "/subscriptions/s/resourceGroups/images/providers/Microsoft.ContainerRegistry/registries/shop"


def app_built(plan: Plan, **args: Any) -> Program:
    """The component alone, with a value for all that the plan looks up; its outputs are exported."""
    return capture(component("azure", plan, **{"image": IMAGE, **args}))


@cache
def plan_built(plan: Plan) -> Program:
    """Once: nobody changes it."""
    return app_built(plan)


def made(program: Program) -> list[Captured]:
    """What providers make: all but components."""
    return [resource for resource in program.resources if resource.id]


def of(program: Program, kind: str) -> list[Mapping[str, Any]]:
    """The inputs of each. ``kind`` without the provider: ``eventhub:EventHub``."""
    return [resource.inputs for resource in program.of(PREFIX + kind)]


def one(program: Program, kind: str) -> Mapping[str, Any]:
    """Raises ``LookupError`` where there is none, or more than one."""
    return program.one(PREFIX + kind).inputs


def by_name(program: Program, kind: str, name: str) -> Mapping[Any, Mapping[str, Any]]:
    """By the input ``name``."""
    return {inputs[name]: inputs for inputs in of(program, kind)}


def connection(program: Program, hub: str, rule: str) -> str:
    """What the service answers to whoever asks for the rule's connection string."""
    asked = {"namespaceName": one(program, "eventhub:Namespace")["namespaceName"], "eventHubName": hub}
    given = answer("azure-native:eventhub:listEventHubKeys", {**asked, "authorizationRuleName": rule})
    return str(given["primaryConnectionString"])
