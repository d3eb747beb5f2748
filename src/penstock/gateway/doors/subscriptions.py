"""/subscriptions: who is delivered to, how that goes, and what waits; putting one while the app runs, deleting it,
pausing one, and letting it go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ...access.rights import SUBSCRIPTIONS
from ...clock import Clock
from ...declare.sources import read_topic
from ...errors import Conflict
from ...log.interface import ObservedLog
from ...models.registry import Registry
from ...plan.plan import Plan, SubscriptionSpec
from ...settings import Settings
from ...stages.deliver.run_time.known import KnownSubscriptions
from .. import putting
from ..principal import principal_of
from ..putting import GivenSubscription, read_given
from ..subscriptions import Standings, change
from ..wire.errors import BadRequest, unknown
from ..wire.parameters import whole
from ..wire.small_body import read_small

PARAMETERS = ("after", "limit")
LIMIT, MOST = 1_000, 10_000  # subscriptions of one answer
NEXT = "penstock-next"  # the header that says after which name to go on

T = TypeVar("T")


class SubscriptionNeeds(Protocol):
    """What these doors lead to."""

    @property
    def plan(self) -> Plan: ...

    @property
    def log(self) -> ObservedLog: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def status(self) -> Path: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def threads(self) -> Executor: ...


async def subscriptions(request: Request, services: SubscriptionNeeds) -> Response:
    who, given = principal_of(request.scope), request.query_params
    if stray := given.keys() - PARAMETERS:
        raise BadRequest(f"unknown parameter '{min(stray)}': there are {', '.join(PARAMETERS)}")
    limit, after = whole(given.get("limit", str(LIMIT)), "limit", 1, MOST), given.get("after", "")

    def work() -> tuple[list[dict[str, Any]], str]:
        services.registry.refresh()
        known = KnownSubscriptions(services.plan, services.registry.view)
        names = [name for name in known.names() if who.may("read", SUBSCRIPTIONS + name)]
        files = {spec.name: n for n, spec in enumerate(services.plan.subscriptions)}
        place = (files.get(after, len(files)), after)
        left = [name for name in names if not after or (files.get(name, len(files)), name) > place]
        specs = [spec for name in left[:limit] if (spec := known.get(name)) is not None]
        return _described(services, specs), left[limit - 1] if len(left) > limit else ""

    found, following = await _in_thread(services, work)
    return _answer(found, {NEXT: following} if following else {})


async def subscription(request: Request, services: SubscriptionNeeds) -> Response:
    def work() -> dict[str, Any]:
        return _described(services, [_known(request, services)])[0]

    return _answer(await _in_thread(services, work))


async def put(request: Request, services: SubscriptionNeeds) -> Response:
    name, who, given = (
        request.path_params["subscription"],
        principal_of(request.scope),
        await read_small(request, GivenSubscription),
    )
    who.require("read", read_topic(given.source, services.plan))
    inside = bool(services.settings.subscriptions_inside)

    def work() -> dict[str, Any]:
        subscription = read_given(name, given, services.plan, inside=inside)
        _check_not_of_file(services, name)
        putting.put(services.log, services.registry, services.clock, subscription, who.label)
        return _described(services, [_known(request, services)])[0]

    return _answer(await _in_thread(services, work))


async def delete(request: Request, services: SubscriptionNeeds) -> Response:
    name, who = request.path_params["subscription"], principal_of(request.scope)

    def work() -> dict[str, Any]:
        _known(request, services)
        _check_not_of_file(services, name)
        putting.delete(services.log, services.registry, services.clock, name, who.label)
        return {"name": name, "deleted": True}

    return _answer(await _in_thread(services, work))


async def pause(request: Request, services: SubscriptionNeeds) -> Response:
    return await _change(request, services, paused=True)


async def resume(request: Request, services: SubscriptionNeeds) -> Response:
    return await _change(request, services, paused=False)


async def _change(request: Request, services: SubscriptionNeeds, *, paused: bool) -> Response:
    def work() -> dict[str, Any]:
        spec = _known(request, services)
        if not spec.is_delivered:
            what = f"subscription '{spec.name}' goes to the topic '{spec.topic}'"
            raise BadRequest(f"{what}: only what goes outside can be paused")
        change(services.log, services.registry, services.clock, spec.name, paused=paused)
        return _described(services, [spec])[0]

    return _answer(await _in_thread(services, work))


def _known(request: Request, services: SubscriptionNeeds) -> SubscriptionSpec:
    """Raises ``NotFound``, which names none that who asks may not read."""
    name, who = request.path_params["subscription"], principal_of(request.scope)
    services.registry.refresh()
    known = KnownSubscriptions(services.plan, services.registry.view)
    if (spec := known.get(name)) is None:
        there = (each for each in known.names() if who.may("read", SUBSCRIPTIONS + each))
        raise unknown("subscription", name, sorted(islice(there, LIMIT)))
    return spec


def _check_not_of_file(services: SubscriptionNeeds, name: str) -> None:
    """Raises ``Conflict``."""
    if any(spec.name == name for spec in services.plan.subscriptions):
        raise Conflict(f"subscription '{name}' is of the app's file, and read-only here: change it there")


def _described(services: SubscriptionNeeds, specs: Sequence[SubscriptionSpec]) -> list[dict[str, Any]]:
    with closing(Standings(services.log, services.registry, services.clock, services.status)) as look:
        known = KnownSubscriptions(services.plan, services.registry.view)
        return [look.of(spec, served=known.is_served(spec)) for spec in specs]


def _answer(found: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(found), headers=headers, media_type="application/json")


async def _in_thread(services: SubscriptionNeeds, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(services.threads, work)
