"""All the functions of an app, ready to be called: what both runners have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa

from ...declare.app import App
from ...declare.handles.table import HANDLES
from ...declare.planning.functions import Asked
from ...errors import NotFound, ResultMisshapen
from ...plan.plan import Plan
from ..interface import Applied, Services
from ..loaded_models import Scoring
from ..logs import handling
from ..user_errors import task_failed
from .bound_function import Callee, callees
from .event_access import EventAccess
from .event_objects import ids_of, objects_of
from .events import At, PerEvent, call_on_list
from .frames import call_on_frame
from .resources import Resources


class Functions:
    """``open`` a stage, ``apply`` it to rows, ``close`` at the end. One event loop serves all ``async`` functions."""

    def __init__(
        self,
        app: App,
        plan: Plan,
        scoring: Scoring,
        *,
        ready: Mapping[Any, object],
        environ: Mapping[str, str],
    ) -> None:
        self._callees, self._plan = callees(app, plan), plan
        self._scoring = scoring
        self._loop = asyncio.Runner()
        self._resources = Resources(app.parts, ready=ready, environ=environ)
        self._arguments: dict[str, dict[str, object]] = {}

    def open(self, stage: str) -> None:
        """Open what the stage's function asks for. Harmless when repeated. Raises ``TaskFailed``."""
        if stage in self._arguments:
            return
        callee = self._callee(stage)
        # Here, and not within the time that the first event has: what a library does at its first call.
        if callee.spec.takes == "frame":
            frame = pl.DataFrame(pl.from_arrow(pa.record_batch({"_": pa.nulls(1, pa.int64())})))
            frame.select(pl.col("_") + 1).to_arrow()
        else:
            # What it returns is gathered in lists, by us or by itself, and at the first one pyarrow imports pandas
            # where it is installed.
            pa.array([])
        resources = Asked({n: t for n, t in callee.types.items() if t not in HANDLES}, callee.refs)
        try:
            self._arguments[stage] = self._resources.arguments(resources)
        except BaseException as error:
            raise task_failed(error) from error

    def apply(self, stage: str, rows: pa.RecordBatch, services: Services | None, at: At) -> Applied:
        """``at`` is told which row is under way. Raises ``TaskFailed`` and ``ResultMisshapen``."""
        callee = self._callee(stage)
        self.open(stage)
        at(-1)
        try:
            return self._call(callee, rows, lambda: EventAccess(services, self._scoring, self._plan), at)
        except ResultMisshapen:
            raise
        except BaseException as error:  # also SystemExit: user code does not end the runner by raising
            raise task_failed(error) from error

    def close(self) -> None:
        self._resources.close()
        self._loop.close()

    def _callee(self, stage: str) -> Callee:
        if stage not in self._callees:
            raise task_failed(NotFound(f"the app has no function '{stage}'"))
        return self._callees[stage]

    def _call(self, callee: Callee, rows: pa.RecordBatch, new_handle: Callable[[], EventAccess], at: At) -> Applied:
        rows = _known(rows, callee)
        if callee.spec.takes in ("frame", "arrow"):
            handle = new_handle()
            applied = call_on_frame(callee, rows, self._injected(callee, handle), self._loop.run)
            return replace(applied, commands=handle.commands)
        events = objects_of(callee, rows)
        if callee.spec.takes == "list":
            handle = new_handle()
            return call_on_list(callee, events, handle, self._injected(callee, handle), self._loop.run)
        each = PerEvent(callee, new_handle, lambda handle: self._injected(callee, handle), at, ids_of(callee, rows))
        try:
            return self._loop.run(each.call_async(events)) if callee.spec.is_async else each.call(events)
        finally:
            handling.set(None)

    def _injected(self, callee: Callee, handle: EventAccess) -> dict[str, object]:
        handles = {name: kind(handle) for name, kind in callee.types.items() if kind in HANDLES}
        return self._arguments[callee.spec.name] | handles


def _known(rows: pa.RecordBatch, callee: Callee) -> pa.RecordBatch:
    """Without fields that a later version of the app has added to the topic: a function sees its own type's columns."""
    declared = callee.source.schema.names
    names = [name for name in rows.schema.names if name.startswith("_") or name in declared]
    return rows if len(names) == rows.num_columns else rows.select(names)
