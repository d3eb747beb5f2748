"""The registry is everybody's: a model that hangs while it is loaded keeps nobody else waiting."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from penstock.errors import ModelRefused, TooLarge
from tests.e2e import rig
from tests.run.server import MODEL, write_app

LOOPS = MODEL.format(factor=3) + "\nwhile True:\n    pass\n"
LOAD = 12.0  # seconds that loading may take here


def trusted(path: Path, text: str) -> str:
    path.write_text(text)
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def waits_behind_a_model_that_loops(folder: Path, env: dict[str, str]) -> float:
    """Seconds that a promotion and a registration took together while such a model was looked at."""
    from penstock.client.connection import connect

    env = env | {"PENSTOCK_RUNNER_START": str(LOAD)}
    with rig.running(write_app(folder), folder / "data", workers=1, env=env) as running:
        refused: list[str] = []

        def register() -> None:
            with connect(running.url) as client:
                try:
                    client.register_model("double", folder / "loops.py", trust=trusted(folder / "loops.py", LOOPS))
                except ModelRefused as error:
                    refused.append(str(error))

        thread = threading.Thread(target=register)
        thread.start()
        time.sleep(1.0)
        began = time.monotonic()
        with connect(running.url) as client:
            client.promote("double", 1)
            good = folder / "good.py"
            version = client.register_model("double", good, trust=trusted(good, MODEL.format(factor=4)))
            took = time.monotonic() - began
            assert version == 2
            client.promote("double", 2, wait=30.0)
            assert client.rollback("double", wait=30.0) == (2, 1)
            thread.join()
            assert refused and f"over its {LOAD:g} s" in refused[0]
            known = {v["digest"] for v in client.model("double")["versions"]}
        kept = {path.name for path in (folder / "data" / "artifacts" / "sha256").glob("??/*")}
        assert kept == known, "what was refused is on the disk still"
        return took


def test_a_model_that_loops_keeps_nobody_waiting(tmp_path: Path) -> None:
    took = waits_behind_a_model_that_loops(tmp_path, {})
    assert took < LOAD - 2, f"others waited {took:.1f} s"


def test_mutant_a_registry_that_looks_itself_is_caught(tmp_path: Path) -> None:
    code = """
from penstock.stages import inspection
inspection.in_thread.__code__ = (lambda work: work()).__code__
"""
    env = rig.planted(tmp_path / "planted", code, "penstock.run.worker")
    with pytest.raises(AssertionError, match="others waited"):
        took = waits_behind_a_model_that_loops(tmp_path, env)
        assert took < LOAD - 2, f"others waited {took:.1f} s"


def test_a_file_over_the_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    from penstock.client.connection import connect

    large = tmp_path / "large.onnx"
    with large.open("wb") as file:
        file.truncate(160 << 20)
    env = {"PENSTOCK_RUNNER_MEMORY": str(300 << 20)}
    with rig.running(write_app(tmp_path), tmp_path / "data", workers=1, env=env) as running:
        with connect(running.url) as client, pytest.raises(TooLarge, match=f"{150 << 20} bytes"):
            client.register_model("double", large)
        assert running.stop() == 0
