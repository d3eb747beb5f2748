import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import telemetry


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("penstock")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


def test_a_line_is_one_json_object_with_its_fields() -> None:
    out = io.StringIO()
    telemetry.log_to(out, "worker-1", kind="json")
    telemetry.logger("penstock.stages.pump").warning("lease\nlost", topic="t", partition=3, pid="not mine to set")
    entry = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert entry["message"] == "lease\nlost" and entry["level"] == "warning" and entry["process"] == "worker-1"
    assert (entry["topic"], entry["partition"], entry["pid"]) == ("t", 3, os.getpid())


def test_a_traceback_is_a_field() -> None:
    out = io.StringIO()
    telemetry.log_to(out, "gateway", kind="json")
    try:
        raise ValueError("no")
    except ValueError:
        telemetry.logger("penstock.x").error("failed", exc_info=True)
    assert "ValueError: no" in json.loads(out.getvalue())["traceback"]


def test_what_json_does_not_know_is_written_as_text() -> None:
    out = io.StringIO()
    telemetry.log_to(out, "gateway", kind="json")
    telemetry.logger("penstock.x").info("at", path=Path("/a"))
    assert json.loads(out.getvalue())["path"] == "/a"


def test_text_on_request_and_json_when_it_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen, is_json in (("text", False), ("json", True), (None, True)):
        monkeypatch.delenv("PENSTOCK_LOG", raising=False)
        if chosen:
            monkeypatch.setenv("PENSTOCK_LOG", chosen)
        out = io.StringIO()
        telemetry.log_to(out, "gateway")
        telemetry.logger("penstock.x").info("hello", topic="t")
        assert out.getvalue().startswith("{") is is_json
        assert "hello" in out.getvalue() and "t" in out.getvalue()


def test_other_libraries_speak_from_warnings_on() -> None:
    out = io.StringIO()
    telemetry.log_to(out, "gateway", kind="json")
    logging.getLogger("uvicorn").info("chatter")
    logging.getLogger("uvicorn").warning("matter")
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["matter"]


def test_logging_alone_loads_neither_prometheus_nor_arrow() -> None:
    code = (
        "import sys, penstock.telemetry as t; t.log_to_stderr('x');"
        "print([m for m in ('prometheus_client', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
