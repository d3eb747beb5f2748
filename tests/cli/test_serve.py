"""`penstock check`: the plan for programs, and what the environment lacks. `penstock run`: what it refuses at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.plan.codec import VERSION, plan_from_bytes

EXAMPLES = Path(__file__).parents[2] / "examples"
ASKING = """
from dataclasses import dataclass
import penstock as ps
app = ps.App("asking")
@dataclass
class A:
    a: int
first = app.topic("first", A)
@app.on(first)
def send(x: A, key: str = ps.secret("ASKING_KEY"), url: str = ps.env("ASKING_URL", "http://here")) -> None: ...
"""


def checked(*arguments: str) -> tuple[str, str, int]:
    done = CliRunner().invoke(app, ["check", *arguments])
    return done.stdout, done.stderr, done.exit_code


@pytest.mark.parametrize("name", ["quickstart", "flights", "fraud"])
def test_the_plan_is_printed_as_its_document_and_nothing_else(name: str) -> None:
    printed, _, code = checked(str(EXAMPLES / name / "app.py"), "--plan")
    document = json.loads(printed)
    assert code == 0 and document["version"] == VERSION and document["app"] == name
    assert {"who", "verb", "what"} == set(document["edges"][0])
    assert plan_from_bytes(printed.encode()).app == name
    assert str(EXAMPLES) not in printed


def test_a_variable_that_is_not_set_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "asking.py"
    file.write_text(ASKING)
    monkeypatch.delenv("ASKING_KEY", raising=False)
    _, told, code = checked(str(file))
    assert code == 0, "it may be set where the app runs"
    assert f"warning: {file}:9: ps.secret('ASKING_KEY') has no value" in told and "stage 'send' is not ready" in told
    assert "ASKING_URL" not in told, "it has a default"
    monkeypatch.setenv("ASKING_KEY", "hunter2")
    printed, told, code = checked(str(file), "--plan")
    assert (told, code) == ("", 0)
    assert "ASKING_KEY" in printed and "hunter2" not in printed


def test_a_digest_from_the_environment_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "trusting.py"
    file.write_text(ASKING + 'app.model("m", "m.pkl", outputs=["y"], trust=ps.secret("ASKING_KEY"))\n')
    monkeypatch.setenv("ASKING_KEY", "hunter2")
    printed, told, code = checked(str(file))
    assert code == 1 and "trust=ps.secret('ASKING_KEY') is not a digest" in told
    assert "hunter2" not in printed + told


def refused(tmp_path: Path, *arguments: str, command: str = "run") -> str:
    done = CliRunner().invoke(app, [command, "app.py", "--data", str(tmp_path / "data"), *arguments])
    assert done.exit_code == 2 and not (tmp_path / "data").exists(), "it was begun"
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("log", [(), ("--log", "sqlite:there")])
@pytest.mark.parametrize("half", ["gateway", "workers"])
def test_a_half_needs_a_log_that_the_other_reaches(tmp_path: Path, half: str, log: tuple[str, ...]) -> None:
    told = refused(tmp_path, "--only", half, *log)
    assert f"--only {half} needs a log that both halves reach" in told
    assert "give both the same --log kafka://HOST:PORT, or leave --only out" in told


def test_there_are_two_halves(tmp_path: Path) -> None:
    told = refused(tmp_path, "--only", "doors", "--log", "kafka://127.0.0.1:9")
    assert "--only doors: there are gateway, the doors alone, workers, the stages alone, and courier" in told


def test_dev_has_no_half(tmp_path: Path) -> None:
    assert "No such option: --only" in refused(tmp_path, "--only", "workers", command="dev")


def test_where_probes_are_is_looked_at_first(tmp_path: Path) -> None:
    assert "--probes here is no HOST:PORT" in refused(tmp_path, "--probes", "here")


@pytest.mark.parametrize("command", ["run", "dev"])
def test_a_certificate_is_looked_at_before_anything_is_begun(tmp_path: Path, command: str) -> None:
    told = refused(tmp_path, "--tls-certificate", "/nowhere.pem", command=command)
    assert "the certificate /nowhere.pem cannot be read: No such file or directory" in told
    told = refused(tmp_path, "--tls-key", "/nowhere.key", command=command)
    assert "--tls-key means nothing without --tls-certificate FILE" in told


def test_what_tls_is_made_of_comes_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TLS_CERTIFICATE", "/nowhere.pem")
    assert "/nowhere.pem cannot be read" in refused(tmp_path)
    monkeypatch.setenv("PENSTOCK_TLS_CLIENTS", "optional")
    assert "--tls-clients optional needs --tls-client-ca FILE" in refused(tmp_path)
