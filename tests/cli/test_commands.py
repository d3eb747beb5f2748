"""Every command against one real server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from penstock.cli.main import app

from ..run.server import MODEL, Server, wait_for, write_app

cli = CliRunner()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("cli")
    with Server(write_app(folder), folder / "data") as running:
        yield running.ready()


def run(server: Server, *arguments: str, given: str | None = None) -> Result:
    return cli.invoke(app, [*arguments, "--url", server.url], input=given)


def lines(done: Result) -> list[dict[str, object]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


FRAME = pl.DataFrame({"n": range(5), "x": [0.5] * 5})
WRITERS = {
    "rows.json": lambda p: p.write_text(FRAME.write_json()),
    "one.json": lambda p: p.write_text('{"n": 1, "x": 0.5}'),
    "pretty.json": lambda p: p.write_text(json.dumps(FRAME.to_dicts(), indent=2)),
    "rows.ndjson": lambda p: p.write_text(FRAME.write_ndjson()),
    "rows.csv": FRAME.write_csv,
    "rows.parquet": FRAME.write_parquet,
    "rows.arrow": FRAME.write_ipc,
    "stream.arrow": FRAME.write_ipc_stream,
    "empty.ndjson": lambda p: p.write_text(""),
}


@pytest.mark.parametrize("name", WRITERS)
def test_publish_reads_files(server: Server, tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    count = {"one.json": 1, "empty.ndjson": 0}.get(name, 5)
    assert lines(run(server, "publish", str(tmp_path / name), "readings", "--json")) == [
        {"topic": "readings", "count": count}
    ]


def test_publish_reads_what_is_piped_in(server: Server) -> None:
    done = run(server, "publish", "-", "readings", given='{"n": 1, "x": 2}\n\n{"n": 2, "x": 3}\n')
    assert done.exit_code == 0 and done.stdout == "2 events published to readings\n"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.xlsx", "", "what kind of file"),
        ("a.parquet", "no parquet", "is not a .parquet file"),
        ("a.json", "{", "is not a .json file"),
        ("a.arrow", "no arrow", "is not a .arrow file"),
        ("a.ndjson", '{"n": 1, "x": 1}\n{"n": "one", "x": 1}\n', "row 1, field 'n'"),
        ("a.csv", "n,y\n1,2\n", "x"),
    ],
)
def test_a_bad_file_is_one_line_and_stores_nothing(
    server: Server, tmp_path: Path, name: str, content: str, says: str
) -> None:
    with server.client() as client:
        before = client.end("readings")
        (tmp_path / name).write_text(content)
        done = run(server, "publish", str(tmp_path / name), "readings")
        assert done.exit_code == 1 and says in done.stderr and done.stderr.count("\n") == 1
        assert client.end("readings") == before


def test_absent_files_and_topics(server: Server, tmp_path: Path) -> None:
    assert "cannot be read" in run(server, "publish", str(tmp_path / "absent.csv"), "readings").stderr
    done = run(server, "publish", "-", "reading", given="{}")
    assert done.exit_code == 1 and "did you mean 'readings'" in done.stderr
    assert run(server, "tail", "nothing").exit_code == 1


def test_tail(server: Server) -> None:
    run(server, "publish", "-", "readings", given='{"n": 1, "x": 2}\n' * 3)
    found = lines(run(server, "tail", "readings", "--limit", "2"))
    assert len(found) == 2 and found[0]["topic"] == "readings" and "data" in found[0]
    everything = lines(run(server, "tail", "readings"))
    assert len(everything) >= 3 and lines(run(server, "tail", "readings", "--from", "1000000")) == []


def test_topics_and_groups(server: Server) -> None:
    found = lines(run(server, "topics", "--json"))
    assert {"readings", "features", "doubles", "penstock.dead", "penstock.system"} == {t["name"] for t in found}
    assert "readings" in run(server, "topics").stdout
    assert {"prepare", "doubles"} <= {g["group"] for g in lines(run(server, "groups", "--json"))}
    assert "lag events" in run(server, "groups").stdout


def test_models(server: Server, tmp_path: Path) -> None:
    wait_for(lambda: lines(run(server, "models", "list", "--json")))
    file = tmp_path / "triple.py"
    file.write_text(MODEL.format(factor=3))
    untrusted = run(server, "models", "register", "double", str(file))
    assert untrusted.exit_code == 1 and "trust" in untrusted.stderr
    trust = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    done = run(server, "models", "register", "double", str(file), "--trust", trust, "--metric", "mae=1.5")
    assert done.stdout == "double/2 is registered\n"
    assert run(server, "models", "promote", "double", "2").stdout == "double@champion is version 2\n"
    refused = run(server, "models", "alias", "double", "champion", "1", "--expected", "1")
    assert refused.exit_code == 1 and refused.stderr.count("\n") == 1
    assert run(server, "models", "alias", "double", "champion", "1", "--expected", "2").exit_code == 0
    assert "champion → 1" in run(server, "models", "list").stdout
    assert "mae=1.5" in run(server, "models", "versions", "double").stdout
    back = run(server, "models", "rollback", "double", "--wait", "20")
    assert back.stdout == "double@champion is version 2 again; it was version 1\n", back.output
    assert "champion" in run(server, "models", "versions", "double").stdout
    assert run(server, "models", "promote", "double", "1", "--wait", "20").exit_code == 0
    none = run(server, "models", "rollback", "double", "--alias", "canary")
    assert none.exit_code == 1 and "there is no alias 'canary'" in none.stderr
    assert run(server, "models", "promote", "double", "9").exit_code == 1
    assert run(server, "models", "register", "double", str(file), "--metric", "mae").exit_code == 2


def test_dead_letters(server: Server) -> None:
    before = len(lines(run(server, "dead", "list", "--json")))
    run(server, "publish", "-", "readings", given='{"n": -666, "x": 1}')
    (letter,) = wait_for(lambda: lines(run(server, "dead", "list", "--json"))[before:])
    assert "the number of the beast" in str(letter["reason"]) and letter["stage"] == "prepare"
    place = str(letter["place"])
    assert place in run(server, "dead", "list", "--topic", "readings").stdout
    shown = run(server, "dead", "show", place).stdout
    assert "the number of the beast" in shown and '"n":-666' in shown.replace(" ", "")
    assert run(server, "dead", "show", "readings/0/999999").exit_code == 1


def test_check_against_what_runs(server: Server, tmp_path: Path) -> None:
    path = server.data.parent / "app.py"
    for there in (server.url, str(server.data)):
        done = cli.invoke(app, ["check", str(path), "--against", there, "--out", str(tmp_path / "g.svg")])
        assert done.exit_code == 0, done.output
    assert "[prepare]" in done.stdout and (tmp_path / "g.svg").read_text().startswith("<svg")
    fewer = tmp_path / "fewer.py"
    (tmp_path / "double.py.txt").write_text(MODEL.format(factor=2))
    fewer.write_text(path.read_text().replace("partitions=2", "partitions=1"))
    done = cli.invoke(app, ["check", str(fewer), "--against", server.url])
    assert done.exit_code == 1 and "partitions" in done.stderr
    other = tmp_path / "other.py"
    other.write_text(path.read_text().replace("partitions=2", 'partitions=2, encoding="json"'))
    assert "its records are json" in cli.invoke(app, ["check", str(other), "--against", server.url]).output
    assert cli.invoke(app, ["check", str(path), "--against", str(tmp_path)]).exit_code == 2
