"""/dead: the events that no attempt could deal with; putting them back, or letting them be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ...access.rights import DEAD, Verb
from ...clock import Clock
from ...declare.values import Duration, seconds
from ...errors import DeclarationError, NotFound
from ...log.interface import ObservedLog
from ...models.registry import Registry
from ...plan.plan import Plan
from ...schema.cloudevents import JSON_TYPE
from ...stages.deliver.dead_events import DEAD_LETTER_FORMATS, DeadLetterFormat
from ...stages.deliver.run_time.known import KnownSubscriptions
from ...stages.failures.ledger import Became
from ..letters import LetterFilter, Letters, RedriveResult
from ..principal import Principal, principal_of
from ..readiness import statuses
from ..wire.errors import BadRequest
from ..wire.parameters import whole
from ..wire.small_body import read_small

LIMIT_BYTES = 1 << 20  # of a body here, which may name as many places as can be put back at once
LIMIT, MOST = 100, 10_000  # letters of one answer, and of one request to put them back
ROUNDS = 3  # times that an event is put back and fails again before it is left alone, unless asked otherwise

STATES: dict[str, frozenset[Became]] = {
    "open": frozenset({"dead", "redriven"}),
    "dead": frozenset({"dead"}),
    "redriven": frozenset({"redriven"}),
    "dropped": frozenset({"dropped"}),
    "done": frozenset({"done"}),
    "all": frozenset({"dead", "redriven", "dropped", "done"}),
}
BATCH_TYPE = "application/cloudevents-batch+json"
FILTERS = ("topic", "stage", "error", "reason", "since", "until")

T = TypeVar("T")


class LetterNeeds(Protocol):
    """What these doors lead to."""

    @property
    def plan(self) -> Plan: ...

    @property
    def log(self) -> ObservedLog: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def status(self) -> Path: ...

    @property
    def threads(self) -> Executor: ...

    @property
    def letters(self) -> Lock: ...


class Selection(msgspec.Struct, forbid_unknown_fields=True):
    """``limit``: put back at most so often; ``most``: letters of this request; ``dry``: only say what would be done."""

    topic: str | None = None
    stage: str | None = None
    error: str | None = None
    reason: str | None = None
    since: str | None = None
    until: str | None = None
    places: list[str] = []
    limit: int = ROUNDS
    most: int = 1_000
    dry: bool = False

    def wanted(self, now: datetime) -> LetterFilter:
        if not 0 < self.most <= MOST or self.limit < 1:
            raise BadRequest(f"most is from 1 to {MOST}, and limit is 1 or more")
        for place in self.places:
            if place.count("/") != 2:
                raise BadRequest(f"{place!r:.100} is no place: write TOPIC/PARTITION/OFFSET")
        return _wanted({name: getattr(self, name) for name in FILTERS}, now, frozenset(self.places))


async def letters(request: Request, services: LetterNeeds) -> Response:
    given = dict(request.query_params)
    if stray := given.keys() - {*FILTERS, "state", "limit", "format"}:
        raise BadRequest(f"unknown parameter '{min(stray)}': there are {', '.join(FILTERS)}, state, limit and format")
    if (state := given.get("state", "open")) not in STATES:
        raise BadRequest(f"state={state!r:.60} is none of {', '.join(STATES)}")
    limit = whole(given.get("limit", str(LIMIT)), "limit", 1, MOST)
    format = _format(given)
    wanted = _allowed(_wanted(given, _now(services)), principal_of(request.scope), "read")
    return _answer(await _in_turn(services, lambda: _described(services, wanted, STATES[state], limit, format)), format)


async def letter(request: Request, services: LetterNeeds) -> Response:
    given = request.path_params
    place = f"{given['topic']}/{given['partition']}/{given['offset']}"
    format, wanted = _format(request.query_params), LetterFilter(places=frozenset({place}))
    found = await _in_turn(services, lambda: _described(services, wanted, STATES["all"], MOST, format))
    if not found:
        whose = " of a subscription" if format else ""
        raise NotFound(f"no dead letter{whose} for {place[:200]}; GET /dead names what there is")
    return _answer(found, format)


async def redrive(request: Request, services: LetterNeeds) -> Response:
    asked, now = await read_small(request, Selection, LIMIT_BYTES), _now(services)
    wanted = _allowed(asked.wanted(now), principal_of(request.scope), "redrive")

    def work() -> dict[str, Any]:
        done = Letters(services.log, _whole_plan(services)).redrive(
            wanted, rounds=asked.limit, most=asked.most, dry=asked.dry
        )
        return {"redriven": done.count, **_said(done), "waiting": _waiting(services, wanted), "at": now}

    return _answer(await _in_turn(services, work))


async def drop(request: Request, services: LetterNeeds) -> Response:
    asked = await read_small(request, Selection, LIMIT_BYTES)
    wanted = _allowed(asked.wanted(_now(services)), principal_of(request.scope), "redrive")

    def work() -> dict[str, Any]:
        done = Letters(services.log, _whole_plan(services)).drop(wanted, most=asked.most, dry=asked.dry)
        return {"dropped": done.count, "left": done.left}

    return _answer(await _in_turn(services, work))


# -- what is asked ------------------------------------------------------------


def _allowed(wanted: LetterFilter, who: Principal, verb: Verb) -> LetterFilter:
    """Of events of those topics alone whose letters are for who asks."""
    return replace(wanted, allowed=lambda topic: who.may(verb, DEAD + topic))


def _format(given: Mapping[str, str]) -> DeadLetterFormat | None:
    if (wanted := given.get("format")) is None:
        return None
    for known in DEAD_LETTER_FORMATS:
        if wanted == known:
            return known
    raise BadRequest(f"format={wanted!r:.60} is none of {', '.join(DEAD_LETTER_FORMATS)}")


def _wanted(given: Mapping[str, str | None], now: datetime, places: frozenset[str] = frozenset()) -> LetterFilter:
    topic, stage, error, reason = (given.get(name) for name in ("topic", "stage", "error", "reason"))
    since, until = (_time(given.get(name), name, now) for name in ("since", "until"))
    return LetterFilter(topic, stage, error, reason, since, until, places)


def _time(text: str | None, name: str, now: datetime) -> int | None:
    """``2h`` (so long ago) or ``2026-01-31T12:00:00Z``, in microseconds since the epoch."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return round(now.timestamp() * 1e6 - _ago(text, name) * 1e6)
    if moment.tzinfo is None:
        raise BadRequest(f"{name}={text!r:.60} has no zone: add Z, or +02:00")
    return round(moment.timestamp() * 1e6)


