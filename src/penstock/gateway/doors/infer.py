"""/v2: the Open Inference Protocol. A call is scored by the same worker, version and batches as the stream."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...errors import NotFound, Unavailable
from ...models.interface import ModelVersion, Signature
from ...models.registry import Registry
from ...plan.edges import edges
from ...plan.plan import Plan
from ...settings import Settings
from ...stages.ingest.group_commit import Ingest
from ..readiness import state_of
from ..services import Ask
from ..wire import tensors
from ..wire.body import MANY, Reservation, beside, read_body
from ..wire.errors import BadRequest, unknown

HEADER = "inference-header-content-length"


class InferNeeds(Protocol):
    """What these doors lead to."""

    @property
    def plan(self) -> Plan: ...

    @property
    def ingest(self) -> Ingest: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def ask(self) -> Ask: ...

    @property
    def status(self) -> Path: ...

    @property
    def elsewhere(self) -> bool: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def threads(self) -> Executor: ...

    @property
    def decoding(self) -> Executor: ...


async def server(request: Request, services: InferNeeds) -> Response:
    return JSONResponse({"name": "penstock", "version": "2", "extensions": ["binary_tensor_data"]})


async def live(request: Request, services: InferNeeds) -> Response:
    return JSONResponse({"live": True})


async def ready(request: Request, services: InferNeeds) -> Response:
    is_ready = state_of(services)["ready"]
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


async def model_ready(request: Request, services: InferNeeds) -> Response:
    """A model is ready that has a version in service."""
    version = _version(request, services)
    return JSONResponse({"name": version.name, "ready": True})


async def model(request: Request, services: InferNeeds) -> Response:
    version = _version(request, services)
    return JSONResponse(
        {
            "name": version.name,
            "versions": [str(version.version)],
            "platform": version.runtime,
            "inputs": [_described(f) for f in version.signature.inputs],
            "outputs": [_described(f) for f in version.signature.outputs],
        }
    )


async def infer(request: Request, services: InferNeeds) -> Response:
    version = _version(request, services)
    headers = dict(request.scope["headers"])
    with Reservation(services.ingest) as room:
        body = await read_body(request.receive, headers, room, services.settings)
        given = body.parts, _json_length(request), version.signature, services.settings.batch_limit
        question, rows = await beside(services.decoding, _asked, *given) if body.is_large else _asked(*given)
        room.take(body.unpacked)
        answered, ref = await services.ask(version.name, rows)
    if "version" in request.path_params and ref != version.ref:
        raise Unavailable(f"version {version.version} of '{version.name}' is being loaded; see /models/{version.name}")
    if answered.num_rows < MANY:
        return _answer(question, ref, *tensors.answer(answered, question))
    return _answer(question, ref, *await beside(services.threads, tensors.answer, answered, question))


def _asked(
    parts: Iterable[bytes], json_length: int | None, signature: Signature, row_limit: int
) -> tuple[tensors.InferRequest, pa.RecordBatch]:
    question, binary = tensors.parse(parts, json_length, signature, row_limit)
    return question, tensors.columns(question, binary, signature)


def _answer(question: tensors.InferRequest, ref: str, found: list[dict[str, Any]], data: bytes) -> Response:
    name, _, number = ref.rpartition("/")
    body: dict[str, Any] = {"model_name": name, "model_version": number, "outputs": found}
    if question.id is not None:
        body["id"] = question.id
    encoded = msgspec.json.encode(body)
    if not data:
        return Response(encoded, media_type="application/json")
    return Response(encoded + data, media_type="application/octet-stream", headers={HEADER: str(len(encoded))})


def _json_length(request: Request) -> int | None:
    given = request.headers.get(HEADER)
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 12):
        raise BadRequest(f"{HEADER}={given!r:.40} must be a whole number")
    return int(given)


def _version(request: Request, services: InferNeeds) -> ModelVersion:
    """The version in service. Another one is not found: only what the stream is scored with answers calls."""
    name, wanted = request.path_params["model"], request.path_params.get("version")
    services.registry.refresh()
    scored = {edge.what for edge in edges(services.plan) if edge.verb == "score"}
    if name not in scored:
        raise unknown("model that a stage scores with", name, sorted(scored))
    declared = services.plan.model(name)
    alias = declared.alias if declared else "champion"
    version = services.registry.resolve(f"{name}@{alias}")
    if wanted is not None and wanted != str(version.version):
        raise NotFound(f"version {wanted[:40]} of '{name}' is not in service: version {version.version} is")
    return version


def _described(field: Any) -> dict[str, Any]:
    return {"name": field.name, "datatype": tensors.datatype(field.type), "shape": [-1]}
