"""The registry's side of a migration: its files, and whether both logs tell the same of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import msgspec

from ..batch import SYSTEM
from ..clock import SystemClock
from ..errors import ArtifactDamaged, NotFound
from ..models.artifacts import Artifacts
from ..models.decide import RegistryState
from ..models.messages import Register, Registered, from_rows
from ..models.registry import Registry
from ..run.compose.backends import AppLog

ROWS = 4_096  # of one read


def copy_artifacts(log: AppLog, source: Artifacts, target: Artifacts) -> None:
    """Those that a version has, or that wait for the registry's answer. One that is gone or damaged is left out."""
    for digest in dict.fromkeys(_digests(log)):
        try:
            target.put(source.checked(digest, model=f"with sha256:{digest}"))
        except (NotFound, ArtifactDamaged):
            continue


def fold(log: AppLog) -> RegistryState:
    """The registry as the log's events tell it, but for the positions they name."""
    registry = Registry(log.reader(None, [SYSTEM], "migrate"), SystemClock())
    with closing(registry):
        registry.refresh()
        state = registry.snapshot()
    state.activations = {k: msgspec.structs.replace(a, from_offset=0) for k, a in state.activations.items()}
    return state


def missing(state: RegistryState, artifacts: Artifacts) -> list[str]:
    """The versions whose artifact is not there, or not what was registered."""
    found: list[str] = []
    for version in (version for versions in state.versions.values() for version in versions):
        try:
            artifacts.checked(version.digest, model=version.ref)
        except (NotFound, ArtifactDamaged):
            found.append(version.ref)
    return found


def _digests(log: AppLog) -> Iterator[str]:
    with closing(log.reader(None, [SYSTEM], "migrate")) as reader:
        while batches := reader.read(ROWS, 0.0):
            for batch in batches:
                for _, message in from_rows(batch.rows):
                    if isinstance(message, Register | Registered):
                        yield message.digest
