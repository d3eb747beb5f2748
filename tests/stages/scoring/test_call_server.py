"""Whatever comes through the socket gets a typed error, and the server goes on."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import BoundedSemaphore

import msgspec
import pyarrow as pa
import pytest

from penstock.errors import AccessRefused, Busy, LogUnreachable, Unavailable
from penstock.models.interface import ModelVersion, Signature
from penstock.stages.failures.poison_policy import Sick
from penstock.stages.scoring.call_server import Answers, ModelCall, Reply, ask

ROWS = pa.RecordBatch.from_pydict({"n": [1, 2]})
VERSION = ModelVersion("m", 3, "0" * 64, "adds", Signature(ROWS.schema, ROWS.schema), 0)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    server = Answers(tmp_path / "a.sock", {"m": lambda rows, timeout: (rows, VERSION)})
    yield tmp_path / "a.sock"
    server.close()


def talk(path: Path, data: bytes) -> Reply:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        got = client.makefile("rb").read()
    (length,) = struct.unpack("<I", got[:4])
    return msgspec.msgpack.decode(got[4 : 4 + length], type=Reply)


def framed(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<I", len(header)) + header + body


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (framed(b"\xff\x00junk"), "InvalidEvent"),
        (struct.pack("<I", 1 << 31), "TooLarge"),
        (framed(msgspec.msgpack.encode(ModelCall("m", 1 << 40, 1.0))), "TooLarge"),
        (framed(msgspec.msgpack.encode(ModelCall("m", -1, 1.0))), "TooLarge"),
        (framed(msgspec.msgpack.encode(ModelCall("m", 4, 1.0)), b"junk"), "InvalidEvent"),
        (framed(msgspec.msgpack.encode(ModelCall("x", 0, 1.0))), "NotFound"),
    ],
)
def test_nonsense_is_answered_by_name(path: Path, data: bytes, error: str) -> None:
    assert talk(path, data).error == error
    assert asyncio.run(ask(path, "m", ROWS))[1] == "m/3"


def test_a_full_worker_says_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(str(path))
    monkeypatch.setattr(BoundedSemaphore, "acquire", lambda self, blocking=True: False)
    with pytest.raises(Busy, match=r"waiting already|no room"):
        asyncio.run(ask(path, "m", ROWS))


def test_a_model_that_cannot_be_had_is_unavailable_and_says_why(tmp_path: Path) -> None:
    def sick(rows: pa.RecordBatch, timeout: float) -> tuple[pa.RecordBatch, ModelVersion]:
        raise Sick("model m/3: no artifact")

    server = Answers(tmp_path / "a.sock", {"m": sick})
    with pytest.raises(Unavailable, match=r"^model m/3: no artifact$"):
        asyncio.run(ask(tmp_path / "a.sock", "m", ROWS))
    server.close()


def test_a_kind_of_an_error_is_told_as_what_it_is_a_kind_of(tmp_path: Path) -> None:
    def refused(rows: pa.RecordBatch, timeout: float) -> tuple[pa.RecordBatch, ModelVersion]:
        raise AccessRefused("the password has expired")

    server = Answers(tmp_path / "a.sock", {"m": refused})
    with pytest.raises(LogUnreachable, match=r"^the password has expired$"):
        asyncio.run(ask(tmp_path / "a.sock", "m", ROWS))
    server.close()


def test_a_worker_that_is_away_is_busy(tmp_path: Path) -> None:
    with pytest.raises(Busy, match="no worker"):
        asyncio.run(ask(tmp_path / "none.sock", "m", ROWS))
