"""What parent and child say to each other: small MessagePack messages over a socket, rows through shared memory.

The child runs code that nobody vouches for. So the parent never unpickles what comes from it, copies the rows out of
the shared file before it looks at them (the child could change them under its eyes), and checks them in full. The
child copies as well: a user who keeps a frame must not see the next call's rows in it. ``pread``/``pwrite`` on the
shared file rather than a mapping: a file that the other side cut short then means a short read and not a SIGBUS.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec
import pyarrow as pa

from ..models.interface import ModelVersion, Signature
from ..plan.run_time import RunTimeSubscription
from .interface import Artifact, ChangeSubscription, SetAlias, Wish

MESSAGE_LIMIT_BYTES = 64 << 20  # bytes of one message; rows travel apart
_LENGTH = struct.Struct("<I")
_CHUNK = 65_536


class Broken(Exception):
    """What came is not of this protocol."""


class Closed(Broken):
    """The other side is gone."""


class Rows(msgspec.Struct, frozen=True):
    """Rows that lie at the beginning of the sender's shared file. ``schema`` is absent when it is the last one sent."""

    size: int
    schema: bytes | None = None


class WireVersion(msgspec.Struct, frozen=True):
    """An ``interface.Artifact``."""

    path: str
    name: str
    version: int
    digest: str
    runtime: str
    inputs: bytes
    outputs: bytes
    created: int
    trusted: bool


# -- parent to child ----------------------------------------------------------


class Setup(msgspec.Struct, frozen=True, tag=True):
    """The first message: a plan as ``plan.codec`` writes it. Without one the child only loads models."""

    plan: bytes | None


class Open(msgspec.Struct, frozen=True, tag=True):
    """Open the resources of a stage's function."""

    stage: str


class Apply(msgspec.Struct, frozen=True, tag=True):
    stage: str
    rows: Rows


class LoadVersion(msgspec.Struct, frozen=True, tag=True):
    artifact: WireVersion


class Predict(msgspec.Struct, frozen=True, tag=True):
    model: str
    version: int
    rows: Rows


class InspectArtifact(msgspec.Struct, frozen=True, tag=True):
    path: str
    name: str
    inputs: bytes | None
    outputs: list[str]
    trusted: bool


class Told(msgspec.Struct, frozen=True, tag=True):
    """What a service answers; the body is the handle's own, see ``handles``."""

    body: bytes


class ServiceRefused(msgspec.Struct, frozen=True, tag=True):
    """A service raised: an error's type name and message."""

    error: str
    reason: str


Request = Setup | Open | Apply | LoadVersion | Predict | InspectArtifact | Told | ServiceRefused


# -- child to parent ----------------------------------------------------------


class Acknowledged(msgspec.Struct, frozen=True, tag=True):
    """Started, or opened."""


class LoadedVersions(msgspec.Struct, frozen=True, tag=True):
    """The (model, version) pairs that are loaded now."""

    held: list[tuple[str, int]]


class RowFailed(msgspec.Struct, frozen=True):
    row: int
    error: str
    reason: str
    traceback: str
    rejected: bool
    transient: bool


class AliasWanted(msgspec.Struct, frozen=True, tag=True):
    model: str
    alias: str
    version: int
    expected: int | None


class SubscriptionWanted(msgspec.Struct, frozen=True, tag=True):
    name: str
    change: Literal["put", "delete", "pause", "resume"]
    put: RunTimeSubscription | None = None


class FunctionResult(msgspec.Struct, frozen=True, tag=True):
    """``parents``: little-endian int64s."""

    rows: Rows | None
    parents: bytes = b""
    failures: list[RowFailed] = []
    commands: list[AliasWanted | SubscriptionWanted] = []


class Inspected(msgspec.Struct, frozen=True, tag=True):
    runtime: str
    inputs: bytes
    outputs: bytes


class CallFailed(msgspec.Struct, frozen=True, tag=True):
    error: str
    reason: str
    traceback: str
    unavailable: bool = False
    transient: bool = False
    rows: list[int] = []  # of an ``InputInvalid``


class Ask(msgspec.Struct, frozen=True, tag=True):
    """What the function asks of a handle, while its call runs."""

    handle: str
    method: str
    body: bytes


Reply = Acknowledged | LoadedVersions | FunctionResult | Inspected | CallFailed | Ask

_In = TypeVar("_In")


