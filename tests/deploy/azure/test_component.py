"""The component as a whole, on the SDK's mocks: what it makes for each app, what it refuses, what it can be beside."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from tests.deploy.azure.built import IMAGE, REGISTRY, app_built, by_name, connection, made, of, one, plan_built
from tests.deploy.capture import Captured, Program, capture, leaves
from tests.deploy.components import PLANTED, example
from tests.deploy.plans import APPS, DAY_US, PLAN, plan_of
from tests.deploy.services.azure import MARK, PREFIX
from tests.deploy.services.values import Secret, Value

from penstock.deploy.requirements import requirements_of
from penstock.errors import CannotStart, DeclarationError
from penstock.plan.plan import Plan

pytestmark = pytest.mark.clouds

JSON = replace(PLAN, topics=tuple(replace(topic, encoding="json") for topic in PLAN.topics))
TAKE_NO_TAGS = {
    "eventhub:EventHub", "eventhub:ConsumerGroup", "eventhub:EventHubAuthorizationRule", "storage:BlobContainer",
    "authorization:RoleAssignment",
}  # fmt: skip


@pytest.fixture(scope="module")
def shop() -> Program:
    return app_built(JSON, registry=REGISTRY, tags={"team": "risk"})


def check_sound(program: Program) -> None:
    """What no mock looks at."""
    assert program.exports and "None" not in " ".join(texts(program.exports)), (
        f"something is nothing: {program.exports}"
    )
    names = [(asked.type, asked.name) for asked in program.resources]
    assert len(set(names)) == len(names), "two resources have one URN"
    ids = [asked.id.lower() for asked in made(program)]
    assert len(set(ids)) == len(ids), "two resources have one id"
    assert all("PenstockApp" in asked.parent for asked in made(program)), "a resource is not the component's"


@pytest.mark.parametrize("app", APPS)
def test_every_example_is_built(app: str) -> None:
    needed, program = requirements_of(example(app)), plan_built(example(app))
    check_sound(program)
    counts = {
        kind: len(of(program, kind)) for kind in ("eventhub:EventHub", "storage:BlobContainer", "app:ContainerApp")
    }
    assert list(counts.values()) == [len(needed.logs), len(needed.stores), len(needed.services)]


def test_an_app_that_cannot_be_held_is_refused_with_its_line() -> None:
    with pytest.raises(DeclarationError, match=r"app.py:\d+: topic 'scores' is kept for 90 days"):
        app_built(plan_of("fraud"))


def test_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed and not judged: it is the SDK's own time, and the machine's."""
    plan = plan_of("flights")
    begun, cpu = time.perf_counter(), time.process_time()
    count = len(made(app_built(plan)))
    with capsys.disabled():
        took, worked = time.perf_counter() - begun, time.process_time() - cpu
        print(f"\nflights on Azure under mocks: {count} resources, {took:.1f} s, {worked:.1f} s of CPU")


# -- what cannot be ----------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": "shop:1"}, "names no digest"),
        ({"secrets": {}}, "has no value"),
        ({"worker_cpu": 3.0}, "worker_cpu: 3.0 is not"),
        ({"key_vault": "-"}, "key_vault: '-' is not"),
        ({"plan": "none.json"}, "plan: none.json"),
    ],
)
def test_nothing_is_made_of_what_is_refused(given: dict[str, Any], message: str) -> None:
    from penstock.deploy.azure import PenstockApp, PenstockAppArgs

    enough: dict[str, Any] = {
        "plan": PLAN,
        "image": IMAGE,
        "secrets": {"API_KEY": PLANTED},
        "settings": {"RISKS_URL": "u"},
    }

    def program() -> None:
        with pytest.raises(DeclarationError, match=message):
            PenstockApp("shop", PenstockAppArgs(**{**enough, **given}))

    assert capture(program).resources == ()


def test_an_image_that_is_known_later_is_refused_then() -> None:
    import pulumi

    from penstock.deploy.azure import PenstockApp, PenstockAppArgs

    def program() -> None:
        image = pulumi.Output.from_input("shop:1")
        PenstockApp("shop", PenstockAppArgs(plan=replace(PLAN, stages=(), resources=()), image=image))

    with pytest.raises(DeclarationError, match="image: 'shop:1' names no digest"):
        capture(program)


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from penstock.deploy import azure

    monkeypatch.delitem(sys.modules, "penstock.deploy.azure.component", raising=False)
    monkeypatch.setitem(sys.modules, "pulumi", None)
    with pytest.raises(CannotStart, match=r"pip install 'penstock-ml\[azure\]'"):
        azure.PenstockApp  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'App'"):
        azure.App  # noqa: B018


# -- outputs and tags --------------------------------------------------------


