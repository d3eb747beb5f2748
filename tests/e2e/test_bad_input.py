"""Whatever comes in that should not: a clear word on what was wrong and where, and nothing stored.

One real ``penstock run`` takes all that HTTP can bring; what must keep it from starting gets a process of its own.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import httpx
import pyarrow as pa
import pytest
import zstandard

from penstock.log.embedded import EmbeddedLog
from tests.e2e import rig

APP = """
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

import penstock as ps

app = ps.App("sink")


@dataclass
class Reading:
    n: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    unit: Literal["C", "F"]
    x: float | None = None
    note: str = ""


readings = app.topic("readings", Reading, key="n", partitions=2)
notes = app.topic("notes")
"""
PLAIN = "application/json"
EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
ARROW = "application/vnd.apache.arrow.stream"
GOOD = {"n": 1, "unit": "C"}
CLOUD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "reading", "data": GOOD}
GIB = 1 << 30
MIB = 1 << 20


# -- what a request may bring -------------------------------------------------


@dataclass(frozen=True)
class Bad:
    """``says`` must be in the message; ``where`` in the error beside it."""

    body: bytes | Callable[[], bytes]
    status: int = 400
    says: str = ""
    where: dict[str, object] = field(default_factory=dict)
    type: str = PLAIN
    headers: dict[str, str] = field(default_factory=dict)
    topic: str = "readings"


def event(**other: object) -> bytes:
    return json.dumps(GOOD | other).encode()


def among(bad: bytes, good: int = 99) -> bytes:
    """The last of many, so that all the others would have done."""
    return b"[" + b",".join([event()] * good + [bad]) + b"]"


def cloud(*without: str, **other: object) -> bytes:
    return json.dumps({k: v for k, v in (CLOUD | other).items() if k not in without}).encode()


def arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def readings(rows: int) -> pa.Table:
    return pa.table({"n": list(range(rows)), "unit": ["C"] * rows})


def cut_in_the_middle() -> bytes:
    whole = arrow(readings(10_000))
    return whole[: len(whole) // 2]


def gzip_bomb() -> bytes:
    """A gibibyte of spaces in a mebibyte: one flushed block of the stream, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b" " * (16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 64 + b"\x03\0" + bytes(8)


def zstd_bomb() -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    return b"".join([packer.compress(b" " * MIB) for _ in range(1_024)]) + packer.flush()


def thirty_three_mib() -> bytes:
    """Of few enough events, none of them large."""
    text = event(note="a" * 1_000)
    return b"[" + b",".join([text] * (33 * MIB // len(text))) + b"]"


def row(number: int) -> dict[str, object]:
    return {"row": number}


def at(number: int | None, name: str) -> dict[str, object]:
    return {"row": number, "field": name}


DEEP = 100_000
BAD = {
    "not JSON": Bad(b"hello", says="JSON"),
    "nothing at all": Bad(b"", says="JSON"),
    "JSON cut short": Bad(event()[:-1]),
    "no object": Bad(b'["a"]', where=row(0)),
    "an array in an array": Bad(b"[[]]", where=row(0)),
    "the last of a hundred": Bad(among(event(n="1400")), says="row 99", where=at(99, "n")),
    "a field missing": Bad(among(b'{"n": 1}'), says="unit", where=row(99)),
    "a text for a number": Bad(event(n="1400"), says="int", where=at(0, "n")),
    "a fraction for a whole number": Bad(event(n=1.5), says="int", where=at(0, "n")),
    "true for a number": Bad(event(n=True), says="int", where=at(0, "n")),
    "null for a value": Bad(event(unit=None), where=at(0, "unit")),
    "an object for a text": Bad(event(note={}), where=at(0, "note")),
    "below its range": Bad(event(n=-1), says="0", where=at(0, "n")),
    "above its range": Bad(among(event(n=1_000_001)), says="1000000", where=at(99, "n")),
    "beyond 64 bits": Bad(event(n=2**64), where=at(0, "n")),
    "beyond any number": Bad(b'{"n": 1' + b"0" * 5_000 + b', "unit": "C"}', where={}),
    "none of its values": Bad(event(unit="K"), says="K", where=at(0, "unit")),
    "NaN": Bad(b'{"n": 1, "unit": "C", "x": NaN}'),
    "Infinity": Bad(b'{"n": 1, "unit": "C", "x": Infinity}'),
    "minus Infinity": Bad(b'[{"n": 1, "unit": "C", "x": -Infinity}]'),
    "infinite by its exponent": Bad(b'{"n": 1, "unit": "C", "x": 1e999}', says="x"),
    "infinite where there is no type": Bad(b'{"x": 1e999}', topic="notes"),
    "bad UTF-8": Bad(b'{"n": 1, "unit": "C", "note": "\xff"}', says="UTF-8"),
    "an overlong NUL": Bad(b'{"n": 1, "unit": "C", "note": "\xc0\x80"}', says="UTF-8"),
    "bad UTF-8 where there is no type": Bad(b'{"a": "\xff"}', says="UTF-8", topic="notes"),
    "a lone surrogate": Bad(b'{"n": 1, "unit": "C", "note": "\\ud800"}', says="surrogate"),
    "a lone surrogate where there is no type": Bad(b'{"a": "\\udfff!"}', says="surrogate", topic="notes"),
    "arrays 100,000 deep": Bad(b"[" * DEEP + b"]" * DEEP, where=row(0)),
    "arrays 100,000 deep where there is no type": Bad(
        b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}", says="deep", topic="notes"
    ),
    "objects 100,000 deep": Bad(b'{"a":' * DEEP + b"1" + b"}" * DEEP, says="deep", topic="notes", where=at(0, "a")),
    "a field 100,000 deep": Bad(b'{"n": 1, "unit": "C", "x": ' + b"[" * DEEP + b"]" * DEEP + b"}", where=at(0, "x")),
    "an unknown field 100,000 deep": Bad(
        b'{"n": 1, "unit": "C", "y": ' + b"[" * DEEP + b"]" * DEEP + b"}", says="deep", where=at(0, "y")
    ),
    "depth without an end": Bad(b"[" * DEEP, topic="notes"),
    "a line of NDJSON": Bad(event() + b"\n{}\n", type="application/x-ndjson", where=row(1)),
    "a gzip bomb": Bad(gzip_bomb, 413, says="the limit is 1048576", headers={"content-encoding": "gzip"}),
    "a zstd bomb": Bad(zstd_bomb, 413, says="the limit is 1048576", headers={"content-encoding": "zstd"}),
    "33 MiB of events as gzip": Bad(
        lambda: gzip.compress(thirty_three_mib()), 413, says="decompressed", headers={"content-encoding": "gzip"}
    ),
    "33 MiB of events as zstd": Bad(
        lambda: zstandard.compress(thirty_three_mib()), 413, says="decompressed", headers={"content-encoding": "zstd"}
    ),
    "gzip cut short": Bad(gzip.compress(event())[:-9], says="gzip", headers={"content-encoding": "gzip"}),
    "no gzip": Bad(event(), says="gzip", headers={"content-encoding": "gzip"}),
    "an encoding that nobody reads": Bad(event(), 415, says="br", headers={"content-encoding": "br"}),
    "50,001 events": Bad(lambda: among(event(), 50_000), 413, says="50000"),
    "50,001 lines": Bad(lambda: (event() + b"\n") * 50_001, 413, says="50000", type="application/x-ndjson"),
    "50,001 rows of Arrow": Bad(lambda: arrow(readings(50_001)), 413, says="50000", type=ARROW),
    "an event of a mebibyte": Bad(lambda: event(note="a" * MIB), 413, says="1048576"),
    "a body of 33 MiB": Bad(lambda: b" " * (33 * MIB), 413, says=str(32 * MIB)),
    "an unknown topic": Bad(event(), 404, says="reading", topic="reading"),
    "a topic of ours": Bad(event(), 403, says="penstock.system", topic="penstock.system"),
    "another content type": Bad(event(), 415, says="text/plain", type="text/plain"),
    "another charset": Bad(event(), 415, says="latin-1", type="application/json; charset=latin-1"),
    "a CloudEvent without id": Bad(cloud("id"), type=EVENT, where=at(0, "id")),
    "a CloudEvent of a batch without id": Bad(b"[%b,%b]" % (cloud(), cloud("id")), type=BATCH, where=at(1, "id")),
    "an empty id": Bad(cloud(id=""), type=EVENT, where=at(0, "id")),
    "data and data_base64": Bad(cloud(data_base64="e30="), says="data_base64", type=EVENT, where=row(0)),
    "no base64": Bad(cloud("data", data_base64="?"), type=EVENT, where=at(0, "data_base64")),
    "a CloudEvent of another time": Bad(cloud(specversion="0.3"), type=EVENT, where=at(0, "specversion")),
    "binary mode without id": Bad(
        event(), says="id", headers={"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "t"}, where=at(0, "id")
    ),
    "Arrow of another schema": Bad(lambda: arrow(pa.table({"a": [1]})), type=ARROW, where={"field": "n"}),
    "Arrow of another type": Bad(lambda: arrow(pa.table({"n": ["1"], "unit": ["C"]})), type=ARROW, says="'n'"),
    "Arrow out of range": Bad(
        lambda: arrow(pa.table({"n": [0, -1], "unit": ["C", "C"]})), type=ARROW, where=at(1, "n")
    ),
    "Arrow cut in the middle": Bad(cut_in_the_middle, type=ARROW, says="Arrow"),
    "no Arrow": Bad(b"hello" * 9, type=ARROW, says="Arrow"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Rig]:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "app.py").write_text(APP)
    with rig.running(folder / "app.py", folder / "data", workers=1) as running:
        yield running


@pytest.fixture
def unchanged(server: rig.Rig) -> Iterator[None]:
    before = ends(server)
    yield
    assert ends(server) == before, "something was stored"


def ends(server: rig.Rig) -> dict[tuple[str, int], int]:
    """Where every partition ends, of the topics that a request could reach."""
    found = {}
    for topic in ("readings", "notes", "penstock.dead"):
        for part in httpx.get(f"{server.url}/topics/{topic}", timeout=10).json()["partitions"]:
            found[topic, part["partition"]] = part["end"]
    return found


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_whole(server: rig.Rig, unchanged: None, name: str) -> None:
    bad = BAD[name]
    answer = httpx.post(
        f"{server.url}/topics/{bad.topic}/events",
        content=bad.body if isinstance(bad.body, bytes) else bad.body(),
        headers={"content-type": bad.type} | bad.headers,
        timeout=30,
    )
    assert answer.status_code == bad.status, answer.text[:500]
    error = answer.json()["error"]
    assert bad.says in error["message"] and "Traceback" not in answer.text, error
    assert bad.where.items() <= error.items(), error
    for name, place in (("row", "row {}"), ("field", "field '{}'")):
        assert error.get(name) is None or place.format(error[name]) in error["message"], error


@pytest.mark.parametrize("kind", [PLAIN, BATCH, ARROW, "application/x-ndjson"])
def test_an_empty_batch_is_accepted_and_stores_nothing(server: rig.Rig, unchanged: None, kind: str) -> None:
    body = {ARROW: arrow(readings(0)), "application/x-ndjson": b""}.get(kind, b"[]")
    answer = httpx.post(f"{server.url}/topics/readings/events", content=body, headers={"content-type": kind})
    assert answer.status_code == 200 and answer.json() == {"count": 0, "positions": []}


def test_what_is_good_is_stored_after_all_that(server: rig.Rig) -> None:
    before = rig.count(server.url, "readings")
    body = among(event(), 49_999)
    answer = httpx.post(f"{server.url}/topics/readings/events", content=body, headers={"content-type": PLAIN})
    assert answer.status_code == 200 and answer.json()["count"] == 50_000
    assert before >= 0 and rig.count(server.url, "readings") == before + 50_000


# -- a gibibyte ---------------------------------------------------------------

HEAD = b"POST /topics/readings/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def connected(server: rig.Rig) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 80), 10)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of another process's memory is read from /proc")
@pytest.mark.parametrize("framing", ["declared", "chunked"])
def test_a_body_of_a_gibibyte_costs_little_memory(server: rig.Rig, unchanged: None, framing: str) -> None:
    (gateway,) = server.children("gateway")
    proc = Path("/proc") / str(gateway.pid)
    (proc / "clear_refs").write_text("5")  # the peak begins anew
    before = peak(proc)
    with connected(server) as wire:
        wire.sendall(
            HEAD
            + (b"content-length: %d\r\n\r\n" % GIB if framing == "declared" else b"transfer-encoding: chunked\r\n\r\n")
        )
        chunk = b" " * MIB
        sent, said = pour(wire, chunk if framing == "declared" else b"%x\r\n%b\r\n" % (len(chunk), chunk))
    assert said.startswith(b"HTTP/1.1 413") and str(32 * MIB).encode() in said, said
    assert sent < 256 * MIB, "the server went on reading"
    assert peak(proc) - before < 100 * MIB, "the body was kept"


def pour(wire: socket.socket, piece: bytes) -> tuple[int, bytes]:
    """Send until something is answered or a gibibyte is gone; how much went, and the answer."""
    sent = 0
    try:
        while sent < GIB and not select.select([wire], [], [], 0)[0]:
            wire.sendall(piece)
            sent += len(piece)
    except OSError:
        pass  # closed while we were sending: the answer was on its way before
    said = b""
    try:
        while more := wire.recv(4_096):  # head and body may come apart
            said += more
    except ConnectionResetError:
        pass
    return sent, said


def peak(proc: Path) -> int:
    line = next(text for text in (proc / "status").read_text().splitlines() if text.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


# -- models -------------------------------------------------------------------


class Marker:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def artifacts(marker: Path) -> dict[str, bytes]:
    return {
        "pickle.onnx": pickle.dumps(Marker(marker)),
        "text.onnx": b"this is no model",
        "empty.onnx": b"",
        "page.onnx": b"<!doctype html><title>404</title>",
        "zip.onnx": b"PK\x03\x04" + bytes(100),
        "code.onnx": b"import os\n\n\nclass M:\n    def predict(self, rows):\n        return rows\n",
        "pickle.joblib": pickle.dumps(Marker(marker), protocol=2),
    }


@pytest.mark.parametrize("name", artifacts(Path("x")))
def test_a_model_that_is_not_what_its_name_says(server: rig.Rig, unchanged: None, tmp_path: Path, name: str) -> None:
    marker, file = tmp_path / "marker", tmp_path / name
    file.write_bytes(artifacts(marker)[name])
    done = penstock("models", "register", "thing", str(file), "--url", server.url)
    assert done.returncode == 1 and done.stdout == "", done
    one_message(done.stderr)
    assert not marker.exists(), "an untrusted pickle was loaded"
    assert httpx.get(f"{server.url}/models").json() in ([], {"models": []}), "it was registered"


def test_the_marker_would_have_been_made(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Marker(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize(("command", "name"), [("check", "text.onnx"), ("run", "pickle.onnx")])
def test_an_app_whose_model_is_not_what_its_name_says(tmp_path: Path, command: str, name: str) -> None:
    marker = tmp_path / "marker"
    (tmp_path / name).write_bytes(artifacts(marker)[name])
    app = tmp_path / "app.py"
    more = (
        f'model = app.model("m", "{name}", outputs=["y"])\nout = app.topic("out")\napp.score(readings, model, to=out)\n'
    )
    app.write_text(APP + more)
    done = start(command, app, tmp_path / "data")
    assert done.returncode == (1 if command == "check" else 2) and not marker.exists()
    assert "app.py:24" in done.stderr and "Traceback" not in done.stderr, done.stderr


# -- what keeps an app from starting ------------------------------------------


def penstock(*arguments: str, before: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "penstock", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PENSTOCK_LOG": "json", **env},
    )


def start(command: str, app: Path, data: Path, *more: str, **kw: object) -> subprocess.CompletedProcess[str]:
    """``penstock run`` that is expected to end by itself, or ``penstock check``."""
    options = () if command == "check" else ("--data", str(data), "--port", "0", "--workers", "1", *more)
    return penstock(command, str(app), *options, **kw)  # type: ignore[arg-type]


def one_message(stderr: str) -> str:
    """It is said once, by one process, in words, and not in a traceback through our own files."""
    assert stderr.count("penstock: ") == 1 and stderr.startswith("penstock: "), stderr
    assert "Traceback" not in stderr and f"{os.sep}src{os.sep}penstock" not in stderr, stderr
    return stderr


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(APP)
    return path


BROKEN = {
    "a syntax error": ("import penstock as ps\n\ndef f(:\n", "app.py:3: invalid syntax"),
    "wrong indentation": ("if True:\nx = 1\n", "app.py:2: expected an indented block"),
    "a module that is not there": ("\nimport nothing_of_that_name\n", 'app.py", line 2'),
    "an exception": ("def f():\n    return 1 / 0\n\nf()\n", 'app.py", line 2'),
    "a NUL byte": ("x = 1\0\n", "app.py"),
    "not UTF-8": ("x = '\udcff'\n", "app.py"),
    "no app": ("x = 1\n", "declares no App"),
}


@pytest.mark.parametrize(("command", "name"), [*(("check", name) for name in BROKEN), ("run", "an exception")])
def test_a_broken_app_is_told_by_file_and_line(app: Path, tmp_path: Path, command: str, name: str) -> None:
    text, says = BROKEN[name]
    app.write_bytes(text.encode("utf-8", "surrogateescape"))
    done = start(command, app, tmp_path / "data")
    assert done.returncode == 2 and done.stdout == "", done
    assert says in one_message(done.stderr)
    assert not (tmp_path / "data" / "log.db").exists(), "something was stored"


@pytest.mark.parametrize(("command", "code"), [("check", 1), ("run", 2)])
def test_a_declaration_that_could_not_run_is_told_by_line(app: Path, tmp_path: Path, command: str, code: int) -> None:
    app.write_text(APP.replace('note: str = ""', "note: dict | None = None"))
    done = start(command, app, tmp_path / "data")
    assert done.returncode == code and "Reading.note" in done.stderr and "app.py:20" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "data" / "log.db").exists()


def test_a_data_directory_of_a_newer_version(app: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    EmbeddedLog(data).close()
    db = apsw.Connection(str(data / "log.db"))
    db.execute("PRAGMA user_version=99")
    db.close()
    before = (data / "log.db").read_bytes()
    done = start("run", app, data)
    assert done.returncode == 2 and "format 99" in one_message(done.stderr) and "newer" in done.stderr
    assert (data / "log.db").read_bytes() == before


@pytest.mark.parametrize("left", [0, 60_000])
def test_a_data_directory_without_space(app: Path, tmp_path: Path, left: int) -> None:
    with rig.small_disk(tmp_path / "disk", "8M") as disk:
        (disk / "ballast").write_bytes(bytes(8 * MIB - left))
        done = start("run", app, disk / "data")
        assert done.returncode == 2, done
        assert "space" in one_message(done.stderr)


def test_a_data_directory_without_permission(tmp_path: Path) -> None:
    """Root may write anywhere, so as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-"))  # pytest's own are closed to other users
    try:
        folder.chmod(0o755)
        (folder / "app.py").write_text(APP)
        (folder / "data").mkdir(mode=0o555)
        done = start("run", folder / "app.py", folder / "data", before=somebody_else(), HOME=str(folder))
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 2, done
    assert "permission" in one_message(done.stderr).lower() or "may not write" in done.stderr
    assert str(folder / "data") in done.stderr


def somebody_else() -> tuple[str, ...]:
    if os.geteuid():
        return ()
    command = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    if shutil.which("setpriv") is None or subprocess.run([*command, sys.executable, "-c", "0"]).returncode:
        pytest.skip("root cannot become somebody else who may run this Python")
    return command


def test_a_data_directory_on_a_network_file_system(app: Path, tmp_path: Path) -> None:
    """What the system says of its mounts is replaced in every process of the run: there is no server to mount from."""
    mount = f"sdiskpart('host:/x', {str(tmp_path / 'remote')!r}, 'nfs4', 'rw')"
    env = rig.planted(
        tmp_path / "plant",
        f"import psutil\nfrom psutil._ntuples import sdiskpart\npsutil.disk_partitions = lambda all=False: [{mount}]\n",
    )
    done = start("run", app, tmp_path / "remote" / "data", **env)
    assert done.returncode == 2 and "nfs4" in one_message(done.stderr) and "network" in done.stderr
    assert not (tmp_path / "remote" / "data" / "log.db").exists()


def test_a_data_directory_that_is_a_file(app: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    done = start("run", app, tmp_path / "data")
    assert done.returncode == 2 and str(tmp_path / "data") in one_message(done.stderr)
    assert (tmp_path / "data").read_text() == "mine"


def test_a_port_in_use(server: rig.Rig, app: Path, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    done = start("run", app, tmp_path / "data", "--port", port)
    assert done.returncode == 2 and f"port {port}" in one_message(done.stderr) and "in use" in done.stderr


def test_two_runs_on_one_directory(server: rig.Rig, app: Path, unchanged: None) -> None:
    assert_second_run_refused(server, app)


def assert_second_run_refused(first: rig.Rig, app: Path, **env: str) -> None:
    done = start("run", app, first.directory, **env)
    assert done.returncode == 2 and f"process id {first.process.pid}" in one_message(done.stderr)
    assert httpx.get(f"{first.url}/readyz").status_code == 200, "the first one was disturbed"


UNLOCKED = """
import fcntl
from penstock.run.supervisor import sockets
def go_on(host, port, access):
    raise SystemExit(0)
fcntl.flock = lambda *_: None
sockets.listen = go_on
"""


def test_mutant_a_second_run_that_goes_on_is_caught(app: Path, tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", UNLOCKED, "penstock")
    with (
        rig.running(app, tmp_path / "data", workers=1) as running,
        pytest.raises(AssertionError, match="0 == 2"),
    ):
        assert_second_run_refused(running, app, **env)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach(app: Path, tmp_path: Path, host: str) -> None:
    assert_refused(app, tmp_path, host)


def assert_refused(app: Path, tmp_path: Path, host: str, **env: str) -> None:
    done = start("run", app, tmp_path / "data", "--host", host, **env)
    assert done.returncode == 2 and host in one_message(done.stderr)


UNCHECKED = """
import socket
from penstock.run.supervisor import sockets
class Nowhere(socket.socket):
    def bind(self, address):
        raise SystemExit(0)
sockets.check_bind = lambda host, access: None
socket.socket = Nowhere
"""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_mutant_an_address_that_is_not_looked_at_is_caught(app: Path, tmp_path: Path, host: str) -> None:
    """It would be bound; what is planted ends there, so that nothing is open to others."""
    env = rig.planted(tmp_path / "plant", UNCHECKED, "penstock")
    with pytest.raises(AssertionError, match="0 == 2"):
        assert_refused(app, tmp_path, host, **env)


def test_the_default_is_loopback(server: rig.Rig) -> None:
    assert_only_loopback(server)


def assert_only_loopback(running: rig.Rig) -> None:
    listening = {c.laddr.ip for p in running.family() for c in p.net_connections("inet") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


ANOTHER_DEFAULT = """
from penstock.run.supervisor import sockets
plain = sockets.listen
sockets.listen = lambda host, port, access: plain("127.0.0.2", port, access=access)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.1 is the only address of the loopback network")
def test_mutant_another_default_is_caught(app: Path, tmp_path: Path) -> None:
    """Another address of this machine stands for one that others reach."""
    env = rig.planted(tmp_path / "plant", ANOTHER_DEFAULT, "penstock")
    with (
        rig.running(app, tmp_path / "data", workers=1, env=env) as running,
        pytest.raises(AssertionError, match=r"127\.0\.0\.2"),
    ):
        assert_only_loopback(running)
