"""A stack of the real engine, with its state in a folder and its cloud beside it."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.deploy.capture import PROJECT, STACK
from tests.deploy.engine.provider import CLOUD, Cloud
from tests.deploy.services import Made, dangling
from tests.deploy.services.values import Secret

ROOT = Path(__file__).parents[3]
PROVIDERS = ("azure-native", "kubernetes")
LAUNCHER = """#!{python}
import sys
sys.path[:0] = [{root!r}, {source!r}]
from tests.deploy.engine.provider import serve
serve({name!r}, {version!r})
"""


@dataclass(frozen=True, slots=True)
class EngineStack:
    """``preview``, ``up`` and ``destroy`` raise the SDK's ``CommandError`` with what the engine said."""

    stack: Any
    folder: Path

    def preview(self) -> Mapping[str, int]:
        """How many resources would be created, updated, the same and so on."""
        return dict(self.stack.preview().change_summary)

    def up(self) -> Mapping[str, Any]:
        """The stack's outputs, secrets as ``Secret``."""
        outputs = self.stack.up().outputs
        return {name: Secret(found.value) if found.secret else found.value for name, found in outputs.items()}

    def destroy(self) -> None:
        self.stack.destroy()

    def state(self) -> str:
        """All that the engine keeps of it, as it lies in its file."""
        return "".join(file.read_text() for file in (self.folder / "state" / ".pulumi" / "stacks").rglob("*.json"))

    def cloud(self) -> Made:
        """What there is in all clouds."""
        found = Made()
        for name in PROVIDERS:
            found.resources.update(Cloud(self.folder / "cloud" / f"{name}.json").load().resources)
        return found

    def dangling(self) -> list[str]:
        """What refers to something that is not there."""
        return [f"{id_}: {refusal}" for id_, refusal in dangling(self.cloud())]


@contextmanager
def engine_stack(
    engine: Path, folder: Path, program: Callable[[], object], config: Mapping[str, str | Secret] | None = None
) -> Iterator[EngineStack]:
    """``engine``: the program; ``folder``: an empty one. ``config`` without the project's name."""
    from pulumi import automation

    for each in ("bin", "state", "cloud", "home", "work"):
        (folder / each).mkdir()
    for name in PROVIDERS:
        _launcher(folder / "bin" / f"pulumi-resource-{name}", name)
    (folder / "bin" / "pulumi").symlink_to(engine)
    env = {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "of a test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
        CLOUD: str(folder / "cloud"),
    }
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)  # the SDK asks for the engine by the path of this process
    try:
        workspace = automation.LocalWorkspaceOptions(
            work_dir=str(folder / "work"),
            env_vars=env,
            project_settings=automation.ProjectSettings(name=PROJECT, runtime="python"),
        )
        stack = automation.create_stack(STACK, project_name=PROJECT, program=_plain(program), opts=workspace)
        for key, value in (config or {}).items():
            secret = isinstance(value, Secret)
            text = value.value if isinstance(value, Secret) else value
            stack.set_config(f"{PROJECT}:{key}", automation.ConfigValue(text, secret=secret))
        yield EngineStack(stack, folder)
    finally:
        for name, was in before.items():
            os.environ.pop(name, None) if was is None else os.environ.update({name: was})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # the SDK leaves the loops of its threads open


def _plain(program: Callable[[], object]) -> Callable[[], None]:
    """What it returns would be taken for outputs."""

    def body() -> None:
        program()

    return body


def _launcher(file: Path, name: str) -> None:
    version = metadata.version(f"pulumi-{name}")
    file.write_text(
        LAUNCHER.format(python=sys.executable, root=str(ROOT), source=str(ROOT / "src"), name=name, version=version)
    )
    file.chmod(0o755)
