from __future__ import annotations

from pathlib import Path

import pytest
from tests.deploy.capture import capture, capture_file, leaves, plain
from tests.deploy.programs import AZURE
from tests.deploy.services.azure import MARK
from tests.deploy.services.values import Secret, Value

pytestmark = pytest.mark.clouds


def test_what_was_asked_for_is_kept_in_order_with_its_secrets() -> None:
    made = capture_file(AZURE)
    namespace = made.one("azure-native:eventhub:Namespace")
    assert (namespace.name, namespace.parent) == ("events", "")
    assert namespace.inputs["sku"] == {"name": "Standard", "tier": "Standard", "capacity": 1}
    hub = made.one("azure-native:eventhub:EventHub").id
    assert hub.endswith("/resourceGroups/shop/providers/Microsoft.EventHub/namespaces/shop-events/eventhubs/orders")
    key = made.one("azure-native:keyvault:Secret").inputs["properties"]
    assert key == {"value": Secret("planted-secret-of-the-app")}
    assert made.exports["bootstrap"] == "shop-events.servicebus.windows.net:9093"
    assert isinstance(made.exports["producers"], Secret) and MARK in plain(made.exports["producers"])
    order = [resource.name for resource in made.resources]
    assert order.index("group") < order.index("events") < order.index("prepare")
    called = {token.rpartition(":")[2]: arguments for token, arguments in made.calls}
    assert called.keys() == {"listEventHubKeys", "getClientConfig", "getSharedKeys"}
    assert called["listEventHubKeys"]["namespaceName"] == "shop-events"
    with pytest.raises(LookupError, match="2 of azure-native:authorization:RoleAssignment"):
        made.one("azure-native:authorization:RoleAssignment")


def test_a_component_its_children_and_its_outputs() -> None:
    import pulumi
    from pulumi_azure_native import resources

    class Group(pulumi.ComponentResource):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            super().__init__("penstock:test:Group", name, {})
            inner = pulumi.ResourceOptions(parent=self)
            group = resources.ResourceGroup("inner", resource_group_name="shop", opts=inner)
            self.register_outputs({"group": group.name, "key": pulumi.Output.secret("k")})

    made = capture(lambda: Group("outer"))
    outer, inner = made.resources
    assert inner.parent == outer.urn
    assert inner.urn == "urn:pulumi:dev::app::penstock:test:Group$azure-native:resources:ResourceGroup::inner"
    assert outer.outputs == {"group": "shop", "key": Secret("k")}


def test_a_written_project_is_run_in_its_folder_with_its_configuration(tmp_path: Path) -> None:
    main = tmp_path / "__main__.py"
    main.write_text(
        "import pulumi, pathlib, beside\n"
        "config = pulumi.Config()\n"
        "pulumi.export('image', config.require('image'))\n"
        "pulumi.export('key', config.require_secret('key'))\n"
        "pulumi.export('text', pathlib.Path('plan.json').read_text() + beside.NAME)\n"
    )
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "beside.py").write_text("NAME = 'beside'")
    before = Path.cwd()
    made = capture_file(main, {"image": "shop@sha256:0", "key": Secret("k")})
    assert made.exports == {"image": "shop@sha256:0", "key": Secret("k"), "text": "{}beside"}
    assert Path.cwd() == before


def test_what_a_program_raises_is_raised_and_one_run_is_not_the_next() -> None:
    import pulumi

    def wrong() -> None:
        pulumi.export("a", pulumi.Output.from_input(1).apply(lambda one: 1 / 0))

    with pytest.raises(ZeroDivisionError):
        capture(wrong)
    assert capture(lambda: pulumi.export("b", 1)).exports == {"b": 1}


def test_a_function_of_a_cloud_that_nobody_answers_is_told() -> None:
    import pulumi_azure_native as azure

    def asking() -> None:
        azure.resources.get_resource_group_output(resource_group_name="a").apply(print)

    with pytest.raises(Exception, match=r"getResourceGroup: no answer is known"):
        capture(asking)


def test_leaves_are_secret_where_what_holds_them_is() -> None:
    tree: Value = {"a": Secret({"b": ["x"]}), "c": [{"d": 1}]}
    assert list(leaves(tree)) == [("a.b[0]", "x", True), ("c[0].d", 1, False)]