class Channel(Generic[_In]):
    """Messages both ways, and the two shared files with the rows: ``out`` is written here, ``into`` is read."""

    def __init__(self, sock: socket.socket, out: int, into: int, reads: object) -> None:
        self.sock = sock
        self._out, self._into = out, into
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[_In] = msgspec.msgpack.Decoder(reads)
        self._sent: pa.Schema | None = None
        self._seen: pa.Schema | None = None

    def send(self, message: msgspec.Struct) -> None:
        """Raises ``Closed``."""
        body = self._encoder.encode(message)
        try:
            self.sock.sendall(_LENGTH.pack(len(body)) + body)
        except OSError as error:
            raise Closed(str(error)) from error

    def receive(self, patience: float | None = None) -> _In:
        """Wait for a message, and ``patience`` seconds for each part after the first; mostly it comes in one.

        Raises ``Broken`` or ``TimeoutError``.
        """
        got = self._receive(_CHUNK)
        if len(got) < _LENGTH.size or len(got) - _LENGTH.size < _LENGTH.unpack_from(got)[0]:
            # A timeout only now: a socket with one asks the kernel twice for everything it does.
            self.sock.settimeout(patience)
            try:
                got = self._rest(got)
            finally:
                self.sock.settimeout(None)
        try:
            return self._decoder.decode(memoryview(got)[_LENGTH.size :])
        except msgspec.MsgspecError as error:
            raise Broken(str(error)) from error

    def put(self, rows: pa.RecordBatch) -> Rows:
        """Lay rows into the shared file, over those of the call before."""
        schema = None
        if self._sent is None or not self._sent.equals(rows.schema, check_metadata=True):
            self._sent = rows.schema
            schema = rows.schema.serialize().to_pybytes()
        data, done = memoryview(rows.serialize()), 0
        while done < len(data):
            done += os.pwrite(self._out, data[done:], done)
        return Rows(len(data), schema)

    def take(self, rows: Rows) -> pa.RecordBatch:
        """A private copy of the rows that the other side laid down. Raises ``Broken`` when they are none."""
        try:
            if rows.schema is not None:
                self._seen = read_schema(rows.schema)
            if self._seen is None or not 0 < rows.size <= os.fstat(self._into).st_size:
                raise Broken("rows that are not there")
            batch = pa.ipc.read_record_batch(self._copy(rows.size), self._seen)
            batch.validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise Broken(f"rows that cannot be read: {error}") from error
        return batch

    def _copy(self, size: int) -> pa.Buffer:
        buffer = pa.allocate_buffer(size)
        view, done = memoryview(buffer), 0
        while done < size:
            got = os.preadv(self._into, [view[done:]], done)
            if got == 0:
                raise Broken("rows that were cut short")
            done += got
        return buffer

    def _rest(self, got: bytes) -> bytes:
        while len(got) < _LENGTH.size:
            got += self._receive(_CHUNK)
        (size,) = _LENGTH.unpack_from(got)
        if size > MESSAGE_LIMIT_BYTES:
            raise Broken(f"a message of {size} bytes")
        parts, missing = [got], _LENGTH.size + size - len(got)
        while missing > 0:
            parts.append(self._receive(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def _receive(self, size: int) -> bytes:
        try:
            got = self.sock.recv(size)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise Closed(str(error)) from error
        if not got:
            raise Closed("the socket was closed")
        return got


def to_wire(artifact: Artifact) -> WireVersion:
    version = artifact.version
    return WireVersion(
        str(artifact.path),
        version.name,
        version.version,
        version.digest,
        version.runtime,
        version.signature.inputs.serialize().to_pybytes(),
        version.signature.outputs.serialize().to_pybytes(),
        version.created,
        version.trusted,
    )


def wish_to_wire(wish: Wish) -> AliasWanted | SubscriptionWanted:
    if isinstance(wish, SetAlias):
        return AliasWanted(wish.model, wish.alias, wish.version, wish.expected)
    return SubscriptionWanted(wish.name, wish.change, wish.put)


def wish_from_wire(sent: AliasWanted | SubscriptionWanted) -> Wish:
    """Raises ``Broken`` for a put of nothing, or of another name."""
    if isinstance(sent, AliasWanted):
        return SetAlias(sent.model, sent.alias, sent.version, sent.expected)
    if (sent.change == "put") != (sent.put is not None) or (sent.put is not None and sent.put.name != sent.name):
        raise Broken("a subscription that is not what it says")
    return ChangeSubscription(sent.name, sent.change, sent.put)


def from_wire(sent: WireVersion) -> Artifact:
    signature = Signature(read_schema(sent.inputs), read_schema(sent.outputs))
    version = ModelVersion(
        sent.name, sent.version, sent.digest, sent.runtime, signature, sent.created, trusted=sent.trusted
    )
    return Artifact(version, Path(sent.path))


def read_schema(data: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(data))
