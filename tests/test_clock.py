"""Time is an argument, ``penstock.clock.Clock``: who takes it from the system has a reason for that, written here."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "penstock"
CHILD = "a child process lives in real time"
FILES = "it is compared with the times of files, which the system writes"
LOOP = "it goes on beside the event loop's own timers"
# folders and files of src/penstock that may import ``time``
REASONS = {
    "bench/": "it measures",
    "cli/dead.py": "a person waits",
    "client/sending.py": "a server elsewhere is waited for",
    "clock.py": "it is the clock",
    "demo/": "a person watches",
    "destinations/webhook/transport.py": "libcurl's timers are of real time",
    "gateway/doors/models.py": LOOP,
    "gateway/doors/publish.py": LOOP,
    "gateway/readiness.py": FILES,
    "gateway/wire/body.py": "it lets another thread have the interpreter",
    "log/processes/heartbeat.py": "the hearts of other processes beat in real time",
    "log/repair.py": "a folder is called by the day",
    "log/sqlite/pulse.py": "it waits for a socket",
    "models/artifacts.py": FILES,
    "notices.py": "it is the default for who has no clock",
    "objects/folder.py": FILES,
    "run/compose/delivery_watch.py": "it counts its own CPU, of which a clock knows nothing",
    "run/supervisor/children.py": CHILD,
    "runner/child.py": CHILD,
    "runner/process.py": CHILD,
    "testing/destination_contract.py": "destinations answer in real time, from threads of their own",
    "testing/log_contract/": "logs wait in real time, and that is tested",
}


def importing_time(texts: Mapping[str, str]) -> set[str]:
    """The files that import the module ``time``, wherever in them."""
    return {
        file
        for file, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.Import) and "time" in {name.name for name in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module == "time" and not node.level)
    }


def places(files: set[str]) -> set[str]:
    """With the folder in place of a file where the whole folder has a reason."""
    return {
        next((place for place in REASONS if place.endswith("/") and file.startswith(place)), file) for file in files
    }


def test_who_takes_time_from_the_system_has_a_reason_for_it() -> None:
    texts = {file.relative_to(SOURCE).as_posix(): file.read_text() for file in SOURCE.rglob("*.py")}
    assert places(importing_time(texts)) == set(REASONS)


@pytest.mark.parametrize("how", ["import time", "import os, time as t", "def f():\n    from time import sleep"])
def test_one_that_takes_it_unseen_is_found(how: str) -> None:
    assert importing_time({"a.py": how, "b.py": "from datetime import time\nfrom .time import x"}) == {"a.py"}
