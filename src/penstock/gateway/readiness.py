"""Why events are not being dealt with, and what needs a look though they are: what the processes say of themselves."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Protocol

from ..plan.plan import Plan

STALE_S = 5.0  # seconds after which a status that was not renewed holds no more


class ReadinessNeeds(Protocol):
    """``status``: the folder of status files, one a process."""

    @property
    def plan(self) -> Plan: ...

    @property
    def status(self) -> Path: ...


def reasons(services: ReadinessNeeds) -> list[dict[str, str]]:
    """Why events are not being dealt with: stages that say so, processes that fell silent, stages nobody runs."""
    found: list[dict[str, str]] = []
    running: set[str] = set()
    waiting: list[dict[str, str]] = []  # on their way: no reason where another process has the stage at work
    for status in statuses(services.status):
        role = str(status.get("role", "?"))
        if time.time() - status["at"] > STALE_S:
            found.append({"process": role, "reason": f"has said nothing for {STALE_S:g} s"})
            continue
        for stage, said in dict(status.get("stages", {})).items():
            if said.get("ready", False):
                running.add(stage)
                continue
            reason = {"process": role, "stage": stage, "reason": str(said.get("reason", ""))}
            (waiting if said.get("starting", False) else found).append(reason)
    found += [reason for reason in waiting if reason["stage"] not in running]
    running |= {reason["stage"] for reason in found if "stage" in reason}
    declared = [stage.name for stage in services.plan.stages]
    return found + [{"stage": s, "reason": "no worker runs it yet"} for s in declared if s not in running]


def warnings(services: ReadinessNeeds) -> list[dict[str, str]]:
    """What needs a look though events are dealt with: a version that cannot be loaded while the one before goes on,
    and what each process says that a person must know of (``notices``)."""
    found: list[dict[str, str]] = []
    for status in statuses(services.status):
        role = str(status.get("role", "?"))
        for stage, said in dict(status.get("stages", {})).items():
            if said.get("load_failed", False):
                found.append({"process": role, "stage": stage, "reason": str(said.get("behind", ""))})
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
