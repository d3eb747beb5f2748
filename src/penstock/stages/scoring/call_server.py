"""Calls: rows sent to a worker and scored by the stream's own scorer, over a Unix socket.

A frame is the length of its header (4 bytes, little-endian), the header (MessagePack), and as many bytes of Arrow IPC
stream as the header says. One question a connection; both sides close it after the answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore, Thread

import msgspec
import pyarrow as pa

from ... import errors
from ...errors import Busy, InvalidEvent, NotFound, PenstockError, RunnerDied, TaskFailed, TooLarge, Unavailable
from ...models.interface import ModelVersion
from ...telemetry import logger
from ..failures.poison_policy import Sick

log = logger(__name__)

Scored = tuple[pa.RecordBatch, ModelVersion]
Scorer = Callable[[pa.RecordBatch, float], Scored]
"""Scores rows within so many seconds; ``Score.answer``."""

WAITING = 64  # questions under way at once
HEADER_LIMIT = 65_536
BODY_LIMIT = 64 << 20
PATIENCE_S = 10.0  # seconds for a question to arrive or an answer to leave
PASSED_ON = (
    NotFound,
    InvalidEvent,
    TooLarge,
    RunnerDied,
    Unavailable,
    errors.PredictionInvalid,
    errors.PredictionMisshapen,
    errors.ArtifactDamaged,
    errors.ModelRefused,
    errors.LogUnreachable,
    errors.LogRefused,
    errors.StoreUnreachable,
    errors.StoreUnusable,
)
"""Errors that a caller is told as they are, a kind of one as the one; any other is a fault of ours."""

_LENGTH = struct.Struct("<I")


class ModelCall(msgspec.Struct, frozen=True):
    model: str
    size: int
    timeout: float


class Reply(msgspec.Struct, frozen=True):
    """``ref``: ``name/version``; or the error's type name, its reason, and for ``Busy`` when to come again."""

    size: int = 0
    ref: str = ""
    error: str = ""
    reason: str = ""
    retry_after: float = 0.0


class Answers:
    """The server in a worker. ``scorers`` by model name. Listens from construction on, until ``close``."""

    def __init__(self, path: Path, scorers: Mapping[str, Scorer]) -> None:
        self._scorers = scorers
        self._path = path
        self._room = BoundedSemaphore(WAITING)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(WAITING)
        self._thread = Thread(target=self._accept, name="answers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more questions; those under way are answered. Harmless twice."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE_S)
            if self._room.acquire(blocking=False):
                Thread(target=self._serve, args=(connection,), daemon=True).start()
            else:
                with connection, suppress(OSError):
                    _send(connection, _refusal(Busy(f"{WAITING} calls are waiting already")))

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                reply, body = self._answer(connection)
                _send(connection, reply, body)
        finally:
            self._room.release()

    def _answer(self, connection: socket.socket) -> tuple[Reply, bytes]:
        try:
            question, body = _receive(connection)
            scorer = self._scorers.get(question.model)
            if scorer is None:
                raise NotFound(f"no stage scores with model '{question.model}' (there are: {', '.join(self._scorers)})")
            rows, version = scorer(unpacked(body), question.timeout)
        except Sick as error:  # the stream holds its rows meanwhile; a caller's are held by nobody
            return _refusal(Unavailable(str(error))), b""
        except PenstockError as error:
            return _refusal(error), b""
        except OSError:
            raise  # the caller is gone
        except Exception as error:
            log.error("call failed", exc_info=True)
            return _refusal(error), b""
        answer = packed(rows)
        return Reply(len(answer), version.ref), answer


async def ask(path: Path, model: str, rows: pa.RecordBatch, *, timeout: float = 5.0) -> tuple[pa.RecordBatch, str]:
    """The model's outputs for these rows, and the ``name/version`` that made them.

    Raises what the scorer raised (``NotFound``, ``InvalidEvent``, ``PredictionInvalid``, ``TaskFailed``,
    ``RunnerDied``), ``Unavailable`` while its model cannot be had, ``TooLarge``, ``Busy`` when the worker is full or
    away, and ``TimeoutError``, which says so.
    """
    body = packed(rows)
    if len(body) > BODY_LIMIT:
        raise TooLarge(f"rows of {len(body)} bytes, the limit is {BODY_LIMIT}")
    try:
        async with asyncio.timeout(timeout):
            reply, answer = await _exchange(path, _framed(ModelCall(model, len(body), timeout)) + body)
    except TimeoutError:
        said = f"model '{model}' did not answer within {timeout:g} s: it is being loaded, or busy; see /readyz"
        raise TimeoutError(said) from None
    if reply.error:
        raise _raised(reply)
    return unpacked(answer), reply.ref


async def _exchange(path: Path, question: bytes) -> tuple[Reply, bytes]:
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError as error:
        raise Busy(f"no worker answers at {path.name}") from error
    try:
        writer.write(question)
        await writer.drain()
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        reply = msgspec.msgpack.decode(await reader.readexactly(length), type=Reply)
        return reply, await reader.readexactly(reply.size)
    except (OSError, asyncio.IncompleteReadError) as error:
        raise Busy("the worker has no room for the call, or went away during it") from error
    finally:
        writer.close()


def packed(rows: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_batch(rows)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def unpacked(body: bytes) -> pa.RecordBatch:
    """Raises ``InvalidEvent`` for bytes that are no stream of one batch."""
    try:
        with pa.ipc.open_stream(body) as stream:
            rows = stream.read_next_batch()
        rows.validate(full=True)
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise InvalidEvent(f"not an Arrow stream of rows: {error}") from error
    return rows


def _framed(header: msgspec.Struct) -> bytes:
    encoded = msgspec.msgpack.encode(header)
    return _LENGTH.pack(len(encoded)) + encoded


def _send(connection: socket.socket, reply: Reply, body: bytes = b"") -> None:
    connection.sendall(_framed(reply) + body)


def _receive(connection: socket.socket) -> tuple[ModelCall, bytes]:
    """Raises ``TooLarge`` or ``InvalidEvent`` for what is no question."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > HEADER_LIMIT:
        raise TooLarge(f"a header of {length} bytes, the limit is {HEADER_LIMIT}")
    try:
        question = msgspec.msgpack.decode(_exactly(connection, length), type=ModelCall)
    except msgspec.MsgspecError as error:
        raise InvalidEvent(f"not a question: {error}") from error
    if not 0 <= question.size <= BODY_LIMIT:
        raise TooLarge(f"rows of {question.size} bytes, the limit is {BODY_LIMIT}")
    return question, _exactly(connection, question.size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        got = connection.recv_into(view[done:])
        if not got:
            raise ConnectionResetError("closed in the middle")
        done += got
    return bytes(data)


def _refusal(error: BaseException) -> Reply:
    kind = error.error if isinstance(error, TaskFailed) else ""
    reason = f"{kind}\0{error.reason}" if isinstance(error, TaskFailed) else str(error)
    passed_on = next((cls for cls in type(error).__mro__ if cls in PASSED_ON), type(error))
    return Reply(error=passed_on.__name__, reason=reason, retry_after=getattr(error, "retry_after", 0.0))


def _raised(reply: Reply) -> PenstockError:
    kind = getattr(errors, reply.error, None)
    if kind is TaskFailed:
        error, _, reason = reply.reason.partition("\0")
        return TaskFailed(error, reason, "")
    if kind is Busy:
        return Busy(reply.reason, retry_after=reply.retry_after)
    if kind in PASSED_ON:
        return kind(reply.reason)  # type: ignore[no-any-return]
    return PenstockError(f"{reply.error}: {reply.reason}")
