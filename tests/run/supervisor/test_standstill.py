"""Who is stopped, by whom it may be, and for how long; time is moved by hand."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from penstock.clock import ManualClock
from penstock.run.supervisor.standstill import Standstill


@pytest.fixture
def child() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def becomes(child: psutil.Process, stopped: bool) -> None:
    child.send_signal(signal.SIGSTOP if stopped else signal.SIGCONT)
    until = time.monotonic() + 10
    while (child.status() == psutil.STATUS_STOPPED) != stopped:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_only_who_is_stopped_for_all_of_that_time_is_found(child: psutil.Process) -> None:
    clock = ManualClock()
    standstill = Standstill(clock, 10.0)
    clock.advance(100)
    assert not standstill.too_long(child.pid), "it runs"
    becomes(child, True)
    assert not standstill.too_long(child.pid), "it has just been stopped"
    clock.advance(9)
    assert not standstill.too_long(child.pid)
    becomes(child, False)
    assert not standstill.too_long(child.pid)
    becomes(child, True)
    clock.advance(9)
    assert not standstill.too_long(child.pid), "it went on in between"
    clock.advance(10)
    assert standstill.too_long(child.pid)


def test_one_that_is_gone_is_not_stopped(child: psutil.Process) -> None:
    child.kill()
    child.wait(10)
    assert not Standstill(ManualClock(), 0.0).too_long(child.pid)
