"""The page on TLS: its commands make what it says, and its options are those that there are."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.certificates import issuer
from tests.docs.pages import blocks, steps
from tests.gateway.test_server import running
from typer.testing import CliRunner

import penstock as ps
from penstock.cli.main import app
from penstock.clock import SystemClock
from penstock.gateway.tls.certificates import TLSFiles
from penstock.gateway.tls.renewal import Certificates
from penstock.settings import Settings

__all__ = ["issuer"]

PAGE = (Path(__file__).parents[2] / "docs" / "tls.md").read_text()


@pytest.mark.usefixtures("issuer")  # which is passed over without openssl
def test_the_certificate_to_try_it_with(tmp_path: Path) -> None:
    commands = [step.command for block in blocks(PAGE) if block.language == "console" for step in steps(block)]
    assert len(commands) == 4
    for command in commands:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    certificates = Certificates(TLSFiles(tmp_path / "tls.crt", tmp_path / "tls.key"), SystemClock())
    with running(tmp_path, Settings(), certificates) as server:
        for name in ("localhost", "127.0.0.1"):
            with ps.connect(f"https://{name}:{server.port}", ca_file=tmp_path / "ca.pem") as client:
                assert client.read("flights").is_empty()
        (tmp_path / "ca.pem").touch()
        done = CliRunner().invoke(
            app,
            ["--ca-file", str(tmp_path / "ca.pem"), "topics", "--url", f"https://localhost:{server.port}"],
            env={"PENSTOCK_CA_FILE": None},
        )
        assert done.exit_code == 0 and "flights" in done.stdout


def test_the_options_and_their_variables_are_those_of_the_command() -> None:
    rows = re.findall(r"^\| `(--tls[a-z-]*).*?` \| `(PENSTOCK_[A-Z_]+)`", PAGE, re.MULTILINE)
    assert len(rows) == 4
    for command in ("run", "dev"):
        help = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
        assert set(re.findall(r"--tls[a-z-]+", help)) >= {option for option, _ in rows}
        assert set(re.findall(r"PENSTOCK_TLS[A-Z_]*", help)) == {variable for _, variable in rows}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--ca-file` sets is gone afterwards."""
    monkeypatch.setitem(os.environ, "PENSTOCK_CA_FILE", "")
