"""Whether every stage is at work, from what the processes say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SystemReadiness:
    """``settled``: no stage is still on its way. ``missing``: stages that no process can run, and why."""

    settled: bool
    missing: tuple[tuple[str, str], ...]


def readiness(said: Iterable[Mapping[str, Any]]) -> SystemReadiness:
    """Of statuses as ``process.write_status`` has them. A stage is at work that one process runs."""
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for status in said:
        for stage, its in dict(status.get("stages", {})).items():
            stages.setdefault(stage, []).append(its)
    idle = {stage: each for stage, each in stages.items() if not any(its.get("ready") for its in each)}
    return SystemReadiness(
        not any(its.get("starting") for each in idle.values() for its in each),
        tuple((stage, str(each[0].get("reason", ""))) for stage, each in idle.items()),
    )
