"""`penstock repair` on a log with a hole in it."""

from __future__ import annotations

import fcntl
import json
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.log.embedded import EmbeddedLog
from penstock.run.directory import DataDirectory
from penstock.testing.log_contract import drain, numbers, values, write

cli = CliRunner()


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A log of 30 events, of which ten are gone."""
    directory = tmp_path / "data"
    with closing(EmbeddedLog(directory)) as log:
        log.create(numbers())
        for first in (0, 10, 20):
            log.append([write(range(first, first + 10))])
    with closing(apsw.Connection(str(directory / "log.db"))) as db:
        db.execute("UPDATE batch SET crc = crc + 1 WHERE id = (SELECT id FROM batch ORDER BY id LIMIT 1 OFFSET 1)")
    return directory


def test_what_is_sound_is_saved_and_the_loss_is_told(damaged: Path) -> None:
    done = cli.invoke(app, ["repair", str(damaged)])
    assert done.exit_code == 0, done.output
    assert "20 events saved, 10 lost\nlost: t/0, offsets 10 to 19\n" in done.stdout
    with closing(EmbeddedLog(damaged)) as log:
        assert values(drain(log.reader(None, ["t"], "m"))) == [*range(10), *range(20, 30)]


def test_json_for_machines(damaged: Path) -> None:
    done = json.loads(cli.invoke(app, ["repair", str(damaged), "--json"]).stdout)
    assert (done["events"], done["notes"]) == (20, [])
    assert done["losses"] == [{"topic": "t", "partition": 0, "first": 10, "last": 19}]
    assert (Path(done["kept"]) / "log.db").exists()


def test_refused_while_a_run_has_the_directory(damaged: Path) -> None:
    before = (damaged / "log.db").read_bytes()
    running = DataDirectory(damaged)
    running.claim()
    done = cli.invoke(app, ["repair", str(damaged)])
    assert done.exit_code == 2, "what a run has is repaired beside it"
    assert "in use by" in done.stderr and done.stderr.count("\n") == 1
    assert (damaged / "log.db").read_bytes() == before
    running.release()


def test_a_repair_beside_a_run_is_caught(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(AssertionError, match="repaired beside it"):
        test_refused_while_a_run_has_the_directory(damaged)


@pytest.mark.parametrize("there", [True, False])
def test_a_directory_without_a_log(tmp_path: Path, there: bool) -> None:
    directory = tmp_path / "none"
    if there:
        directory.mkdir()
    done = cli.invoke(app, ["repair", str(directory)])
    assert done.exit_code == 2 and "there is no" in done.stderr and done.stderr.count("\n") == 1
    assert there or not directory.exists()
