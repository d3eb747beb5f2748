"""The runner that can be killed: a child process for the user's code or the models of one stage."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from .. import errors
from ..errors import PenstockError, RunnerDied, TaskFailed
from ..models.interface import Signature
from ..notices import Tally
from ..plan.codec import plan_to_bytes
from ..plan.plan import Plan
from ..settings import Settings
from . import wire
from .interface import Applied, Artifact, RowFailure, Services
from .process import RunnerProcess, shared_file

TICK_S = 0.05  # seconds between looks at the child while a call runs
PASSED_ON = (
    errors.ModelRefused,
    errors.ArtifactDamaged,
    errors.PredictionInvalid,
    errors.PredictionMisshapen,
    errors.ResultMisshapen,
)
NOBODY = wire.ServiceRefused("Unavailable", "no registry can be reached from here")
_ROW = struct.Struct("<q")

_Answer = TypeVar("_Answer", bound=wire.Reply)


class ChildRunner:
    """Runs calls in a child process, started at the first call and again after each death.

    ``plan`` names the app to import there; None: the child only loads models, and imports neither an app nor polars.
    ``name`` stands before each line that the user's code prints.
    One thread calls a runner at a time; any other may close it. Errors are those of ``interface.Runner``.
    """

    def __init__(self, plan: Plan | None, *, settings: Settings, name: str = "runner") -> None:
        self._plan, self._settings, self._name = plan, settings, name
        self._child: _Child | None = None
        self._guard = Lock()
        self._deaths = Tally(f"runner/{name}", "deaths of its runner", stage=name)
        self._calling = False
        self._given_up = False

    def apply(self, stage: str, rows: pa.RecordBatch, *, timeout: float, services: Services | None = None) -> Applied:
        def call(child: _Child) -> Applied:
            if stage not in child.opened:
                child.ask(wire.Open(stage), wire.Acknowledged, self._settings.runner_start)
                child.opened.add(stage)
            if rows.num_rows == 0:
                return Applied(None, np.empty(0, np.int64))
            request = wire.Apply(stage, child.channel.put(rows))
            return _applied(child, child.ask(request, wire.FunctionResult, timeout, services), rows.num_rows)

        return self._with_child(call)

    def predict(self, model: Artifact, rows: pa.RecordBatch, *, timeout: float) -> pa.RecordBatch:
        version = model.version

        def call(child: _Child) -> pa.RecordBatch:
            if (version.name, version.version) not in child.held:
                loaded = child.ask(
                    wire.LoadVersion(wire.to_wire(model)), wire.LoadedVersions, self._settings.runner_start
                )
                child.held = set(loaded.held)
            request = wire.Predict(version.name, version.version, child.channel.put(rows))
            answer = child.ask(request, wire.FunctionResult, timeout)
            if answer.rows is None:
                raise wire.Broken("a prediction without rows")
            return child.channel.take(answer.rows)

        return self._with_child(call)

    def inspect(
        self, artifact: Path, *, name: str, inputs: pa.Schema | None, outputs: list[str], trusted: bool, timeout: float
    ) -> tuple[str, Signature]:
        columns = None if inputs is None else inputs.serialize().to_pybytes()
        request = wire.InspectArtifact(str(artifact), name, columns, outputs, trusted)

        def call(child: _Child) -> tuple[str, Signature]:
            found = child.ask(request, wire.Inspected, timeout)
            return found.runtime, Signature(wire.read_schema(found.inputs), wire.read_schema(found.outputs))

        return self._with_child(call)

    def start(self) -> None:
        self._with_child(lambda child: None)

    def close(self) -> None:
        """Let the child close its resources, for a second at most; then it is killed. Harmless when repeated.

        While another thread's call runs that call raises ``RunnerDied`` soon after, and takes the child with it.
        """
        with self._guard:
            if self._calling:
                self._given_up = True
                return
            child, self._child = self._child, None
        if child is not None:
            child.end(grace=1.0)

    _T = TypeVar("_T")

    def _with_child(self, call: Callable[[_Child], _T]) -> _T:
        with self._guard:
            self._calling, self._given_up = True, False
        try:
            return self._called(call)
        finally:
            with self._guard:
                self._calling = False
                given_up = self._given_up
            if given_up:
                self._forget()

    def _called(self, call: Callable[[_Child], _T]) -> _T:
        try:
            if self._child is None:
                self._child = _Child(self._settings, self._name, lambda: self._given_up)
                self._child.start(self._plan)
            return call(self._child)
        except (TaskFailed, errors.InputInvalid, *PASSED_ON):
            if self._child is not None and not self._child.started:
                self._forget()
            raise
        except (wire.Broken, pa.ArrowException) as error:
            self._forget()
            raise RunnerDied(f"the runner of {self._name} broke its protocol: {error}") from error
        except RunnerDied as error:
            self._forget()
            if not self._given_up:
                self._deaths.add(1, error.reason, mend="what it was at is tried again, and isolated if it is to blame")
            raise
        except BaseException:
            # Also when we were interrupted: an answer still on its way must not be taken for the next call's.
            self._forget()
            raise

    def _forget(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """One life of the child: its process, its shared files and what is known to be open and loaded in it."""

    def __init__(self, settings: Settings, name: str, given_up: Callable[[], bool]) -> None:
        self._settings, self._name, self._given_up = settings, name, given_up
        self.started = False
        self.opened: set[str] = set()
        self.held: set[tuple[str, int]] = set()
        self._ours, theirs = socket.socketpair()
        self._calls, self._answers, self._progress = (shared_file(n) for n in ("calls", "answers", "progress"))
        self.channel: wire.Channel[wire.Reply] = wire.Channel(self._ours, self._calls, self._answers, wire.Reply)
        self._poll = select.poll()
        self._poll.register(self._ours, select.POLLIN)
        # Before the child is there: it maps this, also when this process dies before it asks for anything.
        os.pwrite(self._progress, _ROW.pack(-1), 0)
        with theirs:
            self._process = RunnerProcess(name, theirs, (self._calls, self._answers, self._progress))

    def start(self, plan: Plan | None) -> None:
        setup = wire.Setup(None if plan is None else plan_to_bytes(plan))
        self.ask(setup, wire.Acknowledged, self._settings.runner_start)
        self.started = True

    def ask(
        self, request: wire.Request, answer: type[_Answer], seconds: float, services: Services | None = None
    ) -> _Answer:
        """Send and wait. Raises what the child raised, ``RunnerDied``, or ``Broken`` for any other answer."""
        os.pwrite(self._progress, _ROW.pack(-1), 0)
        try:
            self.channel.send(request)
        except wire.Closed as error:
            raise self._died(self._process.how_it_ended()) from error
        return self._await(answer, seconds, services)

    def end(self, grace: float = 0.0) -> None:
        self._ours.close()
        if grace:
            self._process.wait(grace)
        self._process.kill()
        for fd in (self._calls, self._answers, self._progress):
            os.close(fd)

    def _await(self, answer: type[_Answer], seconds: float, services: Services | None) -> _Answer:
        deadline = time.monotonic() + seconds
        while True:
            reply = self._receive(deadline, seconds)
            if isinstance(reply, answer):
                return reply
            if isinstance(reply, wire.CallFailed):
                raise _error(reply)
            if not isinstance(reply, wire.Ask):
                raise wire.Broken(f"{type(reply).__name__} instead of {answer.__name__}")
            self.channel.send(NOBODY if services is None else _serve(reply, services))

    def _receive(self, deadline: float, seconds: float) -> wire.Reply:
        while not self._poll.poll(1000 * max(0.0, min(TICK_S, deadline - time.monotonic()))):
            self._check(deadline, seconds)
        try:
            return self.channel.receive(max(TICK_S, deadline - time.monotonic()))
        except TimeoutError:
            raise self._died(f"it was over its {seconds:g} s") from None
        except wire.Closed:
            raise self._died(self._process.how_it_ended()) from None

    def _check(self, deadline: float, seconds: float) -> None:
        if not self._process.alive():
            # An answer may have come between the last look and the end.
            if self._poll.poll(0):
                return
            raise self._died(self._process.how_it_ended())
        if excess := self._process.excess(self._settings.runner_memory):
            raise self._died(excess)
        if self._given_up():
            raise self._died("it was closed")
        if time.monotonic() >= deadline:
            raise self._died(f"it was over its {seconds:g} s")

    def _died(self, how: str) -> RunnerDied:
        (row,) = _ROW.unpack(os.pread(self._progress, _ROW.size, 0).ljust(_ROW.size, b"\xff"))
        return RunnerDied(f"the runner of {self._name} died: {how}", row if row >= 0 else None)


def _applied(child: _Child, result: wire.FunctionResult, count: int) -> Applied:
    rows = None if result.rows is None else child.channel.take(result.rows)
    parents = np.frombuffer(result.parents, np.dtype("<i8")).astype(np.int64)
    made = 0 if rows is None else rows.num_rows
    outside = len(parents) and (parents.min() < 0 or parents.max() >= count)
    if len(parents) != made or outside or any(not 0 <= f.row < count for f in result.failures):
        raise wire.Broken("rows without their parents")
    return Applied(
        rows,
        parents,
        [RowFailure(f.row, f.error, f.reason, f.traceback, f.rejected, f.transient) for f in result.failures],
        [wire.wish_from_wire(wish) for wish in result.commands],
    )


def _error(failed: wire.CallFailed) -> PenstockError:
    if failed.rows:
        return errors.InputInvalid(failed.reason, failed.rows)
    for kind in PASSED_ON:
        if failed.error == kind.__name__:
            return kind(failed.reason)
    return TaskFailed(failed.error, failed.reason, failed.traceback, failed.unavailable, failed.transient)


def _serve(ask: wire.Ask, services: Services) -> wire.Request:
    try:
        return wire.Told(services.answer(ask.handle, ask.method, ask.body))
    except msgspec.DecodeError as error:
        raise wire.Broken(f"{ask.handle}.{ask.method} was asked with what is none of its bodies: {error}") from error
    except Exception as error:
        return wire.ServiceRefused(type(error).__name__, str(error))
