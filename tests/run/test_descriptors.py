"""The limit of open files, in a process of its own: it is raised and never lowered, and connections fit under it."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from penstock.errors import CannotStart
from penstock.run.descriptors import make_room
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
try:
    print(make_room(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
except CannotStart as error:
    print(error)
"""


def make_room(soft: int, hard: int, wanted: int) -> str:
    command = [sys.executable, "-c", SCRIPT, *map(str, (soft, hard, wanted))]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "fits"),
    [
        (256, 4_096, 2_048, "2048 2176 4096"),  # raised as far as it is needed
        (1_024, 1_024, 2_048, "896 1024 1024"),  # as far as it may be
        (256, 256, 2_048, "128 256 256"),
        (4_096, 4_096, 2_048, "2048 4096 4096"),  # not lowered
        (256, 512, 16, "16 256 512"),  # not raised without need
    ],
)
def test_connections_fit_under_the_limit(soft: int, hard: int, wanted: int, fits: str) -> None:
    assert make_room(soft, hard, wanted) == fits


def test_too_few_to_start_are_said_with_what_to_do() -> None:
    assert "only 40 files may be open" in make_room(40, 40, 2_048)
    assert "ulimit -n" in make_room(40, 40, 2_048)
