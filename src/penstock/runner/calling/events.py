"""Functions called per event, or with a list of events: each row succeeds or fails for itself."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...batch import Indices
from ...errors import InvalidEvent, Reject, ResultMisshapen, Unavailable
from ...schema.objects import from_objects
from ..interface import Applied, RowFailure, Wish
from ..logs import handling
from ..user_errors import row_failed
from .bound_function import Callee
from .event_access import EventAccess
from .frames import Finish, rejected_rows
from .results import repeated

Inject = Callable[[EventAccess], dict[str, object]]
At = Callable[[int], None]
"""Told which row is under way; -1 when several are."""


@dataclass(slots=True)
class _Handled:
    """What came of one event."""

    outputs: Sequence[Any] = ()
    failure: RowFailure | None = None
    commands: Sequence[Wish] = ()


class PerEvent:
    """Calls a function event by event. ``new_handle`` makes the handle for one event, ``inject`` the other arguments.

    ``id_of`` tells the id of the event in a row, for what the function logs.
    """

    def __init__(
        self, callee: Callee, new_handle: Callable[[], EventAccess], inject: Inject, at: At, id_of: Callable[[int], str]
    ) -> None:
        self._callee, self._new_handle, self._inject, self._at, self._id_of = callee, new_handle, inject, at, id_of

    def call(self, events: Sequence[Any]) -> Applied:
        """Raises ``Unavailable`` when the function did."""
        return _applied(self._callee, [self._one(row, event) for row, event in enumerate(events)])

    async def call_async(self, events: Sequence[Any]) -> Applied:
        """As ``call``, with up to ``concurrency`` events under way; the outputs keep the events' order."""
        handled = [_Handled() for _ in events]
        todo: Iterator[tuple[int, Any]] = iter(enumerate(events))
        alone = self._callee.spec.concurrency == 1
        self._at(-1)

        async def work() -> None:
            for row, event in todo:
                if alone:
                    self._at(row)
                handled[row] = await self._one_async(row, event)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._callee.spec.concurrency, len(events))):
                    group.create_task(work())
        except* Unavailable as away:
            raise _first(away) from None
        return _applied(self._callee, handled)

    def _one(self, row: int, event: Any) -> _Handled:
        self._at(row)
        handle = self._new_handle()
        handling.set((self._id_of, row))
        try:
            outputs = _listed(self._callee.function(event, **self._inject(handle)))
        except Unavailable:
            raise
        except BaseException as error:  # also SystemExit: the row's fault, not the runner's end
            return _Handled(failure=row_failed(row, error))
        return _Handled(outputs, commands=handle.commands)

    async def _one_async(self, row: int, event: Any) -> _Handled:
        handle = self._new_handle()
        handling.set((self._id_of, row))
        try:
            result = self._callee.function(event, **self._inject(handle))
            outputs = _listed(await result)
        except (Unavailable, asyncio.CancelledError):
            raise
        except BaseException as error:
            return _Handled(failure=row_failed(row, error))
        return _Handled(outputs, commands=handle.commands)


def call_on_list(
    callee: Callee, events: Sequence[Any], handle: EventAccess, injected: dict[str, object], finish: Finish
) -> Applied:
    """One call with all the events. Raises ``ResultMisshapen``, and what the function raises but ``Reject``."""
    kept = list(range(len(events)))
    failed: dict[int, RowFailure] = {}
    handled = [_Handled() for _ in events]
    while kept:
        try:
            result = callee.function([events[row] for row in kept], **injected)
            if inspect.isawaitable(result):
                result = finish(result)
        except Reject as reject:
            refused = rejected_rows(reject, len(kept))
            failed |= {row: row_failed(row, reject) for row, no in zip(kept, refused, strict=True) if no}
            kept = [row for row, no in zip(kept, refused, strict=True) if not no]
            continue
        for row, output in zip(kept, _one_each(callee, result, len(kept)), strict=True):
            handled[row] = _Handled(_listed(output))
        break
    for row, failure in failed.items():
        handled[row] = _Handled(failure=failure)
    applied = _applied(callee, handled)
    return Applied(applied.rows, applied.parents, applied.failures, handle.commands)


def _one_each(callee: Callee, result: Any, count: int) -> Sequence[Any]:
    if callee.target is None or result is None:
        return [None] * count
    outputs = list(result)
    if len(outputs) != count:
        raise ResultMisshapen(
            f"{callee.spec.name} returned {len(outputs)} results for {count} events: "
            "return one for each, in their order; None or a list for an event with none or several"
        )
    return outputs


def _listed(result: Any) -> Sequence[Any]:
    """None, one or several events, as several. An event that is a mapping is one."""
    if result is None:
        return ()
    if isinstance(result, list | tuple):
        return [output for output in result if output is not None]
    if isinstance(result, Iterator):
        return [output for output in result if output is not None]
    return (result,)


def _applied(callee: Callee, handled: Sequence[_Handled]) -> Applied:
    failures = [h.failure for h in handled if h.failure is not None]
    if callee.target is None:
        rows, parents = None, repeated([])
    else:
        rows, parents, unfit = _encoded(callee.target, [h.outputs for h in handled])
        failures += unfit
    failed = {f.row for f in failures}
    commands = [c for row, h in enumerate(handled) if row not in failed for c in h.commands]
    return Applied(rows, parents, sorted(failures, key=lambda f: f.row), commands)


def _encoded(target: pa.Schema, made: Sequence[Sequence[Any]]) -> tuple[pa.RecordBatch, Indices, list[RowFailure]]:
    try:
        return from_objects([o for outputs in made for o in outputs], target), repeated(made), []
    except InvalidEvent:
        return _encoded_apart(target, made)


def _encoded_apart(
    target: pa.Schema, made: Sequence[Sequence[Any]]
) -> tuple[pa.RecordBatch, Indices, list[RowFailure]]:
    """Some output does not fit: find which, parent by parent."""
    good: list[Sequence[Any]] = []
    failures = []
    for row, outputs in enumerate(made):
        try:
            from_objects(outputs, target)
            good.append(outputs)
        except InvalidEvent as error:
            good.append(())
            failures.append(row_failed(row, error))
    return from_objects([o for outputs in good for o in outputs], target), repeated(good), failures


def _first(group: BaseExceptionGroup[Unavailable]) -> Unavailable:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Unavailable)
    return error
