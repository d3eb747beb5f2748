"""GET /topics, /topics/{topic}, /groups, /domains and their topics: the log as an operator sees it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...batch import TopicSpec
from ...log.interface import LogInspection, PartitionState
from ...plan.plan import Plan
from ...schema.rows import is_json
from ..domains import DomainTopics, require_within
from ..principal import Principal, principal_of
from ..wire.errors import BadRequest, unknown
from ..wire.parameters import whole

NAMES, NAMES_MOST = 1_000, 10_000  # of domain topics in one answer


class TopicNeeds(Protocol):
    """What these doors lead to."""

    @property
    def plan(self) -> Plan: ...

    @property
    def domain_topics(self) -> DomainTopics: ...

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


async def domains(request: Request, services: TopicNeeds) -> Response:
    """Those of which the caller may read something."""
    who, known = principal_of(request.scope), services.plan.domains

    def work() -> list[dict[str, Any]]:
        services.domain_topics.refresh()
        found = [name for name in sorted(known) if who.may("read", f"{name}/*") or _named(services, who, name)]
        counts = {name: len(services.domain_topics.names(name)) for name in found if who.may("read", f"{name}/*")}
        return [{"name": name, "topics": counts.get(name)} for name in found]

    return JSONResponse(await _in_thread(services, work))


async def domain_topics(request: Request, services: TopicNeeds) -> Response:
    """A page, and in ``next`` what ``after`` of the next one is, if there are more."""
    who, domain, given = principal_of(request.scope), request.path_params["domain"], request.query_params
    if stray := given.keys() - {"after", "limit"}:
        raise BadRequest(f"unknown parameter '{min(stray)}': there are after and limit")
    after, limit = given.get("after", ""), whole(given.get("limit", str(NAMES)), "limit", 1, NAMES_MOST)
    require_within(who, "read", domain)
    if domain not in services.plan.domains:
        raise unknown("domain", domain, [name for name in services.plan.domains if who.may("read", f"{name}/*")])

    def work() -> dict[str, Any]:
        services.domain_topics.refresh()
        if who.may("read", f"{domain}/*"):
            names = services.domain_topics.names(domain)
        else:
            names = _named(services, who, domain)
        start = bisect_right(names, after)
        page = names[start : start + limit]
        return {"topics": page, "next": page[-1] if start + limit < len(names) else None}

    return JSONResponse(await _in_thread(services, work))


def _named(services: TopicNeeds, who: Principal, domain: str) -> list[str]:
    """Those that the caller's rights name one by one, and that there are: nobody who may see some few costs a look at
    all of them."""
    own = {text.removeprefix(f"read:{domain}/") for text in who.rights.texts if text.startswith(f"read:{domain}/")}
    return sorted(name for name in own if services.domain_topics.has(domain, name))


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
                **_domain(spec),
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
        **_domain(spec),
    }


def _domain(spec: TopicSpec) -> dict[str, bool]:
    """Of a topic that is none, nothing."""
    return {"domain": True} if spec.domain else {}


def _state(state: PartitionState) -> dict[str, int]:
    return {
        "partition": state.partition,
        "earliest": state.earliest,
        "end": state.end,
        "events": state.events,
        "bytes": state.bytes,
    }
