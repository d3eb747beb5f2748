"""GET /healthz, /readyz, /metrics: does it live, does it work and if not why, and how much."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...telemetry import CONTENT_TYPE, exposition
from ..readiness import reasons, warnings
from ..services import GatewayServices


async def healthz(request: Request, services: GatewayServices) -> Response:
    return JSONResponse({"status": "ok"})


async def readyz(request: Request, services: GatewayServices) -> Response:
    loop = asyncio.get_running_loop()
    why = await loop.run_in_executor(services.health, reasons, services)
    told = await loop.run_in_executor(services.health, warnings, services)
    return JSONResponse({"ready": not why, "reasons": why, "warnings": told}, 503 if why else 200)


async def metrics(request: Request, services: GatewayServices) -> Response:
    text = await asyncio.get_running_loop().run_in_executor(services.health, exposition)
    return Response(text, headers={"content-type": CONTENT_TYPE})
