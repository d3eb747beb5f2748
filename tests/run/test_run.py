"""`penstock run` as users meet it: real processes, a real directory, signals. The times are the promises' own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import psutil
import pytest
from tests.run.server import MODEL, PENSTOCK, Server, wait_for, write_app

from penstock.errors import PenstockError, Uncertain, Unreachable


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("run")
    with Server(write_app(folder), folder / "data") as running:
        yield running.ready()


def frame(start: int, count: int) -> pl.DataFrame:
    return pl.DataFrame({"n": range(start, start + count), "x": [float(i) for i in range(start, start + count)]})


def scored(server: Server, count: int) -> pl.DataFrame:
    """What is in the last topic once it has so many rows."""
    found: list[pl.DataFrame] = []

    def enough() -> bool:
        try:
            with server.client() as client:
                found[:] = [client.read("doubles")]
        except PenstockError:  # while a gateway is away
            return False
        return found[0].height >= count

    wait_for(enough)
    return found[0]


def test_events_in_predictions_out(server: Server) -> None:
    with server.client() as client:
        spans = client.publish("readings", frame(0, 1_000))
        assert sum(span.count for span in spans) == 1_000
        found = scored(server, 1_000).sort("n")
        assert found["n"].to_list() == list(range(1_000))
        assert found["y"].to_list() == [2.0 * i for i in range(1_000)]
        wait_for(client.ready)  # said once a second
        assert client.models()[0]["aliases"]["champion"]["version"] == 1
        assert client.infer("double", frame(0, 2).with_columns(z=pl.Series([1.0, 2.5])))["y"].to_list() == [2.0, 5.0]
        assert {g["owner"] is not None for g in client.groups()} == {True}


def test_metrics_of_all_processes(server: Server) -> None:
    import httpx

    names = ("consumer_lag_events{", "events_consumed_total{stage", "score_batch_rows_bucket{le", "model_info{alias")
    with server.client() as client:
        client.publish("readings", frame(0, 1))
    shown = ""

    def all_there() -> bool:
        nonlocal shown
        shown = httpx.get(f"{server.url}/metrics").text
        return all(f"penstock_{name}" in shown for name in (*names, "ingest_bytes_total"))

    assert wait_for(all_there), shown


def test_a_second_run_on_the_directory_names_the_first(server: Server) -> None:
    app = server.data.parent / "app.py"
    done = subprocess.run(
        [*PENSTOCK, "run", str(app), "--data", str(server.data), "--port", "0"], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    assert f"process id {server.process.pid}" in done.stderr and done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line(server: Server, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    done = subprocess.run(
        [*PENSTOCK, "run", str(server.data.parent / "app.py"), "--data", str(tmp_path), "--port", port],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and f"port {port}" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("role", ["gateway", "worker-1"])
def test_a_killed_child_is_back_within_two_seconds(server: Server, role: str) -> None:
    before = server.pid(role)
    os.kill(before, signal.SIGKILL)
    began = time.monotonic()
    status = server.data / "run" / "status" / f"{role}.json"
    wait_for(lambda: (pid := server.pid(role)) and pid != before and f'"pid": {pid}' in status.read_text())
    assert time.monotonic() - began < 2.0 * slowness()


def names_another(status: Path, pid: int) -> bool:
    return f'"pid": {pid}' not in status.read_text()


def test_a_child_killed_again_and_again_is_started_at_once_each_time(server: Server) -> None:
    status = server.data / "run" / "status" / "worker-1.json"
    for _ in range(4):
        before = server.pid("worker-1")
        os.kill(before, signal.SIGKILL)
        wait_for(partial(names_another, status, before))
    assert server.errors.count("worker-1 died and is started again") >= 4
    assert "keeps dying" not in server.errors


def slowness() -> float:
    """How much longer things take here than on an idle machine: other work counts against nobody's promise."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) * 2)


