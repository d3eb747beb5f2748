"""A back-up taken while events come in, and the app started from it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from tests.run.server import Server, wait_for, write_app
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.log import copying

cli = CliRunner()


def test_a_copy_taken_while_events_come_in_is_whole(tmp_path: Path) -> None:
    code = write_app(tmp_path)
    stop = threading.Event()
    with Server(code, tmp_path / "data") as running:
        with running.ready().client() as client:
            client.publish("readings", [{"n": n, "x": 1.0} for n in range(100)])
            wait_for(lambda: client.read("doubles").height >= 100)

        def publish() -> None:
            with running.client() as mine:
                n = 100
                while not stop.is_set():
                    mine.publish("readings", [{"n": n + k, "x": 1.0} for k in range(50)])
                    n += 50

        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            done = cli.invoke(app, ["backup", str(tmp_path / "copy"), "--data", str(tmp_path / "data")])
            assert done.exit_code == 0 and "bytes copied" in done.stdout, done.output
        finally:
            stop.set()
            publisher.join()
    shutil.rmtree(tmp_path / "data")
    with Server(code, tmp_path / "copy") as restored, restored.ready().client() as client:
        events = client.read("readings").height
        assert events >= 100
        wait_for(lambda: client.read("doubles").height >= events)
        assert sorted(client.read("doubles")["n"].to_list()) == sorted(client.read("readings")["n"].to_list())
        client.publish("readings", [{"n": -1, "x": 1.0}])
        wait_for(lambda: client.read("doubles").height == events + 1)


@pytest.mark.parametrize("case", ["no log", "not empty", "not writable"])
def test_what_cannot_be_copied_is_said(tmp_path: Path, case: str) -> None:
    from penstock.log.embedded import EmbeddedLog

    data, to = tmp_path / "data", tmp_path / "copy"
    if case != "no log":
        EmbeddedLog(data).close()
    if case == "not empty":
        to.mkdir()
        (to / "mine").write_text("kept")
    if case == "not writable":
        to.write_text("a file")
    done = cli.invoke(app, ["backup", str(to), "--data", str(data)])
    assert done.exit_code in (1, 2) and done.stderr.startswith("penstock: ") and "Traceback" not in done.output
    assert case != "not empty" or [path.name for path in to.iterdir()] == ["mine"]


def test_a_copy_that_breaks_off_leaves_no_log(tmp_path: Path) -> None:
    from penstock.log.embedded import EmbeddedLog

    EmbeddedLog(tmp_path / "data").close()
    (tmp_path / "copy").mkdir()

    def break_off(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying.copy(tmp_path / "data", tmp_path / "copy", break_off)
    assert list((tmp_path / "copy").iterdir()) == []
