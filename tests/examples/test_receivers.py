"""The examples that may tell somebody do so from a file of its own: ``app.py`` needs no receiver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def subscriptions(file: Path) -> list[dict[str, Any]]:
    """In a process of its own: both files are the module ``app`` to it."""
    command = [sys.executable, "-m", "penstock", "check", "--plan", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)["subscriptions"]
    return found


@pytest.mark.parametrize(
    ("example", "file", "source", "where", "variable", "attempts"),
    [
        ("flights", "ops.py", "delays", "arr_delay > 60", "OPS_URL", 3),
        ("fraud", "cases.py", "scores", "score > 0.9", "CASE_URL", 10),
    ],
)
def test_somebody_may_be_told(example: str, file: str, source: str, where: str, variable: str, attempts: int) -> None:
    assert not subscriptions(EXAMPLES / example / "app.py")
    (told,) = subscriptions(EXAMPLES / example / file)
    assert (told["source"], told["where"], told["url"]["variable"]) == (source, where, variable)
    assert (told["attempts"], told["ttl"], len(told["secrets"])) == (attempts, 86_400, 1)
