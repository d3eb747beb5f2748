"""The components of both targets, for each example app, on the real engine with stand-in providers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.deploy.components import SECRETS, component, example, opened
from tests.deploy.engine.fixtures import engine_or_skip
from tests.deploy.plans import SUBSCRIBED

from penstock.deploy.targets import TARGETS

OPEN = "shop with access"

pytestmark = [pytest.mark.clouds, pytest.mark.xdist_group("pulumi engine")]


@pytest.fixture(scope="module")
def engine() -> Path:
    return engine_or_skip()


@pytest.mark.parametrize("name", ["shop", OPEN, "flights", "fraud", "quickstart"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_component_is_made_is_the_same_again_and_is_removed(
    target: str, name: str, engine: Path, tmp_path: Path
) -> None:
    from tests.deploy.engine.stacks import engine_stack

    plan = SUBSCRIBED if name in ("shop", OPEN) else example(name)
    program = component(target, plan, **(opened(target, plan) if name == OPEN else {}))
    with engine_stack(engine, tmp_path, program) as stack:
        asked = stack.preview()
        assert set(asked) == {"create"}
        exports = stack.up()
        assert exports
        assert len(stack.cloud().resources) == asked["create"] - 2  # the stack is one too, and the component
        assert stack.dangling() == []
        assert not [secret for secret in ("planted-secret", *SECRETS) if secret in stack.state()]
        assert stack.preview() == {"same": asked["create"]}
        stack.destroy()
        assert stack.cloud().resources == {}


@pytest.mark.skipif(os.environ.get("PENSTOCK_REAL_CLOUD") != "azure", reason="PENSTOCK_REAL_CLOUD is not azure")
def test_a_component_on_azure_itself(tmp_path: Path) -> None:
    """With the Pulumi program and a login of whoever runs it (``az login``), in a resource group of its own; it costs
    some cents. ``PENSTOCK_REAL_IMAGE``: an image of the app by digest that Azure can pull.

    It has never run.
    """
    from pulumi import automation

    image = os.environ.get("PENSTOCK_REAL_IMAGE")
    if not image:
        pytest.skip("PENSTOCK_REAL_IMAGE names no image")
    workspace = automation.LocalWorkspaceOptions(
        work_dir=str(tmp_path),
        env_vars={"PULUMI_BACKEND_URL": f"file://{tmp_path}", "PULUMI_CONFIG_PASSPHRASE": "of a test"},
        project_settings=automation.ProjectSettings(name="penstock-test", runtime="python"),
    )

    def program() -> None:
        component("azure", example("quickstart"), image=image)()

    stack = automation.create_stack("test", project_name="penstock-test", program=program, opts=workspace)
    try:
        asked = stack.preview().change_summary
        stack.up()
        assert stack.preview().change_summary == {"same": asked["create"]}
    finally:
        stack.destroy()
