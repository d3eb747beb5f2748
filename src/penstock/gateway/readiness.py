"""Why events are not being dealt with, and what needs a look though they are: what the processes say of themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..plan.plan import Plan

NOBODY = "no worker runs it yet"
STALE_S = 5.0  # seconds after which a status that was not renewed holds no more


class ReadinessNeeds(Protocol):
    """``status``: the folder of status files, one a process. ``elsewhere``: stages are run by other hosts alone."""

    @property
    def plan(self) -> Plan: ...

    @property
    def status(self) -> Path: ...

    @property
    def elsewhere(self) -> bool: ...


def state_of(services: ReadinessNeeds) -> dict[str, Any]:
    """What /readyz says: ``ready``, and the ``reasons`` and ``warnings``."""
    declared = () if services.elsewhere else [stage.name for stage in services.plan.stages]
    return state(reasons(services.status, declared), services.status)


def state(why: list[dict[str, str]], folder: Path) -> dict[str, Any]:
    return {"ready": not why, "reasons": why, "warnings": warnings(folder)}


def reasons(folder: Path, declared: Iterable[str]) -> list[dict[str, str]]:
    """Why events are not being dealt with: stages that say so, processes that fell silent, and of the ``declared``
    ones stages that nobody runs."""
    found: list[dict[str, str]] = []
    running: set[str] = set()
    waiting: list[dict[str, str]] = []  # on their way: no reason where another process has the stage at work
    for status in statuses(folder):
        role = str(status.get("role", "?"))
        if time.time() - status["at"] > STALE_S:
            found.append({"process": role, "reason": f"has said nothing for {STALE_S:g} s"})
            continue
        for stage, its in dict(status.get("stages", {})).items():
            if its.get("ready", False):
                running.add(stage)
                continue
            reason = {"process": role, "stage": stage, "reason": str(its.get("reason", ""))}
            (waiting if its.get("starting", False) else found).append(reason)
    found += [reason for reason in waiting if reason["stage"] not in running]
    running |= {reason["stage"] for reason in found if "stage" in reason}
    return found + [{"stage": s, "reason": NOBODY} for s in declared if s not in running]


def warnings(folder: Path) -> list[dict[str, str]]:
    """What needs a look though events are dealt with: a version that cannot be loaded while the one before goes on,
    and what each process says that a person must know of (``notices``)."""
    found: list[dict[str, str]] = []
    for status in statuses(folder):
        role = str(status.get("role", "?"))
        for stage, its in dict(status.get("stages", {})).items():
            if its.get("load_failed", False):
                found.append({"process": role, "stage": stage, "reason": str(its.get("behind", ""))})
        found += [{"process": role} | told for told in status.get("warnings", ())]
    return found


def statuses(folder: Path) -> list[dict[str, Any]]:
    """What each process said of itself, and ``at``, when it said so last: seconds since the epoch."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(dict(json.loads(path.read_text()), at=path.stat().st_mtime))
        except (OSError, ValueError):  # replaced or removed under our eyes
            continue
    return found


def courier_says(status: Path) -> dict[str, Any] | None:
    """What the courier of this run says of its endpoints, by subscription; None: nothing, or nothing lately.

    ``status``: the folder of status files.
    """
    for path in sorted(status.glob("*.deliveries")):
        try:
            said, at = json.loads(path.read_text()), path.stat().st_mtime
        except (OSError, ValueError):  # replaced or removed under our eyes
            continue
        if time.time() - at <= STALE_S + said["every"]:
            return dict(said["endpoints"])
    return None
