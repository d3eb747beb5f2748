"""Who makes his stages ready first."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.run import worker
from penstock.run.directory import DataDirectory
from penstock.run.process import StageStatus, write_status

SOON = StageStatus(False, "it is being made ready", starting=True)


def waiting(directory: DataDirectory, name: str, stop: Event) -> Thread:
    process: Any = SimpleNamespace(name=name, directory=directory, stop=stop)
    thread = Thread(target=worker._after_the_first, args=(process,))
    thread.start()
    return thread


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    made = DataDirectory(tmp_path)
    made.status.mkdir(parents=True)
    return made


@pytest.mark.parametrize("after", [StageStatus(True), StageStatus(False, "it waits for the first version")])
def test_the_others_wait_until_the_first_is_at_work_or_says_why_not(
    directory: DataDirectory, after: StageStatus
) -> None:
    stop = Event()
    waiting(directory, "worker-1", stop).join(10)
    second = waiting(directory, "worker-2", stop)
    write_status(directory, "worker-1", {"prepare": StageStatus(True), "score": SOON})
    second.join(0.2)
    assert second.is_alive()
    write_status(directory, "worker-1", {"prepare": StageStatus(True), "score": after})
    second.join(10)
    assert not second.is_alive()


def test_not_for_ever(directory: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TURN", 0.05)
    waiting(directory, "worker-2", Event()).join(10)
    stop = Event()
    monkeypatch.setattr(worker, "TURN", 60.0)
    third = waiting(directory, "worker-3", stop)
    stop.set()
    third.join(10)
    assert not third.is_alive()
