"""The system's side of a migration: what both logs tell of it, and the models' files."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import msgspec
import numpy as np

from ..batch import SNAPSHOTS, SYSTEM, Write
from ..clock import SystemClock
from ..errors import ArtifactDamaged, NotFound
from ..models.artifacts import Artifacts
from ..models.decide import RegistryState
from ..run.compose.backends import AppLog
from ..run.compose.bootstrap import open_registry
from ..stages.deliver.state import DeliveryState
from ..system.areas import Areas
from ..system.snapshots import to_parts
from ..system.view import View
from .offset_map import Runs
from .parents_first import Place
from .translate import Translation


def copy_artifacts(log: AppLog, source: Artifacts, target: Artifacts) -> None:
    """Those that a version has, or that wait for the registry's answer. One that is gone or damaged is left out."""
    state = fold(log)
    known = [version.digest for versions in state.versions.values() for version in versions]
    for digest in dict.fromkeys([*known, *(command.digest for command in state.asked.values())]):
        try:
            target.put(source.checked(digest, model=f"with sha256:{digest}"))
        except (NotFound, ArtifactDamaged):
            continue


def fold(log: AppLog) -> RegistryState:
    """The registry as the log's events tell it, but for the positions they name."""
    return areas(log).only(RegistryState)


def areas(log: AppLog) -> Areas:
    """All that the system knows, as the log's events and snapshots tell it, but for the positions they name."""
    found = _view(log).areas
    registry = found.only(RegistryState)
    registry.activations = {k: msgspec.structs.replace(a, from_offset=0) for k, a in registry.activations.items()}
    found.only(DeliveryState).move(lambda _place, _position: 0)
    return found


def _view(log: AppLog) -> View:
    """As of now; nobody reads on."""
    with closing(open_registry(log, SystemClock(), "migrate")) as registry:
        registry.refresh()
        return registry.view


def carry(source: AppLog, target: AppLog, find: Translation, stored: Mapping[Place, Runs]) -> None:
    """Where events are gone that only a snapshot tells of, whatever area they are of, the target has one too, that
    covers what was copied."""
    if list(areas(source)) == list(areas(target)) or not (rows := stored[SYSTEM, 0]).total:
        return
    view = _view(source)
    registry = view.areas.only(RegistryState)
    for key, active in registry.activations.items():
        at = find.rows((active.topic, active.partition), np.array([active.from_offset], np.int64))
        registry.activations[key] = msgspec.structs.replace(active, from_offset=int(at[0]))
    view.areas.only(DeliveryState).move(find.through)
    last = int(rows.keys_of(np.array([rows.total - 1], np.int64))[0])
    taken = [replace(snapshot, through=last) for snapshot in view.snapshots()]
    target.append([Write(SNAPSHOTS, 0, to_parts(taken))])


def missing(state: RegistryState, artifacts: Artifacts) -> list[str]:
    """The versions whose artifact is not there, or not what was registered."""
    found: list[str] = []
    for version in (version for versions in state.versions.values() for version in versions):
        try:
            artifacts.checked(version.digest, model=version.ref)
        except (NotFound, ArtifactDamaged):
            found.append(version.ref)
    return found
