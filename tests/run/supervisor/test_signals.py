import os
import signal
import subprocess
import sys
import time

import pytest

from penstock.run.supervisor.signals import Signals


def test_a_signal_ends_the_wait_and_is_counted() -> None:
    with Signals() as signals:
        assert not signals.wait(0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.wait(5) and signals.stop
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.wait(5) and signals.count == 2


def test_a_childs_death_ends_the_wait_without_a_stop() -> None:
    with Signals() as signals:
        child = subprocess.Popen([sys.executable, "-S", "-c", ""])
        began = time.monotonic()
        assert signals.wait(10) and time.monotonic() - began < 5
        assert not signals.stop
        child.wait()


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Signals():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


BLOCKED = """
import os, signal, sys
from penstock.run.supervisor.signals import Signals
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
{plant}
with Signals() as signals:
    os.kill(os.getpid(), signal.SIGTERM)
    print(signals.wait(5) and signals.stop)
"""


def heard(plant: str = "") -> None:
    code = BLOCKED.replace("{plant}", plant)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n", "a signal was not heard"


def test_signals_that_were_blocked_or_ignored_by_who_started_it_are_heard() -> None:
    heard()


@pytest.mark.parametrize(
    "plant", ["signal.pthread_sigmask = lambda how, numbers: set()", "signal.signal = lambda number, handler: None"]
)
def test_mutant_signals_left_as_they_were_found_are_caught(plant: str) -> None:
    with pytest.raises(AssertionError, match="not heard"):
        heard(plant)
