"""`penstock migrate` from one directory to another, and on to a cluster."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.migrate.a_log import fill
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Advance
from penstock.migrate import copying
from penstock.models.artifacts import Artifacts
from penstock.run.directory import DataDirectory
from penstock.testing.log_contract import drain, numbers, values, write

cli = CliRunner()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    directory = tmp_path / "old"
    with closing(EmbeddedLog(directory)) as log:
        log.create(numbers())
        log.append([write(range(30))])
        with closing(log.reader("g", ["t"], "m")) as reader:
            reader.commit([Advance("t", 0, int(reader.read(12, 0.0)[0].positions[-1]))], [])
    return directory


def migrate(source: str, target: str, tmp_path: Path, *options: str) -> tuple[int, str, str]:
    done = cli.invoke(app, ["migrate", "--from", source, "--to", target, "--data", str(tmp_path / "data"), *options])
    return done.exit_code, done.stdout, done.stderr


def read(directory: Path) -> list[int]:
    with closing(EmbeddedLog(directory)) as log, closing(log.reader("g", ["t"], "m")) as reader:
        return values(drain(reader))


def test_from_one_directory_to_another(filled: Path, tmp_path: Path) -> None:
    code, out, _ = migrate(f"sqlite:{filled}", f"sqlite:{tmp_path / 'new'}", tmp_path)
    assert code == 0 and "30 events" in out and out.endswith("both logs hold the same\n")
    assert read(tmp_path / "new") == list(range(12, 30))


def test_to_a_cluster_and_back(filled: Path, tmp_path: Path, kafka: str, prefix: str) -> None:
    cluster = f"kafka://{kafka}/{prefix}cli"
    code, out, errors = migrate(f"sqlite:{filled}", cluster, tmp_path, "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and {line["what"] for line in found} == {"topic", "partition", "group"}, errors
    assert all(line["same"] for line in found)
    assert migrate(cluster, f"sqlite:{tmp_path / 'new'}", tmp_path)[0] == 0
    assert read(tmp_path / "new") == list(range(12, 30))


def test_models_go_to_the_storage_of_the_cluster(tmp_path: Path, kafka: str, prefix: str) -> None:
    cluster, shared = f"kafka://{kafka}/{prefix}models", tmp_path / "bucket"
    shared.mkdir()
    with closing(EmbeddedLog(tmp_path / "old")) as log:
        fill(log, Artifacts(tmp_path / "old" / "artifacts"))
    code, _, errors = migrate(f"sqlite:{tmp_path / 'old'}", cluster, tmp_path, "--artifacts", shared.as_uri())
    assert code == 0, errors
    assert [path.read_bytes() for path in shared.rglob("*") if path.is_file()] == [b"a model"]
    back = migrate(cluster, f"sqlite:{tmp_path / 'new'}", tmp_path / "elsewhere", "--artifacts", shared.as_uri())
    assert back[0] == 0, back[2]
    assert migrate(cluster, f"sqlite:{tmp_path / 'other'}", tmp_path / "nowhere")[0] == 1


def test_what_differs_is_told_with_exit_code_1(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_where", lambda *_: "latest")
    code, out, errors = migrate(f"sqlite:{filled}", f"sqlite:{tmp_path / 'new'}", tmp_path)
    assert code == 1 and "hold the same" not in out
    assert errors.endswith("group g on t/0: 12 dealt with against 30 dealt with\n")


@pytest.mark.parametrize("used", ["old", "new"])
def test_refused_while_a_run_has_a_directory(filled: Path, tmp_path: Path, used: str) -> None:
    running = DataDirectory(tmp_path / used)
    running.claim()
    code, _, errors = migrate(f"sqlite:{filled}", f"sqlite:{tmp_path / 'new'}", tmp_path)
    assert code == 2 and "in use by" in errors and errors.count("\n") == 1
    running.release()
    assert migrate(f"sqlite:{filled}", f"sqlite:{tmp_path / 'new'}", tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("sqlite:{old}", "sqlite:{old}", "both"),
        ("sqlite:{none}", "sqlite:{new}", "no log.db"),
        ("files:{old}", "sqlite:{new}", "no such log"),
        ("sqlite:{old}", "kafka:", "no such log"),
        ("sqlite:{old}", "kafka://a:b@c", "KAFKA_PASSWORD"),
    ],
)
def test_what_cannot_be(filled: Path, tmp_path: Path, source: str, target: str, why: str) -> None:
    places = {name: tmp_path / name for name in ("old", "new", "none")}
    code, _, errors = migrate(source.format(**places), target.format(**places), tmp_path)
    assert code == 2 and why in errors and errors.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_damaged_source_says_what_to_do(filled: Path, tmp_path: Path) -> None:
    with closing(apsw.Connection(str(filled / "log.db"))) as db:
        db.execute("UPDATE batch SET crc = crc + 1")
    code, _, errors = migrate(f"sqlite:{filled}", f"sqlite:{tmp_path / 'new'}", tmp_path)
    assert code == 1 and "penstock repair" in errors