def test_outputs_are_what_a_user_connects_to(shop: Program) -> None:
    assert shop.exports == shop.one("penstock:azure:PenstockApp").outputs
    namespace = one(shop, "eventhub:Namespace")["namespaceName"]
    account = one(shop, "storage:StorageAccount")["accountName"]
    assert shop.exports == {
        "resource_group": "shop-dev",
        "namespace": namespace,
        "kafka_endpoint": f"{namespace}.servicebus.windows.net:9093",
        "producer_connections": Secret({"orders": connection(shop, "orders", "producers")}),
        "artifacts_url": f"https://{account}.blob.core.windows.net/artifacts",
        "gateway": "shop-gateway",
        "worker": "shop-worker",
        "courier": "",
        "public_url": "",
    }


def test_no_secret_is_in_the_clear(shop: Program) -> None:
    check_secrets(shop)


def texts(value: Value) -> list[str]:
    """All that are in the clear."""
    return [str(leaf) for _, leaf, is_secret in leaves(value) if not is_secret]


def check_secrets(program: Program) -> None:
    told = texts(program.exports) + [text for asked in made(program) for text in texts(asked.inputs)]
    shown = [text for text in told if PLANTED in text or MARK in text]
    assert not shown, f"in the clear: {shown}"


def test_a_secret_in_the_clear_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import pulumi

    monkeypatch.setattr(pulumi.Output, "secret", pulumi.Output.from_input)
    with pytest.raises(AssertionError, match=r"in the clear: .*planted-secret-orders-producers"):
        check_secrets(app_built(JSON))


def test_tags_are_on_all_that_takes_them(shop: Program) -> None:
    without = {asked.type for asked in made(shop) if asked.inputs.get("tags") != {"team": "risk"}}
    assert without == {PREFIX + kind for kind in TAKE_NO_TAGS}


def test_without_producers_there_is_nobody_to_connect() -> None:
    assert plan_built(PLAN).exports["producer_connections"] == Secret({})


# -- beside others -----------------------------------------------------------


def together(*plans: tuple[str, Plan]) -> Program:
    """In the user's own resource group."""

    def program() -> None:
        import pulumi
        from pulumi_azure_native import resources, storage

        from penstock.deploy.azure import PenstockApp, PenstockAppArgs

        group = resources.ResourceGroup("mine", resource_group_name="mine", location="westeurope")
        storage.StorageAccount(
            "mine", account_name="mine", resource_group_name=group.name, kind=storage.Kind.STORAGE_V2,
            sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
        )  # fmt: skip
        for name, plan in plans:
            args = PenstockAppArgs(
                plan=plan, image=pulumi.Output.from_input(IMAGE), location=group.location, resource_group=group.name,
                secrets={"API_KEY": pulumi.Output.secret(PLANTED)},
                settings={"RISKS_URL": pulumi.Output.from_input("u")},
            )  # fmt: skip
            pulumi.export(name, PenstockApp(name, args).kafka_endpoint)

    return capture(program)


def of_apps(program: Program) -> list[Captured]:
    return [asked for asked in program.resources if "PenstockApp" in asked.parent]


def test_two_apps_are_in_one_program_and_one_group_beside_the_users_own() -> None:
    program = together(("first", PLAN), ("second", replace(PLAN, app="shop-two")))
    assert len(of(program, "resources:ResourceGroup")) == 1
    assert all(asked.inputs.get("resourceGroupName", "mine") == "mine" for asked in of_apps(program))
    check_apart(program)
    assert len(program.exports) == 2 and len(set(program.exports.values())) == 2


def check_apart(program: Program) -> None:
    ids = [asked.id.lower() for asked in made(program)]
    assert len(set(ids)) == len(ids), "two resources have one id"
    roles = [role["roleAssignmentName"] for role in of(program, "authorization:RoleAssignment")]
    assert len(set(roles)) == len(roles), "two roles have one name"


def test_one_app_twice_in_one_group_is_found() -> None:
    with pytest.raises(AssertionError, match="two resources have one id"):
        check_apart(together(("first", PLAN), ("second", PLAN)))


def test_a_group_of_its_own_is_made_for_app_and_stack() -> None:
    group = one(plan_built(PLAN), "resources:ResourceGroup")
    assert (group["resourceGroupName"], group["location"]) == ("shop-dev", "westeurope")


def test_a_topic_that_is_kept_for_a_day_is_a_hub_that_is() -> None:
    short = replace(PLAN, topics=(replace(PLAN.topics[0], retain_us=DAY_US), *PLAN.topics[1:]))
    hub = by_name(app_built(short), "eventhub:EventHub", "eventHubName")["orders"]
    assert hub["retentionDescription"] == {"cleanupPolicy": "Delete", "retentionTimeInHours": 24}
