"""`domains`, and the commands that take DOMAIN/TOPIC, against a real server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.run.server import Server, write_app
from typer.testing import CliRunner

from penstock.cli.main import app

DOMAIN = """
loose = app.domain("loose")
"""


def test_a_domain_is_published_to_listed_and_tailed(tmp_path: Path) -> None:
    file = write_app(tmp_path)
    file.write_text(file.read_text() + DOMAIN)
    events = tmp_path / "events.ndjson"
    events.write_text('{"n": 1}\n{"n": 2}\n')
    with Server(file, tmp_path / "data") as server:
        url = server.ready().url

        def run(*arguments: str) -> str:
            done = CliRunner().invoke(app, [*arguments, "--url", url])
            assert done.exit_code == 0, done.output
            return done.stdout

        assert "2 events published to loose/acme" in run("publish", str(events), "loose/acme")
        events.write_text('{"_topic": "beta", "n": 3}\n')
        run("publish", str(events), "loose/*")
        assert json.loads(run("domains", "list", "--json")) == {"name": "loose", "topics": 2}
        listed = [json.loads(line)["name"] for line in run("domains", "topics", "loose", "--json").splitlines()]
        assert listed == ["loose/acme", "loose/beta"]
        found = [json.loads(line) for line in run("tail", "loose/acme").splitlines()]
        assert sorted(event["data"]["n"] for event in found) == [1, 2]
        assert len(run("tail", "loose/*").splitlines()) == 3
        assert "loose" in run("topics")
