"""`penstock dev`: an edit is taken up and keeps the data; one that cannot run changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import polars as pl
from tests.run.server import Server, wait_for, write_app


def edit(app: Path, *changes: tuple[str, str]) -> None:
    text = app.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    app.write_text(text)
    os.utime(app, ns=(0, app.stat().st_mtime_ns + 1))


def test_edits(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    with Server(app, tmp_path / "data", "--port", "0", command="dev") as server:
        server.ready()
        with server.client() as client:
            client.publish("readings", pl.DataFrame({"n": [1], "x": [1.0]}))
            wait_for(lambda: client.read("doubles").height == 1)

            edit(app, ("import polars", "import polers"))
            wait_for(lambda: "the app as it was goes on; mend the file and save it again" in server.said)
            assert "app.py" in server.errors and "No module named 'polers'" in server.errors
            client.publish("readings", pl.DataFrame({"n": [2], "x": [2.0]}))
            wait_for(lambda: client.read("doubles").height == 2)

            edit(app, ("import polers", "import polars"), ('z=pl.col("x"))', 'z=pl.col("x") * 100)'))
            wait_for(lambda: sum(line.startswith("ready ") for line in server.said) >= 2)
            assert "changed: app.py" in server.said
            client.publish("readings", pl.DataFrame({"n": [3], "x": [3.0]}))
            wait_for(lambda: client.read("doubles").height == 3)
            assert sorted(client.read("doubles")["y"].to_list()) == [2.0, 4.0, 600.0]


def test_a_topic_whose_columns_come_from_an_edited_function_begins_anew_with_a_word(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    other = ('z=pl.col("x"))', 'z=pl.col("x"), x=pl.col("x").cast(pl.String))')
    with Server(app, tmp_path / "data", "--port", "0", command="dev") as server, server.ready().client() as client:
        client.publish("readings", pl.DataFrame({"n": [1], "x": [1.0]}))
        wait_for(lambda: client.read("doubles").height == 1)
        edit(app, other)
        wait_for(lambda: sum(line.startswith("ready ") for line in server.said) >= 2)
        assert "a topic without a type has new columns and begins anew" in server.errors
        client.publish("readings", pl.DataFrame({"n": [2], "x": [2.0]}))
        wait_for(lambda: client.read("features").height == 1)
        assert client.read("features")["x"].to_list() == ["2.0"]
        assert client.read("features")["n"].to_list() == [2]
        assert client.read("readings").height == 2
    edit(app, other[::-1])
    refused = Server(app, tmp_path / "data")
    try:
        assert refused.ends(), f"it is not refused: {refused.said} {refused.errors}"
        assert "field 'x' changed from string to double" in refused.errors
    finally:
        refused.stop()


def test_what_would_be_wrong_without_a_word_is_told(tmp_path: Path) -> None:
    """A function whose answers depend on the batch, and a stage that would read everything again."""
    app = write_app(tmp_path)
    with Server(app, tmp_path / "data") as server:
        with server.ready().client() as client:
            client.publish("readings", pl.DataFrame({"n": [1], "x": [1.0]}))
            wait_for(lambda: client.read("doubles").height == 1)
        assert warnings(server) == []
        server.stop()
    edit(app, ("def prepare", "def smooth"), ('z=pl.col("x"))', 'z=pl.col("x").rolling_mean(3, min_samples=1))'))
    with Server(app, tmp_path / "data", "--port", "0", command="dev") as server:
        server.ready()
        batch, renamed = wait_for(lambda: warnings(server))
        assert batch["reason"].startswith("smooth answers a row differently in another batch: column 'z' of row")
        assert (
            renamed["mend"] == "if smooth is it under a new name, write name='prepare': else it starts at the earliest"
        )
        assert all("app.py:" in warning["place"] for warning in (batch, renamed))
        assert "smooth answers a row differently" in server.errors
        server.stop()


def warnings(server: Server) -> list[dict[str, str]]:
    return httpx.get(f"{server.url}/readyz").json()["warnings"]  # type: ignore[no-any-return]
