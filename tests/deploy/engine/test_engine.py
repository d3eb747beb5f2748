"""The small programs on the real engine, and mistakes that it or a stand-in refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.deploy.engine.fixtures import engine_or_skip
from tests.deploy.programs import AZURE, KUBERNETES, program
from tests.deploy.services.values import Secret

pytestmark = [
    pytest.mark.clouds,
    pytest.mark.xdist_group("pulumi engine"),  # so that nobody waits for who builds it
]


@pytest.fixture(scope="module")
def engine() -> Path:
    return engine_or_skip()


@pytest.mark.parametrize("file", [AZURE, KUBERNETES], ids=["azure", "kubernetes"])
def test_a_right_program_is_made_is_the_same_again_and_is_removed(
    file: Path, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.deploy.engine.stacks import engine_stack

    monkeypatch.chdir(file.parent)
    with engine_stack(engine, tmp_path, program(file)) as stack:
        asked = stack.preview()
        assert set(asked) == {"create"}
        assert stack.cloud().resources == {}
        exports = stack.up()
        assert len(stack.cloud().resources) == asked["create"] - 1  # the stack is one too
        assert stack.dangling() == []
        assert "planted-secret" not in stack.state()
        assert all("planted-secret" not in str(value) for value in exports.values() if not isinstance(value, Secret))
        assert stack.preview() == {"same": asked["create"]}
        stack.destroy()
        assert stack.cloud().resources == {}


HUB = "partition_count=4"
MISTAKES = {
    # by a stand-in's Check, in a preview
    "far too many partitions": (
        HUB,
        "partition_count=99999",
        "partitionCount .* a hub of the Standard tier has 1 to 32",
    ),
    "a name that is illegal": ('"shopartifacts"', '"Shop_Artifacts"', "accountName .* no name that storage:StorageAcc"),
    # by the engine
    "the same logical name twice": (
        'storage.BlobContainer(\n    "artifacts"',
        'storage.BlobContainer("artifacts", container_name="two", account_name="shopartifacts",\n'
        '    resource_group_name="shop")\nstorage.BlobContainer(\n    "artifacts"',
        "Duplicate resource URN",
    ),
    "a file that is not there": ('FileAsset("azure.py")', 'FileAsset("code.zip")', "code.zip: no such file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_in_a_preview(
    mistake: str, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulumi.automation import CommandError
    from tests.deploy.engine.stacks import engine_stack

    old, new, why = MISTAKES[mistake]
    monkeypatch.chdir(AZURE.parent)
    wrong = program(AZURE, (old, new))
    with engine_stack(engine, tmp_path, wrong) as stack, pytest.raises(CommandError, match=f"(?s){why}"):
        stack.preview()


def test_what_refers_to_nothing_is_refused_when_it_is_made(
    engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulumi.automation import CommandError
    from tests.deploy.engine.stacks import engine_stack

    monkeypatch.chdir(AZURE.parent)
    wrong = program(AZURE, ("a638d3c7-ab3a-418d-83e6-5f17a39d4fde", "a638d3c7-ab3a-418d-83e6-5f17a39d4fd0"))
    with engine_stack(engine, tmp_path, wrong) as stack:
        with pytest.raises(CommandError, match="there is no role a638d3c7-ab3a-418d-83e6-5f17a39d4fd0"):
            stack.up()
        stack.destroy()
        assert stack.cloud().resources == {}


def test_another_value_is_an_update_and_another_name_a_replacement(
    engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-ins' diffs are honest: else "the same" would say nothing."""
    from tests.deploy.engine.stacks import engine_stack

    monkeypatch.chdir(KUBERNETES.parent)
    with engine_stack(engine, tmp_path, program(KUBERNETES)) as stack:
        stack.up()
        changed = program(KUBERNETES, ("max_unavailable=1", "max_unavailable=2"))  # nothing refers to it
        stack.stack.workspace.program = changed
        assert stack.preview()["update"] == 1
        moved = program(KUBERNETES, ('meta("shop-lag")', 'meta("shop-behind")'))
        stack.stack.workspace.program = moved
        assert stack.preview()["replace"] == 1


def test_a_laptop_without_go_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="there is no go on the path, and Pulumi v3"):
        engine_or_skip()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="there is no go on the path"):
        engine_or_skip()
