"""A component of a test's app under Pulumi's mocks, and the objects that it asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.deploy.capture import Program, capture, plain
from tests.deploy.components import IMAGE
from tests.deploy.plans import PLAN, SUBSCRIBED, plan_of
from tests.deploy.services.values import Value

from penstock.deploy.requirements import requirements_of

COMPONENT = "penstock:kubernetes:PenstockApp"
MINIMUM: Mapping[str, Any] = {
    "plan": PLAN,
    "image": IMAGE,
    "log": "kafka://broker-1:9092,broker-2:9093",
    "artifacts": "s3://models/shop",
    "namespace": "ml",
    "settings": {"RISKS_URL": "https://risks.example"},
    "secrets": {"API_KEY": "hush"},
}


@dataclass(frozen=True, slots=True)
class MadeObjects:
    """``program``: of which they are."""

    program: Program

    @property
    def outputs(self) -> Mapping[str, Value]:
        """Of the component."""
        return self.program.one(COMPONENT).outputs

    @property
    def objects(self) -> list[Mapping[str, Any]]:
        """Those of Kubernetes, in the order in which they were asked for."""
        return [plain(made.inputs) for made in self.program.resources if "apiVersion" in made.inputs]

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [made for made in self.objects if made["kind"] == kind]

    def one(self, kind: str, name: str) -> Mapping[str, Any]:
        (found,) = (made for made in self.of(kind) if made["metadata"]["name"] == name)
        return found

    def pod(self, service: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.one("Deployment", service)["spec"]["template"]["spec"]
        return found

    def container(self, service: str) -> Mapping[str, Any]:
        (found,) = self.pod(service)["containers"]
        return found  # type: ignore[no-any-return]

    def env(self, service: str) -> dict[str, str]:
        """By variable: the kind, name and key that it refers to."""
        found = {}
        for each in self.container(service)["env"]:
            ((kind, ref),) = each["valueFrom"].items()
            found[each["name"]] = f"{kind.removesuffix('KeyRef')} {ref['name']} {ref['key']}"
        return found


def app_of(example: str, **changed: Any) -> MadeObjects:
    """The same of an example app; its values are made up."""
    plan = plan_of(example)
    needed = requirements_of(plan)
    values = {
        "settings": {one.name: "x" for one in needed.settings},
        "secrets": {one.name: "x" for one in needed.secrets},
    }
    return shop(**{"plan": plan, **values, **changed})


def credentials(services: Sequence[str] = ("gateway", "worker")) -> Mapping[str, Any]:
    from penstock.deploy.kubernetes import KafkaCredentials

    return {who: KafkaCredentials(f"shop-{who}", f"password-of-{who}") for who in (*services, "scaler")}


def delivering(**changed: Any) -> MadeObjects:
    """With subscriptions."""
    plan = changed.pop("plan", SUBSCRIBED)
    hooks = {secret.name: "hook-hush" for secret in requirements_of(plan).secrets if secret.name != "API_KEY"}
    return shop(plan=plan, secrets={**MINIMUM["secrets"], **hooks}, **changed)


def shop(**changed: Any) -> MadeObjects:
    """What a component of the minimum with these arguments asks for."""
    return MadeObjects(capture(lambda: component(**changed)))


def component(name: str = "shop", **changed: Any) -> Any:
    from penstock.deploy.kubernetes import PenstockApp, PenstockAppArgs

    return PenstockApp(name, PenstockAppArgs(**{**MINIMUM, **changed}))
