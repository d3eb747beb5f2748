"""/keys: whose there are, and what each may do; making one, and revoking it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...access import issuing
from ...access.rights import EVERYTHING, Rights
from ...access.sas import SECRET, signing_key
from ...access.state import KeyCreated, KeyState, is_expired
from ...clock import Clock
from ...errors import DeclarationError, Forbidden
from ...log.interface import ObservedLog
from ...models.registry import Registry
from ..principal import Principal, principal_of
from ..wire.errors import BadRequest
from ..wire.small_body import read_small

T = TypeVar("T")


class KeyNeeds(Protocol):
    """What these doors lead to."""

    @property
    def log(self) -> ObservedLog: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def threads(self) -> Executor: ...

    @property
    def sas_secret(self) -> bytes: ...


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """``allow``: its rights; ``days``: how long it opens something, for ever when absent; ``sas``: its holder signs
    requests to its topics too, as Event Grid's clients do; ``rate``: requests a second, any number when absent;
    ``certificate``: the subject of the one that its holder shows in the place of a key."""

    name: str
    allow: str
    days: float | None = None
    sas: bool = False
    rate: float | None = None
    certificate: str = ""


async def keys(request: Request, services: KeyNeeds) -> Response:
    def work() -> list[dict[str, Any]]:
        services.registry.refresh()
        view = services.registry.view
        state, now = view.areas.only(KeyState), services.clock.now()
        with view.lock:
            found = [(key, state.revoked.get(key.id)) for key in state.by_id.values()]
        return [_described(key, revoked, now) for key, revoked in found]

    return JSONResponse(await _in_thread(services, work))


async def create(request: Request, services: KeyNeeds) -> Response:
    asked, who = await read_small(request, NewKey), principal_of(request.scope)
    _check_given(asked, who)
    if asked.sas and not services.sas_secret:
        raise BadRequest(f"keys that sign are derived from {SECRET}, which is not set: give every gateway the same one")

    def work() -> issuing.Issued:
        view = services.registry.view
        return issuing.issue(
            services.log,
            view,
            services.clock,
            asked.name,
            asked.allow,
            days=asked.days,
            by=who.label,
            signs=asked.sas,
            rate=asked.rate,
            certificate=asked.certificate,
        )

    issued = await _in_thread(services, work)
    described = _described(issued.made, None, services.clock.now())
    secrets = {"key": issued.key} if issued.key else {}
    if asked.sas:
        secrets["sas_key"] = signing_key(services.sas_secret, issued.made.id)
    return JSONResponse(described | secrets, 201, {"cache-control": "no-store"})


async def revoke(request: Request, services: KeyNeeds) -> Response:
    id, who = request.path_params["key"], principal_of(request.scope)

    def work() -> dict[str, Any]:
        view, clock = services.registry.view, services.clock
        key = issuing.revoke(services.log, view, clock, id, by=who.label)
        return _described(key, view.areas.only(KeyState).revoked[id], clock.now())

    return JSONResponse(await _in_thread(services, work))


def _check_given(asked: NewKey, who: Principal) -> None:
    """Raises ``BadRequest`` for rights that are none, ``Forbidden`` for those that who asks has not himself."""
    try:
        wanted = Rights.parse(asked.allow)
    except DeclarationError as error:
        raise BadRequest(f"allow: {error}") from None
    if lacking := [text for text in wanted.texts if not who.rights.covers(text)]:
        raise Forbidden(f"{who.name} cannot give what he has not: {', '.join(lacking)[:500]}")


def _described(key: KeyCreated, revoked: int | None, now: int) -> dict[str, Any]:
    state = "revoked" if revoked is not None else "expired" if is_expired(key, now) else "live"
    return {
        "id": key.id,
        "name": key.name,
        "state": state,
        "allow": EVERYTHING if EVERYTHING in key.rights else ",".join(key.rights),
        "created": _time(key.at),
        "by": key.by,
        "rate": key.rate,
        "certificate": key.certificate or None,
        "expires": _time(key.expires),
        "revoked": _time(revoked),
    }


def _time(at: int | None) -> str | None:
    """``at``: microseconds since the epoch."""
    return None if at is None else datetime.fromtimestamp(at / 1e6, UTC).isoformat()


async def _in_thread(services: KeyNeeds, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(services.threads, work)
