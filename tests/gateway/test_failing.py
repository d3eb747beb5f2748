"""A disk that fails under a real gateway process: 507 while it is full, and no answer at all once it lies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

CHILD = Path(__file__).with_name("failing.py")


@contextmanager
def gateway(folder: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    folder.mkdir(exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, str(CHILD), str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
            yield process, http
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def publish(http: httpx.Client, number: int) -> httpx.Response:
    return http.post("/topics/notes/events", json={"n": number})


def stored(http: httpx.Client) -> list[int]:
    return [event["data"]["n"] for event in http.get("/topics/notes/events").json()]


def test_a_full_disk_is_507_and_over_when_there_is_space(tmp_path: Path) -> None:
    with gateway(tmp_path) as (_, http):
        assert publish(http, 1).status_code == 200
        (tmp_path / "full").touch()
        refused = publish(http, 2)
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "log_full")
        assert stored(http) == [1]
        (tmp_path / "full").unlink()
        assert publish(http, 3).status_code == 200
        assert sorted(stored(http)) == [1, 3]


def test_after_a_failed_fsync_nobody_is_answered_and_the_process_ends(tmp_path: Path) -> None:
    with gateway(tmp_path) as (process, http):
        assert publish(http, 1).status_code == 200
        (tmp_path / "broken").touch()
        with pytest.raises(httpx.TransportError):
            publish(http, 2)
        assert process.wait(10) == 1
    (tmp_path / "broken").unlink()
    with gateway(tmp_path) as (_, http):  # what was acknowledged is there; the other one may be
        assert 1 in stored(http)
        assert publish(http, 3).status_code == 200
