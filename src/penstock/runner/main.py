"""The child's side: ``python -m penstock.runner.main DESCRIPTORS NAME``. Started by ``process`` and nobody else.

What is imported here, every runner holds in memory. Only a runner of functions imports the user's file and polars.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import mmap
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import errors
from ..models.packing import zeros
from . import wire
from .interface import Applied
from .loaded_models import Scoring
from .logs import log_as
from .orphans import adopt_orphans
from .stdout import Prefixed
from .user_errors import task_failed

if TYPE_CHECKING:
    from .calling.functions import Functions

_SETSIG = 10  # F_SETSIG, which the fcntl module has only on Linux
_ROW = struct.Struct("<q")
PARENTS_ERRORS = (
    errors.NotFound, errors.Conflict, errors.ModelRefused, errors.ArtifactDamaged, errors.TooLarge, errors.NotOffered,
)  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    sock, lifeline, calls, answers, progress = map(int, arguments[0].split(","))
    die_with(lifeline)
    adopt_orphans()  # where the parent finds them
    keep_quiet(arguments[1])
    channel: wire.Channel[wire.Request] = wire.Channel(socket.socket(fileno=sock), answers, calls, wire.Request)
    serving = Serving(channel, mmap.mmap(progress, _ROW.size))
    try:
        serving.serve()
    except wire.Closed:
        serving.close()  # the parent wants no more, or is no more
        leave_nobody()


def die_with(lifeline: int) -> None:
    """Let the kernel kill this whole group when the writing end of the pipe closes: when the parent is gone.

    Elsewhere than on Linux the signal is SIGIO, and its handler waits for native code to return.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, _SETSIG, signal.SIGKILL)
    else:
        signal.signal(signal.SIGIO, lambda number, frame: os.killpg(0, signal.SIGKILL))
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def leave_nobody() -> None:
    """What the user's code started goes with this process: no parent would find it afterwards."""
    from .process import kill_strays  # with psutil, which a runner has no other use for

    kill_strays(os.getpid())


def keep_quiet(name: str) -> None:
    """What the user's code prints and logs goes to the log; Ctrl-C and core dumps are not its business."""
    os.dup2(2, 1)
    sys.stdout = Prefixed(name)
    log_as(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Serving:
    """Answers the parent's requests, one after another."""

    def __init__(self, channel: wire.Channel[wire.Request], progress: mmap.mmap) -> None:
        self._channel, self._progress = channel, progress
        self._scoring = Scoring()
        self._functions: Functions | None = None
        self._answers: dict[type, Callable[..., wire.Reply]] = {
            wire.Setup: self._set_up,
            wire.Open: self._open,
            wire.Apply: self._apply,
            wire.LoadVersion: self._load,
            wire.Predict: self._predict,
            wire.InspectArtifact: self._inspect,
        }

    def serve(self) -> None:
        """Until the parent closes the socket. Raises ``wire.Closed`` then."""
        while True:
            self._channel.send(self._answer(self._channel.receive()))

    def close(self) -> None:
        if self._functions is not None:
            self._functions.close()

    # -- services, asked of the parent while a call runs ----------------------

    def answer(self, handle: str, method: str, body: bytes) -> bytes:
        self._channel.send(wire.Ask(handle, method, body))
        reply = self._channel.receive()
        if isinstance(reply, wire.ServiceRefused):
            for kind in PARENTS_ERRORS:
                if kind.__name__ == reply.error:
                    raise kind(reply.reason)
            raise errors.Unavailable(f"{reply.error}: {reply.reason}")
        assert isinstance(reply, wire.Told)
        return reply.body

    # -- requests -------------------------------------------------------------

    def _answer(self, request: wire.Request) -> wire.Reply:
        try:
            return self._answers[type(request)](request)
        except wire.Closed:
            raise
        except BaseException as error:  # also SystemExit: what the user's code raises does not end the runner
            failed = error if isinstance(error, errors.TaskFailed) else task_failed(error)
            return wire.CallFailed(failed.error, failed.reason, failed.traceback, failed.unavailable, failed.transient)

    def _set_up(self, request: wire.Setup) -> wire.Reply:
        if request.plan is not None:
            from .calling.loading import load_functions

            self._functions = load_functions(request.plan, self._scoring)
        # What is loaded now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        return wire.Acknowledged()

    def _open(self, request: wire.Open) -> wire.Reply:
        self._of_functions().open(request.stage)
        return wire.Acknowledged()

    def _apply(self, request: wire.Apply) -> wire.Reply:
        rows = self._channel.take(request.rows)
        return self._result(self._of_functions().apply(request.stage, rows, self, self._at))

    def _load(self, request: wire.LoadVersion) -> wire.Reply:
        """Load, and ask for one row: the first answer of a library takes longer than those after it, and a call's time
        limit is for its rows. A model need not have an answer for zeros. It must survive them."""
        artifact = wire.from_wire(request.artifact)
        self._scoring.load(artifact)
        version = artifact.version
        with contextlib.suppress(BaseException):  # as in ``_answer``
            self._scoring.predict(version.name, version.version, zeros(version.signature.inputs, 1))
        return wire.LoadedVersions(self._scoring.held())

    def _predict(self, request: wire.Predict) -> wire.Reply:
        rows = self._channel.take(request.rows)
        try:
            answer = self._scoring.predict(request.model, request.version, rows)
        except errors.InputInvalid as error:
            return wire.CallFailed(type(error).__name__, error.reason, "", rows=error.rows)
        return wire.FunctionResult(self._channel.put(answer))

    def _inspect(self, request: wire.InspectArtifact) -> wire.Reply:
        from ..models.runtimes.choose import inspect

        inputs = None if request.inputs is None else wire.read_schema(request.inputs)
        runtime, signature = inspect(
            Path(request.path), name=request.name, inputs=inputs, outputs=request.outputs, trusted=request.trusted
        )
        columns = (signature.inputs, signature.outputs)
        return wire.Inspected(runtime, *(c.serialize().to_pybytes() for c in columns))

    def _result(self, applied: Applied) -> wire.FunctionResult:
        return wire.FunctionResult(
            None if applied.rows is None else self._channel.put(applied.rows),
            applied.parents.astype("<i8").tobytes(),
            [wire.RowFailed(f.row, f.error, f.reason, f.traceback, f.rejected, f.transient) for f in applied.failures],
            [wire.wish_to_wire(wish) for wish in applied.commands],
        )

    def _of_functions(self) -> Functions:
        if self._functions is None:
            raise errors.NotFound("this runner has no functions")
        return self._functions

    def _at(self, row: int) -> None:
        _ROW.pack_into(self._progress, 0, row)


if __name__ == "__main__":
    main(sys.argv[1:])
