"""/subscriptions: who is delivered to, how that goes, and what waits; pausing one, and letting it go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ...access.rights import SUBSCRIPTIONS
from ...clock import Clock
from ...log.interface import ObservedLog
from ...models.registry import Registry
from ...plan.plan import Plan, SubscriptionSpec
from ..principal import principal_of
from ..subscriptions import Standings, change
from ..wire.errors import BadRequest, unknown

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
    def threads(self) -> Executor: ...


async def subscriptions(request: Request, services: SubscriptionNeeds) -> Response:
    who = principal_of(request.scope)
    shown = [spec for spec in services.plan.subscriptions if who.may("read", SUBSCRIPTIONS + spec.name)]
    return _answer(await _in_thread(services, lambda: _described(services, shown)))


async def subscription(request: Request, services: SubscriptionNeeds) -> Response:
    spec = _known(request, services)
    return _answer((await _in_thread(services, lambda: _described(services, [spec])))[0])


async def pause(request: Request, services: SubscriptionNeeds) -> Response:
    return await _change(request, services, paused=True)


async def resume(request: Request, services: SubscriptionNeeds) -> Response:
    return await _change(request, services, paused=False)


async def _change(request: Request, services: SubscriptionNeeds, *, paused: bool) -> Response:
    spec = _known(request, services)
    if not spec.is_delivered:
        what = f"subscription '{spec.name}' goes to the topic '{spec.topic}'"
        raise BadRequest(f"{what}: only what goes outside can be paused")

    def work() -> dict[str, Any]:
        change(services.log, services.registry, services.clock, spec.name, paused=paused)
        return _described(services, [spec])[0]

    return _answer(await _in_thread(services, work))


def _known(request: Request, services: SubscriptionNeeds) -> SubscriptionSpec:
    name = request.path_params["subscription"]
    specs = {spec.name: spec for spec in services.plan.subscriptions}
    if name not in specs:
        raise unknown("subscription", name, sorted(specs))
    return specs[name]


def _described(services: SubscriptionNeeds, specs: Sequence[SubscriptionSpec]) -> list[dict[str, Any]]:
    with closing(Standings(services.log, services.registry, services.clock, services.status)) as look:
        return [look.of(spec) for spec in specs]


def _answer(found: object) -> Response:
    return Response(msgspec.json.encode(found), media_type="application/json")


async def _in_thread(services: SubscriptionNeeds, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(services.threads, work)
