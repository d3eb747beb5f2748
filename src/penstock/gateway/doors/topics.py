"""GET /topics, /topics/{topic}, /groups: the log as an operator sees it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...batch import TopicSpec
from ...log.interface import LogInspection, PartitionState
from ...schema.rows import is_json
from ..principal import Principal, principal_of
from ..wire.errors import unknown


class TopicNeeds(Protocol):
    """What these doors lead to."""

    @property
    def log(self) -> LogInspection: ...

    @property
    def threads(self) -> Executor: ...


async def topics(request: Request, services: TopicNeeds) -> Response:
    return JSONResponse(await _in_thread(services, _topics, services, principal_of(request.scope)))


async def topic(request: Request, services: TopicNeeds) -> Response:
    return JSONResponse(await _in_thread(services, _topic, services, request.path_params["topic"]))


async def groups(request: Request, services: TopicNeeds) -> Response:
    who = principal_of(request.scope)

    def work() -> list[dict[str, Any]]:
        return [asdict(group) for group in services.log.groups() if who.may("read", group.topic)]

    return JSONResponse(await _in_thread(services, work))


async def _in_thread(services: TopicNeeds, work: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(services.threads, work, *arguments)


def _topics(services: TopicNeeds, who: Principal) -> list[dict[str, Any]]:
    found = []
    shown = (spec for spec in services.log.topics() if who.may("read", spec.name))
    for spec in sorted(shown, key=lambda t: t.name):
        states = services.log.partitions(spec.name)
        found.append(
            {
                "name": spec.name,
                "partitions": spec.partitions,
                "key": spec.key,
                "encoding": spec.encoding,
                "events": sum(s.events for s in states),
                "bytes": sum(s.bytes for s in states),
            }
        )
    return found


def _topic(services: TopicNeeds, name: str) -> dict[str, Any]:
    specs = {t.name: t for t in services.log.topics()}
    if name not in specs:
        raise unknown("topic", name, sorted(specs))
    return _described(specs[name]) | {"partitions": [_state(s) for s in services.log.partitions(name)]}


def _described(spec: TopicSpec) -> dict[str, Any]:
    fields = [{"name": f.name, "type": str(f.type), "optional": f.nullable} for f in spec.schema]
    return {
        "name": spec.name,
        "key": spec.key,
        "schema": None if is_json(spec.schema) else fields,
        "retain_seconds": None if spec.retain_us is None else spec.retain_us / 1e6,
        "retain_bytes": spec.retain_bytes,
        "dedupe_seconds": None if spec.dedupe_us is None else spec.dedupe_us / 1e6,
        "encoding": spec.encoding,
    }


def _state(state: PartitionState) -> dict[str, int]:
    return {
        "partition": state.partition,
        "earliest": state.earliest,
        "end": state.end,
        "events": state.events,
        "bytes": state.bytes,
    }
