"""Subscriptions put and deleted over HTTP: what is asked for read, and the owner of the system asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from uuid import uuid4

import msgspec

from ..batch import SYSTEM, Write
from ..clock import Clock
from ..declare.run_time import checked_condition, read_put
from ..declare.source_location import nowhere
from ..declare.values import Retry
from ..destinations.webhook.signatures import check_secret
from ..errors import BadRequest, Conflict, DeclarationError, FilterInvalid, NotFound, PenstockError, Unavailable
from ..filters.eventgrid import Filter
from ..log.interface import ObservedLog
from ..models.registry import Registry
from ..plan.plan import Plan
from ..plan.run_time import RunTimeSubscription, encoded
from ..stages.deliver.run_time.messages import DeleteSubscription, PutSubscription
from ..stages.deliver.run_time.state import RunTimeState
from ..system.messages import Command, Refused, to_rows

PATIENCE_S = 5.0  # seconds that the owner may take to answer
POLL_S = 0.005  # seconds between two looks for it
KINDS: dict[str, type[PenstockError]] = {"conflict": Conflict, "not-found": NotFound}
CLOSED = (
    "this app takes no subscriptions at run time: write ps.App(…, subscriptions=True), or "
    "ask for ps.Subscriptions in a function"
)


class GivenRetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    attempts: int = 30
    ttl: str = "24h"


class GivenSubscription(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of a PUT: what ``app.subscribe`` takes, but for ``allow_http`` and ``allow_private``, which the app's
    file alone can say. Nothing in it is looked up in the environment. Its repr holds no URL and no secret."""

    source: str
    to: str
    where: str | None = None
    filter: Filter | None = None
    retry: GivenRetry | None = None
    batch: tuple[int, int] | None = None
    format: str = "cloudevents"
    secret: str | list[str] | None = None
    headers: dict[str, str] | None = None
    start: Literal["earliest", "latest"] = "latest"
    concurrency: int = 32
    rate: str | None = None
    disable_after: str | None = "5d"
    ordered: bool = False
    handshake: str = "none"

    def __repr__(self) -> str:
        return f"GivenSubscription({self.source!r})"


def read_given(name: str, given: GivenSubscription, plan: Plan, *, inside: bool) -> RunTimeSubscription:
    """``inside``: it may go to ``http://`` and to this network, where the operator develops.

    Raises ``BadRequest`` for what cannot be, with no secret in it, ``NotFound`` for a source that is not in the app,
    and ``Conflict`` where the app takes none.
    """
    if not plan.invites_subscriptions:
        raise Conflict(CLOSED)
    retry = given.retry or GivenRetry()
    try:
        with nowhere():
            put = read_put(
                name,
                given.source,
                given.to,
                where=given.where,
                filter=given.filter,
                retry=Retry(retry.attempts, retry.ttl),
                batch=given.batch,
                format=given.format,
                secret=given.secret,
                headers=given.headers,
                start=given.start,
                concurrency=given.concurrency,
                rate=given.rate,
                disable_after=given.disable_after,
                ordered=given.ordered,
                handshake=given.handshake,
                allow_http=inside,
                allow_private=inside,
            )
            for secret in put.private.secrets:
                check_secret(str(secret))
            return checked_condition(put, plan)
    except (DeclarationError, FilterInvalid) as error:
        raise BadRequest(str(error)) from None


def put(log: ObservedLog, registry: Registry, clock: Clock, subscription: RunTimeSubscription, by: str) -> None:
    """On return it is there, as this process knows, and couriers take it up within a second. One that is the same is
    there already. Raises ``Conflict``, ``NotFound``, and ``Unavailable`` where nobody has answered in time."""
    registry.refresh()
    state, data = registry.view.areas.only(RunTimeState), encoded(subscription)

    def is_there() -> bool:
        known = state.get(subscription.name)
        return known is not None and known.data == data

    if not is_there():
        _ask(log, registry, clock, PutSubscription(id=uuid4().hex, put=subscription, by=by), is_there)


def delete(log: ObservedLog, registry: Registry, clock: Clock, name: str, by: str) -> None:
    """On return it is gone, as this process knows, and couriers stop within a second. Raises what ``put`` does."""
    command = DeleteSubscription(id=uuid4().hex, subscription=name, by=by)
    _ask(log, registry, clock, command, lambda: False)


def _ask(log: ObservedLog, registry: Registry, clock: Clock, command: Command, is_there: Callable[[], bool]) -> None:
    log.append([Write(SYSTEM, 0, to_rows([command]))])
    state = registry.view.areas.only(RunTimeState)
    deadline = clock.monotonic() + PATIENCE_S
    while True:
        registry.refresh()
        if (refused := state.refusal(command.id)) is not None:
            raise error_of(refused)
        if state.is_answered(command.id) or is_there():
            return
        if clock.monotonic() >= deadline:
            raise Unavailable(f"it is asked for, and not answered within {PATIENCE_S:g} s; look at /subscriptions")
        clock.sleep(POLL_S)


def error_of(refused: Refused) -> PenstockError:
    return KINDS.get(refused.kind, BadRequest)(refused.reason)
