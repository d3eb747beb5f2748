"""The registry over HTTP. A change is a command in ``penstock.system``; the answer is what its owner decided."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ... import tokens
from ...batch import SYSTEM, Write
from ...errors import Forbidden, InvalidEvent, TooLarge, Unavailable
from ...models.artifacts import LIMIT
from ...models.interface import ModelVersion
from ...models.messages import CHAMPION, NAME, Command, MoveAlias, Promoted, Register, Registered, to_rows
from ..rooms import Rooms, unknown
from ..wire.answers import BadRequest, Disconnected
from ..wire.body import BOM
from .health import statuses

PATIENCE = 30.0  # seconds that a command may take: whoever owns the registry loads the model once
SMALL = 64 << 10  # bytes of a JSON body here
SMALL_TIME = 10.0  # seconds for it to arrive
UPLOAD_TIME = 600.0  # seconds for an artifact to arrive

T = TypeVar("T")


class Move(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    expected: int | None = None


async def models(request: Request, rooms: Rooms) -> Response:
    return JSONResponse(await _in_thread(rooms, lambda: [_model(rooms, m) for m in _fresh(rooms).models()]))


async def model(request: Request, rooms: Rooms) -> Response:
    name = request.path_params["model"]
    return JSONResponse(await _in_thread(rooms, lambda: _model(rooms, _known(rooms, name), full=True)))


async def register(request: Request, rooms: Rooms) -> Response:
    """The artifact is the body; everything else comes in the query."""
    name = request.path_params["model"]
    if not NAME.fullmatch(name):
        raise BadRequest(f"'{name[:200]}' is no model name: letters, digits, '.', '_' and '-', at most 128")
    command = _command(rooms, name, request)
    if "trust" in request.query_params:
        _check_secret(request, rooms)
    digest = await _upload(rooms, request)
    done = await _in_thread(rooms, lambda: _ask(rooms, command(digest)))
    assert isinstance(done, Registered)
    answer = {"model": done.model, "version": done.version, "digest": done.digest, "runtime": done.runtime}
    return JSONResponse(answer, 201)


async def set_alias(request: Request, rooms: Rooms) -> Response:
    return await _move(request, rooms, request.path_params["alias"])


async def promote(request: Request, rooms: Rooms) -> Response:
    return await _move(request, rooms, CHAMPION)


async def _move(request: Request, rooms: Rooms, alias: str) -> Response:
    name = request.path_params["model"]
    asked = await _json(request, Move)
    command = MoveAlias(id=uuid4().hex, model=name, alias=alias, version=asked.version, expected=asked.expected)
    done = await _in_thread(rooms, lambda: _ask(rooms, command))
    assert isinstance(done, Promoted)
    answer = {"model": name, "alias": alias, "version": done.to_version, "from": done.from_version, "epoch": done.epoch}
    return JSONResponse(answer)


def _check_secret(request: Request, rooms: Rooms) -> None:
    """Who trusts an artifact has its code run here; any page and any user of this machine may reach this door."""
    if not tokens.is_shown(request.headers.get("authorization", ""), rooms.token):
        raise Forbidden(
            f"trust= has code run here, so it is taken with the secret in {rooms.token} only, as "
            "'Authorization: Bearer SECRET'; penstock models register and penstock.connect find it by themselves, "
            "elsewhere than in this server's /tmp with --data or PENSTOCK_DATA"
        )


# -- asking the registry ------------------------------------------------------


def _ask(rooms: Rooms, command: Command) -> Registered | Promoted:
    rooms.log.append([Write(SYSTEM, 0, to_rows([command]))])
    try:
        return rooms.registry.wait_for(command.id, PATIENCE)
    except TimeoutError as error:
        raise Unavailable(f"{error}; see /readyz, and look at /models before asking again") from None


def _command(rooms: Rooms, name: str, request: Request) -> Callable[[str], Register]:
    given = request.query_params
    if stray := given.keys() - {"dataset_id", "metrics", "trust", "alias", "outputs", "inputs"}:
        raise BadRequest(f"unknown parameter '{min(stray)}': there are dataset_id, metrics, trust, outputs and inputs")
    declared = next((m for m in rooms.plan.models if m.name == name), None)
    outputs = _names(given.get("outputs")) or (declared.outputs if declared else ())
    inputs = _names(given.get("inputs")) or (declared.inputs if declared else None)
    measured = _metrics(given.get("metrics", "{}"))
    alias = given.get("alias") or (declared.alias if declared else CHAMPION)
    return lambda digest: Register(
        id=uuid4().hex,
        name=name,
        digest=digest,
        outputs=outputs,
        inputs=inputs,
        alias=alias,
        dataset_id=given.get("dataset_id"),
        metrics=measured,
        trust=given.get("trust"),
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(text.split(",")) if text else None


def _metrics(text: str) -> dict[str, float]:
    try:
        return msgspec.json.decode(text, type=dict[str, float])
    except msgspec.DecodeError as error:
        raise BadRequest(f"metrics={text!r:.100} must be a JSON object of numbers: {error}") from None


# -- bodies -------------------------------------------------------------------


async def _upload(rooms: Rooms, request: Request) -> str:
    """To disk as it arrives; it becomes an artifact once it is whole. Raises ``TooLarge``, ``LogFull``."""
    size = 0
    with TemporaryFile(dir=rooms.status.parent) as file:
        try:
            async with asyncio.timeout(UPLOAD_TIME):
                async for part in request.stream():
                    size += len(part)
                    if size > LIMIT:
                        raise TooLarge(f"an artifact may have {LIMIT} bytes; this one has more")
                    file.write(part)
        except ClientDisconnect:
            raise Disconnected("the sender went away") from None
        except TimeoutError:
            raise BadRequest(f"the artifact did not arrive within {UPLOAD_TIME:g} s") from None
        if not size:
            raise BadRequest("the body is empty: send the model's file as it is")
        file.seek(0)
        return await _in_thread(rooms, lambda: rooms.artifacts.put(file))


async def _json(request: Request, kind: type[T]) -> T:
    body = b""
    try:
        async with asyncio.timeout(SMALL_TIME):
            async for part in request.stream():
                body += part
                if len(body) > SMALL:
                    raise BadRequest(f"the body is over {SMALL} bytes")
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {SMALL_TIME:g} s") from None
    try:
        return msgspec.json.decode(body.removeprefix(BOM), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEvent(str(error)) from None


# -- what there is ------------------------------------------------------------


def _fresh(rooms: Rooms) -> Any:
    rooms.registry.refresh()
    return rooms.registry


def _known(rooms: Rooms, name: str) -> str:
    if name not in (there := _fresh(rooms).models()):
        raise unknown("model", name, list(there))
    return name


def _model(rooms: Rooms, name: str, *, full: bool = False) -> dict[str, Any]:
    versions = rooms.registry.versions(name)
    aliases = {a.alias: {"version": a.version, "epoch": a.epoch} for a in rooms.registry.aliases(name)}
    if not full:
        return {"name": name, "aliases": aliases, "versions": [v.version for v in versions]}
    return {
        "name": name,
        "aliases": aliases,
        "versions": [_version(v) for v in versions],
        "scorers": _scorers(rooms, name),
    }


def _scorers(rooms: Rooms, model: str) -> list[dict[str, Any]]:
    """What each worker scores with, as of its last heartbeat; ``behind``: why that is not where the alias points."""
    stages = {s.name for s in rooms.plan.scorers if s.model == model}
    return [
        {
            "process": status.get("role", "?"),
            "stage": stage,
            "version": int(said["version"].rpartition("/")[2]),
            "behind": said.get("behind", ""),
        }
        for status in statuses(rooms.status)
        for stage, said in dict(status.get("stages", {})).items()
        if stage in stages and said.get("version")
    ]


def _version(version: ModelVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "digest": version.digest,
        "runtime": version.runtime,
        "created": version.created,
        "trusted": version.trusted,
        "dataset_id": version.dataset_id,
        "metrics": version.metrics,
        "inputs": [{"name": f.name, "type": str(f.type)} for f in version.signature.inputs],
        "outputs": [{"name": f.name, "type": str(f.type)} for f in version.signature.outputs],
    }


async def _in_thread(rooms: Rooms, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(rooms.threads, work)