def _ago(text: Duration, name: str) -> float:
    try:
        return seconds(text, name)
    except DeclarationError:
        raise BadRequest(
            f"{name}={text!r:.60} is neither a time such as 2026-01-31T12:00:00Z nor so long ago, such as 90s, 2h or 3d"
        ) from None


def _now(services: LetterNeeds) -> datetime:
    return datetime.fromtimestamp(services.clock.now() / 1e6, UTC)


# -- what is answered ---------------------------------------------------------


def _described(
    services: LetterNeeds,
    wanted: LetterFilter,
    states: frozenset[Became],
    limit: int,
    format: DeadLetterFormat | None,
) -> list[Any]:
    """The latest so many, the oldest of them first. With a format those of deliveries alone: others have none."""
    plan = _whole_plan(services)
    there = Letters(services.log, plan)
    found = there.load(there.found(replace(wanted, deliveries=format is not None), states)[-limit:])
    return [each.described() if format is None else each.as_event(plan, format) for each in found]


def _said(done: RedriveResult) -> dict[str, Any]:
    reasons = [{"reason": reason, "count": count} for reason, count in done.reasons.most_common()]
    return {"left": done.left, "refused": sum(done.reasons.values()), "reasons": reasons, "examples": done.refused}


def _waiting(services: LetterNeeds, wanted: LetterFilter) -> list[dict[str, str]]:
    """Stages that are held: what is put back to them is kept, and waits with the rest."""
    sources = {stage.name: stage.source for stage in services.plan.stages}
    sources |= {each.name: each.source for each in _whole_plan(services).subscriptions}
    said = [dict(status.get("stages", {})) for status in statuses(services.status)]
    held = {stage: str(now.get("reason", "")) for each in said for stage, now in each.items() if not now.get("ready")}
    shown = {stage for stage in held if wanted.allowed is None or wanted.allowed(sources.get(stage, ""))}
    return [{"stage": stage, "reason": held[stage]} for stage in sorted(shown)]


def _whole_plan(services: LetterNeeds) -> Plan:
    """With the subscriptions that were put at run time."""
    services.registry.refresh()
    return KnownSubscriptions(services.plan, services.registry.view).whole_plan()


def _answer(found: object, format: DeadLetterFormat | None = None) -> Response:
    return Response(msgspec.json.encode(found), media_type=BATCH_TYPE if format == "cloudevents" else JSON_TYPE)


async def _in_turn(services: LetterNeeds, work: Callable[[], T]) -> T:
    """One at a time, so that no request marks what another is about to mark."""

    def alone() -> T:
        with services.letters:
            return work()

    return await asyncio.get_running_loop().run_in_executor(services.threads, alone)
