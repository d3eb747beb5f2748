"""Topics emptied, deleted and grown: asked for by name, and never under a running app."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.run.server import Server, write_app
from typer.testing import CliRunner, Result

from penstock.batch import DEAD, SYSTEM, TopicSpec, Write
from penstock.cli.main import app
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Advance

cli = CliRunner()
SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False)])


def run(data: Path, *arguments: str) -> Result:
    return cli.invoke(app, ["topics", *arguments, "--data", str(data)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    log = EmbeddedLog(tmp_path)
    for name in (SYSTEM, DEAD):
        log.create(TopicSpec(name, partitions=1))
    log.create(TopicSpec("numbers", SCHEMA, 2))
    log.append([Write("numbers", 0, pa.RecordBatch.from_arrays([pa.array([1, 2, 3])], schema=SCHEMA))])
    reader = log.reader("copy", ["numbers"], "m")
    reader.commit([Advance("numbers", 0, reader.read(9, 0.0)[0].through)], [])
    reader.close()
    log.close()
    return tmp_path


def events(data: Path, topic: str = "numbers") -> int | None:
    log = EmbeddedLog(data)
    try:
        there = {spec.name for spec in log.topics()}
        return sum(state.events for state in log.partitions(topic)) if topic in there else None
    finally:
        log.close()


def test_a_reset_says_what_it_does_and_wants_the_name(data: Path) -> None:
    for said in ([], ["--yes", "number"]):
        refused = run(data, "reset", "numbers", *said)
        assert refused.exit_code == 2 and "removes its 3 events for good; copy go on" in refused.output
        assert events(data) == 3
    done = run(data, "reset", "numbers", "--yes", "numbers")
    assert done.exit_code == 0 and "is empty" in done.output, done.output
    assert events(data) == 0


def test_a_delete(data: Path) -> None:
    done = run(data, "delete", "numbers", "--yes", "numbers")
    assert done.exit_code == 0 and "with its 3 events for good, and the positions of copy" in done.output
    assert events(data) is None
    again = run(data, "delete", "numbers", "--yes", "numbers")
    assert again.exit_code == 1 and "there is no topic 'numbers'" in again.output


def test_growing(data: Path) -> None:
    done = run(data, "grow", "numbers", "5", "--yes", "numbers")
    assert done.exit_code == 0 and "keys move to other partitions" in done.output
    assert "write partitions=5 into the app's file" in done.output
    less = run(data, "grow", "numbers", "4", "--yes", "numbers")
    assert less.exit_code == 1 and "only grows" in less.output
    assert events(data) == 3


@pytest.mark.parametrize("name", [SYSTEM, DEAD])
def test_what_is_penstocks_own_stays(data: Path, name: str) -> None:
    refused = run(data, "delete", name, "--yes", name)
    assert refused.exit_code == 2 and "Penstock's own" in refused.output


def test_where_there_is_no_log(tmp_path: Path) -> None:
    refused = run(tmp_path / "none", "reset", "numbers", "--yes", "numbers")
    assert refused.exit_code == 2 and "there is no log in" in refused.output
    assert not (tmp_path / "none").exists()


def test_a_topic_in_use_is_left_alone(tmp_path: Path) -> None:
    with Server(write_app(tmp_path), tmp_path / "data") as running:
        running.ready()
        with running.client() as client:
            client.publish("readings", [{"n": 1, "x": 1.0}])
            for each in (["reset", "readings"], ["delete", "readings"], ["grow", "readings", "9"]):
                refused = run(tmp_path / "data", *each, "--yes", "readings")
                assert refused.exit_code == 2 and "is in use by the `penstock run`" in refused.output
            assert client.read("readings").height == 1
