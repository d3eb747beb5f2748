"""Every command against one real server."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.run.server import MODEL, Server, wait_for, write_app
from typer.testing import CliRunner, Result

from penstock.cli.main import app

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
WRITERS: dict[str, Callable[[Path], object]] = {
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


@pytest.mark.parametrize("name", ["rows.json", "rows.ndjson", "rows.csv", "rows.parquet", "rows.arrow"])
def test_an_integer_beyond_64_bits_is_refused_with_its_place(server: Server, tmp_path: Path, name: str) -> None:
    kinds = {"n": pl.Int128, "x": pl.Float64}
    wide = pl.DataFrame({"n": [1, 2**70], "x": [0.5, 0.5]}, schema=kinds)
    if name.endswith("json"):
        texts = [f'{{"n": {n}, "x": 0.5}}' for n in wide["n"]]
        (tmp_path / name).write_text("\n".join(texts) if name == "rows.ndjson" else f"[{','.join(texts)}]")
    else:
        writers: dict[str, Callable[[Path], object]] = {
            "csv": wide.write_csv,
            "parquet": wide.write_parquet,
            "arrow": wide.write_ipc,
        }
        writers[name.partition(".")[2]](tmp_path / name)
    done = run(server, "publish", str(tmp_path / name), "readings")
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert "row 1, field 'n':" in done.stderr


def test_publish_says_which_fields_the_topic_lacks(server: Server, tmp_path: Path) -> None:
    (tmp_path / "rows.ndjson").write_text('{"n": 1, "x": 0.5, "xx": 1}\n' * 2)
    done = run(server, "publish", str(tmp_path / "rows.ndjson"), "readings")
    assert done.exit_code == 0 and done.stdout == "2 events published to readings\n"
    assert done.stderr == "field 'xx' left out, 2 times: the topic's type has no such field; did you mean 'x'?\n"
    (told,) = lines(run(server, "publish", str(tmp_path / "rows.ndjson"), "readings", "--json"))
    assert told["ignored"][0]["count"] == 2  # type: ignore[index]


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


def test_tail_the_last(server: Server) -> None:
    run(server, "publish", "-", "readings", given="".join(f'{{"n": {n}, "x": 1}}\n' for n in range(5_000, 5_020)))
    found = lines(run(server, "tail", "readings", "-n", "3"))
    assert [event["data"]["n"] for event in found] == sorted(event["data"]["n"] for event in found)  # type: ignore[index]
    assert len(found) == 3 and all(event["data"]["n"] >= 5_000 for event in found)  # type: ignore[index]
    everything = lines(run(server, "tail", "readings"))
    assert len(lines(run(server, "tail", "readings", "-n", "1000000"))) == len(everything)
    assert lines(run(server, "tail", "readings", "-n", "0")) == []
    assert run(server, "tail", "readings", "-n", "3", "--from", "1").exit_code == 2


def test_text_is_printed_as_it_is(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,x,straße\n1,2,ä\n")
    done = run(server, "publish", str(tmp_path / "a.csv"), "readings", "--json")
    assert done.exit_code == 0 and "'straße': left out" in done.stderr
    from penstock.cli.show import lines as shown

    assert "ä" in _printed(shown, "utf-8") and "\\u00e4" in _printed(shown, "latin-1")


def _printed(shown: Callable[[list[dict[str, str]]], None], encoding: str) -> str:
    raw = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(raw, encoding=encoding, write_through=True)):
        shown([{"text": "ä"}])
        return raw.getvalue().decode(encoding)


def test_topics_and_groups(server: Server) -> None:
    found = lines(run(server, "topics", "--json"))
    assert {"readings", "features", "doubles", "penstock.dead", "penstock.system", "penstock.snapshots"} == {
        t["name"] for t in found
    }
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
    exported = lines(run(server, "models", "versions", "double", "--json"))
    assert exported[1]["digest"] == trust.removeprefix("sha256:") and exported[1]["metrics"] == {"mae": 1.5}
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
    assert "no dead letter of a subscription" in run(server, "dead", "show", place, "--format", "eventgrid").stderr

    asked = run(server, "dead", "redrive", place, "--dry-run")
    assert (asked.exit_code, asked.stdout) == (0, "1 events would be put back\n")
    unsaid = run(server, "dead", "redrive", place)
    assert unsaid.exit_code == 2 and "--yes" in unsaid.output
    again = run(server, "dead", "redrive", place, "--yes", "--wait")
    assert again.exit_code == 1 and "1 events put back\n1 of them failed again\n" in again.stdout, again.output
    (letter,) = [d for d in lines(run(server, "dead", "list", "--json")) if d["place"] == place]
    assert (letter["state"], letter["round"]) == ("dead", 1)
    limited = run(server, "dead", "redrive", place, "--yes", "--limit", "1")
    assert limited.stdout == "0 events would be put back\n" and "put back 1 times" in limited.stderr
    assert run(server, "dead", "drop", place, "--yes").stdout == "1 letters dropped\n"
    assert place not in run(server, "dead", "list").stdout
    assert place in run(server, "dead", "list", "--state", "dropped").stdout


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


@pytest.mark.parametrize(
    ("name", "begins"), [("g.svg", "<svg"), ("g.mmd", "flowchart LR"), ("g.dot", "digraph"), ("g.json", "{")]
)
def test_the_graph_is_drawn_as_the_files_name_says(server: Server, tmp_path: Path, name: str, begins: str) -> None:
    done = cli.invoke(app, ["check", str(server.data.parent / "app.py"), "--out", str(tmp_path / name)])
    assert done.exit_code == 0, done.output
    drawn = (tmp_path / name).read_text()
    assert drawn.startswith(begins) and "prepare" in drawn and "readings" in drawn
    if name == "g.json":
        assert ["topic readings", "stage prepare"] in json.loads(drawn)["edges"]


@pytest.mark.parametrize("name", ["g.png", "g", "none/g.svg"])
def test_what_cannot_be_drawn_is_refused_and_nothing_is_written(server: Server, tmp_path: Path, name: str) -> None:
    done = cli.invoke(app, ["check", str(server.data.parent / "app.py"), "--out", str(tmp_path / name)])
    assert done.exit_code == 2 and "--out" in done.stderr and not (tmp_path / name).exists()
    assert "Traceback" not in done.output
