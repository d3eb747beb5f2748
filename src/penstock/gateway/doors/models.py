"""The registry over HTTP. A change is a command in ``penstock.system``; the answer is what its owner decided."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ... import tokens
from ...access.rights import MODELS
from ...batch import SYSTEM, Write
from ...errors import Conflict, Forbidden, InvalidEvent, ModelRefused, TooLarge, Unavailable
from ...log.interface import Log
from ...models.artifacts import Artifacts, Stored
from ...models.interface import ModelVersion
from ...models.messages import CHAMPION, NAME, MoveAlias, Promoted, Register, Registered
from ...models.registry import Registry
from ...plan.edges import doers
from ...plan.plan import Plan
from ...settings import Settings
from ...system.messages import Command, to_rows
from ..principal import principal_of
from ..readiness import NOBODY, statuses
from ..wire.body import BOM
from ..wire.errors import BadRequest, Disconnected, unknown
from ..wire.parameters import duration

LOOK_S = 0.05  # seconds between two looks at what scorers score with
PATIENCE_S = 15.0  # seconds that a command may take, beside the time in which the model is loaded once
SMALL_BYTES = 64 << 10  # bytes of a JSON body here
SMALL_TIME_S = 10.0  # seconds for it to arrive
UPLOAD_TIME_S = 600.0  # seconds for an artifact to arrive

T = TypeVar("T")


class ModelNeeds(Protocol):
    """What these doors lead to."""

    @property
    def plan(self) -> Plan: ...

    @property
    def log(self) -> Log: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def artifacts(self) -> Artifacts: ...

    @property
    def status(self) -> Path: ...

    @property
    def elsewhere(self) -> bool: ...

    @property
    def token(self) -> Path: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def threads(self) -> Executor: ...


class Move(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    expected: int | None = None


class Back(msgspec.Struct, forbid_unknown_fields=True):
    alias: str = CHAMPION


async def models(request: Request, services: ModelNeeds) -> Response:
    who = principal_of(request.scope)

    def work() -> list[dict[str, Any]]:
        return [_model(services, name) for name in _fresh(services).models() if who.may("read", MODELS + name)]

    return JSONResponse(await _in_thread(services, work))


async def model(request: Request, services: ModelNeeds) -> Response:
    name = request.path_params["model"]
    return JSONResponse(await _in_thread(services, lambda: _model(services, _known(services, name), full=True)))


async def register(request: Request, services: ModelNeeds) -> Response:
    """The artifact is the body; everything else comes in the query."""
    name = request.path_params["model"]
    if not NAME.fullmatch(name):
        raise BadRequest(f"'{name[:200]}' is no model name: letters, digits, '.', '_' and '-', at most 128")
    command = _command(services, name, request)
    if "trust" in request.query_params:
        _check_secret(request, services)
    stored = await _upload(services, request)
    done = await _in_thread(services, lambda: _register(services, command(stored.digest), stored))
    assert isinstance(done, Registered)
    answer = {"model": done.model, "version": done.version, "digest": done.digest, "runtime": done.runtime}
    return JSONResponse(answer, 201)


async def set_alias(request: Request, services: ModelNeeds) -> Response:
    return await _move(request, services, request.path_params["alias"])


async def promote(request: Request, services: ModelNeeds) -> Response:
    return await _move(request, services, CHAMPION)


async def rollback(request: Request, services: ModelNeeds) -> Response:
    """To the version that the alias pointed to before, if it has not moved meanwhile."""
    name, wait = request.path_params["model"], _wait(request, services)
    alias = (await _json(request, Back, absent=Back())).alias
    now = await _in_thread(services, lambda: _fresh(services).alias(_known(services, name), alias))
    if now is None:
        raise unknown("alias", alias, [a.alias for a in services.registry.aliases(name)])
    if now.previous is None:
        raise Conflict(f"{name}@{alias} has always pointed to version {now.version}: there is none to go back to")
    return await _carry_out(services, _command_to(name, alias, now.previous, now.version), wait)


async def _move(request: Request, services: ModelNeeds, alias: str) -> Response:
    wait, asked = _wait(request, services), await _json(request, Move)
    return await _carry_out(
        services, _command_to(request.path_params["model"], alias, asked.version, asked.expected), wait
    )


def _command_to(model: str, alias: str, version: int, expected: int | None) -> MoveAlias:
    return MoveAlias(id=uuid4().hex, model=model, alias=alias, version=version, expected=expected)


async def _carry_out(services: ModelNeeds, command: MoveAlias, wait: float | None) -> Response:
    """``wait``: seconds for the scorers of this host to take the version; the answer then says if they have."""
    done = await _in_thread(services, lambda: _ask(services, command))
    assert isinstance(done, Promoted)
    answer: dict[str, Any] = {"model": done.model, "alias": done.alias, "version": done.to_version}
    answer |= {"from": done.from_version, "epoch": done.epoch}
    if wait is not None:
        waiting = await _taken_up(services, done, wait)
        answer |= {"complete": not waiting, "waiting": waiting}
    return JSONResponse(answer)


def _check_secret(request: Request, services: ModelNeeds) -> None:
    """Who trusts an artifact has its code run here; any page and any user of this machine may reach this door."""
    if not tokens.is_shown(request.headers.get("authorization", ""), services.token):
        raise Forbidden(
            f"trust= has code run here, so it is taken with the secret in {services.token} only, as "
            "'Authorization: Bearer SECRET'; penstock models register and penstock.connect find it by themselves, "
            "elsewhere than in this server's /tmp with --data or PENSTOCK_DATA"
        )


def _wait(request: Request, services: ModelNeeds) -> float | None:
    given = request.query_params
    if stray := given.keys() - {"wait"}:
        raise BadRequest(f"unknown parameter '{min(stray)}': there is wait")
    return duration(given["wait"], "wait", services.settings.wait_limit) if "wait" in given else None


async def _taken_up(services: ModelNeeds, moved: Promoted, seconds: float) -> list[dict[str, Any]]:
    """Those scorers of the alias that do not score with its version when the time is up, and why; best none.

    Of scorers elsewhere nothing is known here, and it is said at once.
    """
    until = time.monotonic() + seconds
    while True:
        waiting = await _in_thread(services, lambda: _behind(services, moved))
        if not waiting or services.elsewhere or time.monotonic() >= until:
            return waiting
        await asyncio.sleep(LOOK_S)


def _behind(services: ModelNeeds, moved: Promoted) -> list[dict[str, Any]]:
    followed = {m.name for m in services.plan.models if (m.name, m.alias) == (moved.model, moved.alias)}
    stages = {stage for model in followed for stage in doers(services.plan, "score", model)}
    wanted = f"{moved.model}/{moved.to_version}"
    told = [
        (str(status.get("role", "?")), stage, said)
        for status in statuses(services.status)
        for stage, said in dict(status.get("stages", {})).items()
        if stage in stages
    ]
    unseen_why = "workers elsewhere run it, and say so at their own /readyz" if services.elsewhere else NOBODY
    unseen = sorted(stages - {stage for _, stage, _ in told})
    return [
        {"process": process, "stage": stage, "reason": _why_behind(said)}
        for process, stage, said in told
        if said.get("version") != wanted
    ] + [{"process": "", "stage": stage, "reason": unseen_why} for stage in unseen]


def _why_behind(said: dict[str, Any]) -> str:
    return str(said.get("behind") or said.get("reason") or f"it scores with {said.get('version') or 'none yet'}")


# -- asking the registry ------------------------------------------------------


def _register(services: ModelNeeds, command: Register, stored: Stored) -> Registered | Promoted:
    """What is refused leaves nothing on the disk."""
    try:
        return _ask(services, command, PATIENCE_S + services.settings.runner_start)
    except ModelRefused:
        if not services.registry.uses(stored.digest):
            services.artifacts.forget(stored)
        raise


def _ask(services: ModelNeeds, command: Command, patience: float = PATIENCE_S) -> Registered | Promoted:
    services.log.append([Write(SYSTEM, 0, to_rows([command]))])
    try:
        return services.registry.wait_for(command.id, patience)
    except TimeoutError as error:
        raise Unavailable(f"{error}; see /readyz, and look at /models before asking again") from None


def _command(services: ModelNeeds, name: str, request: Request) -> Callable[[str], Register]:
    given = request.query_params
    if stray := given.keys() - {"dataset_id", "metrics", "trust", "alias", "outputs", "inputs"}:
        raise BadRequest(f"unknown parameter '{min(stray)}': there are dataset_id, metrics, trust, outputs and inputs")
    declared = services.plan.model(name)
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


async def _upload(services: ModelNeeds, request: Request) -> Stored:
    """To disk as it arrives; it becomes an artifact once it is whole. Raises ``TooLarge``, ``LogFull``."""
    size, limit = 0, services.settings.artifact_limit
    if (announced := request.headers.get("content-length", "")).isdecimal() and int(announced[:20]) > limit:
        raise _too_large(int(announced[:20]), limit)
    with TemporaryFile(dir=services.status.parent) as file:
        try:
            async with asyncio.timeout(UPLOAD_TIME_S):
                async for part in request.stream():
                    size += len(part)
                    if size > limit:
                        raise _too_large(size, limit)
                    file.write(part)
        except ClientDisconnect:
            raise Disconnected("the sender went away") from None
        except TimeoutError:
            raise BadRequest(f"the artifact did not arrive within {UPLOAD_TIME_S:g} s") from None
        if not size:
            raise BadRequest("the body is empty: send the model's file as it is")
        file.seek(0)
        return await _in_thread(services, lambda: services.artifacts.store(file))


def _too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"an artifact may have {limit} bytes, half of what a runner may hold, and this one has {size} or more: set "
        "PENSTOCK_RUNNER_MEMORY to twice its size"
    )


async def _json(request: Request, kind: type[T], *, absent: T | None = None) -> T:
    """``absent``: what no body at all stands for."""
    body = b""
    try:
        async with asyncio.timeout(SMALL_TIME_S):
            async for part in request.stream():
                body += part
                if len(body) > SMALL_BYTES:
                    raise BadRequest(f"the body is over {SMALL_BYTES} bytes")
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {SMALL_TIME_S:g} s") from None
    if not body and absent is not None:
        return absent
    try:
        return msgspec.json.decode(body.removeprefix(BOM), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEvent(str(error)) from None


# -- what there is ------------------------------------------------------------


def _fresh(services: ModelNeeds) -> Any:
    services.registry.refresh()
    return services.registry


def _known(services: ModelNeeds, name: str) -> str:
    if name not in (there := _fresh(services).models()):
        raise unknown("model", name, list(there))
    return name


def _model(services: ModelNeeds, name: str, *, full: bool = False) -> dict[str, Any]:
    versions = services.registry.versions(name)
    aliases = {a.alias: {"version": a.version, "epoch": a.epoch} for a in services.registry.aliases(name)}
    if not full:
        return {"name": name, "aliases": aliases, "versions": [v.version for v in versions]}
    return {
        "name": name,
        "aliases": aliases,
        "versions": [_version(v) for v in versions],
        "scorers": _scorers(services, name),
    }


def _scorers(services: ModelNeeds, model: str) -> list[dict[str, Any]]:
    """What each worker scores with, as of its last heartbeat; ``behind``: why that is not where the alias points."""
    stages = set(doers(services.plan, "score", model))
    return [
        {
            "process": status.get("role", "?"),
            "stage": stage,
            "version": int(said["version"].rpartition("/")[2]),
            "behind": said.get("behind", ""),
        }
        for status in statuses(services.status)
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


async def _in_thread(services: ModelNeeds, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(services.threads, work)
