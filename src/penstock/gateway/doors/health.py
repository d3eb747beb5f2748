"""GET /healthz, /readyz, /metrics: does it live, does it work and if not why, and how much."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...plan.plan import Plan
from ...telemetry.metrics import CONTENT_TYPE, exposition
from ..readiness import state_of


class HealthNeeds(Protocol):
    """What these doors lead to."""

    @property
    def plan(self) -> Plan: ...

    @property
    def status(self) -> Path: ...

    @property
    def elsewhere(self) -> bool: ...

    @property
    def health(self) -> Executor: ...


async def healthz(request: Request, services: HealthNeeds) -> Response:
    return JSONResponse({"status": "ok"})


async def readyz(request: Request, services: HealthNeeds) -> Response:
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(services.health, state_of, services)
    return JSONResponse(found, 200 if found["ready"] else 503)


async def metrics(request: Request, services: HealthNeeds) -> Response:
    text = await asyncio.get_running_loop().run_in_executor(services.health, exposition)
    return Response(text, headers={"content-type": CONTENT_TYPE})
