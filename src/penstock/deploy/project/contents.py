"""What an app's image holds: the files of the app, its models' files, and the distributions that both need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from ...errors import DISTRIBUTION, CannotStart, DeclarationError, install
from ...models.runtimes.choose import claim
from ...plan.plan import ModelSpec, Plan
from ...plan.references import ReferenceSpec
from ...run.check import CheckedApp
from ..access import DoorAccess
from .pins import Pins, distributions_of, pins_of
from .sources import imported

EXTRAS = {"onnx": "onnx", "lightgbm": "lightgbm", "xgboost": "xgboost", "sklearn": "sklearn", "pickle": "sklearn"}
"""What a runtime needs of Penstock's extras, by its name."""

ALWAYS = ("kafka", "objects")
"""The extras of every deployment: a log and a store that several hosts share."""

WEBHOOKS = "webhooks"
"""The extra of an app that sends webhooks."""

OIDC = "oidc"
"""The extra of doors that take tokens of an issuer."""


@dataclass(frozen=True, slots=True)
class ImageContents:
    """``python``: its version, such as 3.11. ``files``: from the app's folder on, sorted. ``remarks``: what a person
    has to see to."""

    python: str
    files: tuple[str, ...]
    pins: Pins
    remarks: tuple[str, ...]


def contents_of(checked: CheckedApp, access: DoorAccess | None = None) -> ImageContents:
    """``access``: with which the doors are open.

    Raises ``DeclarationError`` for a model's file that lies elsewhere, ``CannotStart`` for an app in a package.
    """
    plan, folder = checked.resolved.plan, checked.folder.resolve()
    if not plan.target.rpartition(":")[0].endswith(".py"):
        raise CannotStart(f"deploy takes the app's file: write path/to/app.py in place of {plan.target}")
    artifacts = list(_artifacts(plan, folder))
    own = [*checked.files, *(file for file in artifacts if file.suffix == ".py")]
    sources, modules = imported(own, folder)
    distributions, nowhere = distributions_of(modules - {"penstock"})
    runtimes, plugged = _needed(artifacts)
    sends = plan.invites_subscriptions or any(each.url is not None for each in plan.subscriptions)
    takes_tokens = access is not None and access.has_tokens
    extras = [*ALWAYS, *([WEBHOOKS] if sends else ()), *([OIDC] if takes_tokens else ()), *runtimes]
    pins = pins_of([f"{DISTRIBUTION}[{','.join(extras)}]", *plugged, *distributions])
    files = sorted({file.relative_to(folder).as_posix() for file in (*sources, *artifacts)})
    remarks = [f"{name} is imported and comes with nothing that is installed: see image/README.md" for name in nowhere]
    remarks += [_without_file(model) for model in plan.models if not _names_a_file(model)]
    if pins.loose:
        remarks.append(
            f"no version is pinned of {', '.join(pins.loose)}, which is not installed here: "
            f"{install(*extras)}, and write again"
        )
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return ImageContents(python, tuple(files), pins, tuple(remarks))


def _names_a_file(model: ModelSpec) -> bool:
    name = model.artifact.default if isinstance(model.artifact, ReferenceSpec) else model.artifact
    return name is not None


def _without_file(model: ModelSpec) -> str:
    return (
        f"the image has no file of model '{model.name}': the library of a version that is registered later goes into "
        f"image/requirements.txt, such as {DISTRIBUTION}[onnx]"
    )


def _artifacts(plan: Plan, folder: Path) -> Iterator[Path]:
    """The models' files that are there. Those that the environment names are another place's, but for a default."""
    for model in plan.models:
        name = model.artifact.default if isinstance(model.artifact, ReferenceSpec) else model.artifact
        file = (folder / (name or "")).resolve()
        if not file.is_file():
            continue
        if not file.is_relative_to(folder):
            raise DeclarationError(
                f"{model.place}: the file of model '{model.name}' is not in the app's folder, and the image has only "
                f"what is: {file}\n    move it into {folder}, and name it from there"
            )
        yield file


def _needed(artifacts: list[Path]) -> tuple[list[str], list[str]]:
    """The extras, and the distributions of runtimes that are plugged in."""
    runtimes = {claim(file, file.name, trusted=True).name for file in artifacts}
    plugged = {
        point.dist.name
        for name in runtimes - EXTRAS.keys()
        for point in entry_points(group="penstock.runtimes", name=name)
        if point.dist is not None
    }
    return sorted({EXTRAS[name] for name in runtimes & EXTRAS.keys()}), sorted(plugged)
