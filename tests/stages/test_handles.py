"""What a function asks for is what it may do: its worker answers nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from penstock.batch import SYSTEM, TopicSpec
from penstock.clock import ManualClock
from penstock.errors import NotFound, NotOffered
from penstock.log.memory import MemoryLog
from penstock.models.artifacts import Artifacts
from penstock.plan.plan import HandleSpec
from penstock.run.compose.bootstrap import open_registry
from penstock.runner.handles import models
from penstock.runner.handles.models import AskedModels
from penstock.runner.interface import Services
from penstock.stages.model_service import EventServices, Place

Serve = Callable[..., Services]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    clock = ManualClock()
    log = MemoryLog(clock)
    log.create(TopicSpec(SYSTEM, partitions=1))
    services = EventServices(log, open_registry(log, clock, "test"), Artifacts(tmp_path), {}, {})
    return lambda *asked: services.at(Place("f", "t", 0, 1), asked)


def test_a_verb_that_was_asked_for_is_answered(serve: Serve) -> None:
    with pytest.raises(NotFound, match="m"):  # by the registry, which has no such model
        AskedModels(serve(HandleSpec("Models", ("load",)))).resolve("m@champion")


def test_a_verb_that_was_not_asked_for_is_refused(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    narrow = AskedModels(serve(HandleSpec("Models", ("load",))))
    with pytest.raises(NotOffered, match="has no 'register' for this function; it has resolve"):
        narrow.register("m", tmp_path / "file", dataset_id=None, metrics={}, nth=0)


def test_a_worker_that_answers_everything_is_found(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "METHODS", dict.fromkeys(models.METHODS, "load"))
    with pytest.raises(TimeoutError, match="has not answered command"):
        test_a_verb_that_was_not_asked_for_is_refused(serve, tmp_path)


@pytest.mark.parametrize("asked", [(), (HandleSpec("Models", ("alias",)),)])
@pytest.mark.parametrize(("handle", "method"), [("Models", "resolve"), ("Models", "drop"), ("Datasets", "resolve")])
def test_a_handle_that_was_not_asked_for_is_refused(
    serve: Serve, asked: tuple[HandleSpec, ...], handle: str, method: str
) -> None:
    with pytest.raises(NotOffered, match=f"ps.{handle} has no '{method}' for this function; it has nothing"):
        serve(*asked).answer(handle, method, msgspec.msgpack.encode({"ref": "m@champion"}))