def test_nothing_is_lost_or_doubled_while_processes_are_killed(server: Server) -> None:
    start, pieces = 10_000, 24
    stop = threading.Event()

    def kill() -> None:
        for role in ("worker-1", "gateway", "worker-1"):
            if not stop.wait(0.7) and (pid := server.pid(role)):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    acknowledged: list[int] = []
    uncertain: list[int] = []
    try:
        for piece in range(pieces):
            rows = frame(start + piece * 100, 100)
            with server.client() as client:
                try:
                    client.publish("readings", rows)
                    acknowledged += rows["n"].to_list()
                except (Uncertain, Unreachable):
                    uncertain += rows["n"].to_list()
            time.sleep(0.08)
    finally:
        stop.set()
        killer.join()
    found = wait_for(lambda: everything(server, acknowledged))
    counts = Counter(n for n in found if n >= start)
    assert set(counts) - set(acknowledged) <= set(uncertain)
    assert max(counts.values()) == 1


def everything(server: Server, acknowledged: list[int]) -> list[int] | None:
    try:
        with server.client() as client:
            found: list[int] = client.read("doubles")["n"].to_list()
    except PenstockError:
        return None
    return found if set(acknowledged) <= set(found) else None


def test_a_new_version_takes_over(server: Server, tmp_path: Path) -> None:
    import hashlib

    file = tmp_path / "triple.py"
    file.write_text(MODEL.format(factor=3))
    with server.client() as client:
        trust = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
        assert client.register_model("double", file, trust=trust, metrics={"mae": 1.5}) == 2
        client.promote("double", 2)

        def taken_over() -> bool:
            client.publish("readings", frame(50_000, 1))
            return 150_000.0 in client.read("doubles").filter(pl.col("n") == 50_000)["y"].to_list()

        wait_for(taken_over)


def test_what_a_gateway_and_a_worker_hold_in_memory(server: Server) -> None:
    def own(pid: int) -> int:
        return int(psutil.Process(pid).memory_full_info().pss) >> 20

    worker = psutil.Process(server.pid("worker-1"))
    assert own(server.pid("gateway")) <= 200
    assert sum(own(p.pid) for p in (worker, *worker.children(recursive=True))) <= 350


def test_functions_and_models_run_without_pandas(server: Server) -> None:
    """pyarrow imports it at the first list or array that it is given: time at each start, and memory for ever."""
    if not hasattr(psutil.Process, "memory_maps"):
        pytest.skip("this system does not tell what a process has loaded")
    with server.client() as client:
        before = client.read("doubles").height
        client.publish("readings", frame(60_000, 10))
    scored(server, before + 10)
    runners = [p.pid for p in server.family() if p.cmdline()[-1] in ("prepare", "doubles")]
    assert len(runners) >= 2
    for pid in (*runners, server.pid("worker-1"), server.pid("gateway")):
        loaded = [library.path for library in psutil.Process(pid).memory_maps()]
        assert any("pyarrow" in path for path in loaded) and not any("pandas" in path for path in loaded)


def test_stopping_drains_and_leaves_nobody_behind(tmp_path: Path) -> None:
    with Server(write_app(tmp_path), tmp_path / "data") as server:
        server.ready()
        with server.client() as client:
            client.publish("readings", frame(0, 5_000))
        family = server.family()
        assert len(family) >= 2
        assert server.stop(signal.SIGTERM) == 0
        assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    with Server(write_app(tmp_path), tmp_path / "data") as again:
        again.ready()
        assert sorted(scored(again, 5_000)["n"].to_list()) == list(range(5_000))
        family = again.family()
        again.stop(signal.SIGKILL)
        wait_for(lambda: not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], 10)
    with Server(write_app(tmp_path), tmp_path / "data") as third:  # what SIGKILL left is taken up
        third.ready()
        assert scored(third, 5_000).height == 5_000
        third.process.send_signal(signal.SIGINT)
        third.process.send_signal(signal.SIGINT)  # the second one: at once
        assert third.stop(signal.SIGINT) == 0
