"""GET /healthz, /readyz, /metrics: does it live, does it work and if not why, and how much."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...telemetry import CONTENT_TYPE, exposition
from ..rooms import Rooms

STALE = 5.0  # seconds after which a status that was not renewed holds no more


async def healthz(request: Request, rooms: Rooms) -> Response:
    return JSONResponse({"status": "ok"})


async def readyz(request: Request, rooms: Rooms) -> Response:
    loop = asyncio.get_running_loop()
    why = await loop.run_in_executor(rooms.health, reasons, rooms)
    told = await loop.run_in_executor(rooms.health, warnings, rooms)
    return JSONResponse({"ready": not why, "reasons": why, "warnings": told}, 503 if why else 200)


async def metrics(request: Request, rooms: Rooms) -> Response:
    text = await asyncio.get_running_loop().run_in_executor(rooms.health, exposition)
    return Response(text, headers={"content-type": CONTENT_TYPE})


def reasons(rooms: Rooms) -> list[dict[str, str]]:
    """Why events are not being dealt with: stages that say so, processes that fell silent, stages nobody runs."""
    found: list[dict[str, str]] = []
    running: set[str] = set()
    waiting: list[dict[str, str]] = []  # on their way: no reason where another process has the stage at work
    for status in statuses(rooms.status):
        role = str(status.get("role", "?"))
        if time.time() - status["at"] > STALE:
            found.append({"process": role, "reason": f"has said nothing for {STALE:g} s"})
            continue
        for stage, said in dict(status.get("stages", {})).items():
            if said.get("ready", False):
                running.add(stage)
                continue
            reason = {"process": role, "stage": stage, "reason": str(said.get("reason", ""))}
            (waiting if said.get("starting", False) else found).append(reason)
    found += [reason for reason in waiting if reason["stage"] not in running]
    running |= {reason["stage"] for reason in found if "stage" in reason}
    declared = [f.name for f in rooms.plan.functions] + [s.name for s in rooms.plan.scorers]
    return found + [{"stage": s, "reason": "no worker runs it yet"} for s in declared if s not in running]


def warnings(rooms: Rooms) -> list[dict[str, str]]:
    """What needs a look though events are dealt with: a version that cannot be loaded while the one before goes on,
    and what each process says that a person must know of (``notices``)."""
    found: list[dict[str, str]] = []
    for status in statuses(rooms.status):
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
