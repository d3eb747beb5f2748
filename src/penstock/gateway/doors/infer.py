"""/v2: the Open Inference Protocol. A call is scored by the same worker, version and batches as the stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...errors import NotFound, Unavailable
from ...models.interface import ModelVersion, Signature
from ..rooms import Rooms, unknown
from ..wire.answers import BadRequest
from ..wire.body import MANY, Room, beside, read_body
from . import tensors
from .health import reasons

HEADER = "inference-header-content-length"


async def server(request: Request, rooms: Rooms) -> Response:
    return JSONResponse({"name": "penstock", "version": "2", "extensions": ["binary_tensor_data"]})


async def live(request: Request, rooms: Rooms) -> Response:
    return JSONResponse({"live": True})


async def ready(request: Request, rooms: Rooms) -> Response:
    why = reasons(rooms)
    return JSONResponse({"ready": not why}, 503 if why else 200)


async def model_ready(request: Request, rooms: Rooms) -> Response:
    """A model is ready that has a version in service."""
    version = _version(request, rooms)
    return JSONResponse({"name": version.name, "ready": True})


async def model(request: Request, rooms: Rooms) -> Response:
    version = _version(request, rooms)
    return JSONResponse(
        {
            "name": version.name,
            "versions": [str(version.version)],
            "platform": version.runtime,
            "inputs": [_described(f) for f in version.signature.inputs],
            "outputs": [_described(f) for f in version.signature.outputs],
        }
    )


async def infer(request: Request, rooms: Rooms) -> Response:
    version = _version(request, rooms)
    headers = dict(request.scope["headers"])
    with Room(rooms.ingest) as room:
        body = await read_body(request.receive, headers, room, rooms.settings)
        given = body.parts, _json_length(request), version.signature, rooms.settings.batch_limit
        question, rows = await beside(rooms.decoding, _asked, *given) if body.is_large else _asked(*given)
        room.take(body.unpacked)
        answered, ref = await rooms.ask(version.name, rows)
    if "version" in request.path_params and ref != version.ref:
        raise Unavailable(f"version {version.version} of '{version.name}' is being loaded; see /models/{version.name}")
    if answered.num_rows < MANY:
        return _answer(question, ref, *tensors.answer(answered, question))
    return _answer(question, ref, *await beside(rooms.threads, tensors.answer, answered, question))


def _asked(
    parts: Iterable[bytes], json_length: int | None, signature: Signature, row_limit: int
) -> tuple[tensors.Question, pa.RecordBatch]:
    question, binary = tensors.parse(parts, json_length, signature, row_limit)
    return question, tensors.columns(question, binary, signature)


def _answer(question: tensors.Question, ref: str, found: list[dict[str, Any]], data: bytes) -> Response:
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


def _version(request: Request, rooms: Rooms) -> ModelVersion:
    """The version in service. Another one is not found: only what the stream is scored with answers calls."""
    name, wanted = request.path_params["model"], request.path_params.get("version")
    rooms.registry.refresh()
    scorers = {s.model for s in rooms.plan.scorers}
    if name not in scorers:
        raise unknown("model that a stage scores with", name, sorted(scorers))
    alias = next((m.alias for m in rooms.plan.models if m.name == name), "champion")
    version = rooms.registry.resolve(f"{name}@{alias}")
    if wanted is not None and wanted != str(version.version):
        raise NotFound(f"version {wanted[:40]} of '{name}' is not in service: version {version.version} is")
    return version


def _described(field: Any) -> dict[str, Any]:
    return {"name": field.name, "datatype": tensors.datatype(field.type), "shape": [-1]}
