"""Where a plan's files are on this machine. A plan that travels knows them by the app's folder only."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .plan import ModelSpec, Plan
from .references import value_of


@dataclass(frozen=True, slots=True)
class Site:
    """Where an app starts: the folder of its file, and its environment."""

    folder: Path
    environ: Mapping[str, str]

    def file(self, model: ModelSpec) -> Path | None:
        """What the model's first version is made of; None without one, or where its name has no value here."""
        name = value_of(model.artifact, self.environ)
        return None if name is None else (self.folder / name).resolve()


def portable(path: str, folder: Path) -> str:
    """A file, or file:line, from the app's folder on; outside of it as it is imported, or its name alone."""
    imported_from = sorted((Path(root) for root in sys.path if root), key=lambda root: len(root.parts), reverse=True)
    for root in [folder, *imported_from]:
        if Path(path).is_relative_to(root):
            return str(Path(path).relative_to(root))
    return Path(path).name


def located(plan: Plan, folder: Path) -> Plan:
    """The same plan for this machine alone, where ``folder`` holds the app's file: for messages, and for whoever
    imports the file. It is never written where another machine may read it."""
    return replace(
        plan,
        target=_here(plan.target, folder),
        place=_here(plan.place, folder),
        topics=tuple(replace(topic, place=_here(topic.place, folder)) for topic in plan.topics),
        stages=tuple(replace(stage, place=_here(stage.place, folder)) for stage in plan.stages),
        subscriptions=tuple(replace(each, place=_here(each.place, folder)) for each in plan.subscriptions),
        models=tuple(_model(model, folder) for model in plan.models),
        resources=tuple(replace(resource, place=_here(resource.place, folder)) for resource in plan.resources),
    )


def _model(model: ModelSpec, folder: Path) -> ModelSpec:
    file = model.artifact
    if isinstance(file, str):
        file = str((folder / file).resolve())
    return replace(model, place=_here(model.place, folder), artifact=file)


def _here(place: str, folder: Path) -> str:
    """``file:line`` or ``file:variable``; what is not in the folder stays as it is."""
    file, colon, rest = place.rpartition(":")
    return f"{folder / file}{colon}{rest}" if file and (folder / file).is_file() else place
