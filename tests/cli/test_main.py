"""The command line as a whole: what it imports, what it says when something is wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from penstock.cli.main import app

run = CliRunner()
HEAVY = ("pyarrow", "polars", "numpy", "httpx", "uvicorn", "apsw", "prometheus_client", "onnxruntime")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom penstock.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for command in ("run", "dev", "check", "publish", "tail", "topics", "groups", "models", "dead"):
        assert command in done.stdout


@pytest.mark.parametrize("access", ["", "keys"])
def test_who_supervises_knows_no_columns(tmp_path: Path, access: str) -> None:
    """It lives as long as the run does, so what it imports is there as long too; no port ends it before it begins."""
    words = ["run", "app.py", "--data", str(tmp_path), "--port", "99999", "--access", access]
    code = (
        f"import sys\nfrom penstock.cli.main import app\ntry: app({words!r})\nexcept SystemExit: pass\n"
        "print([m for m in ('pyarrow', 'polars', 'numpy', 'joserfc') if m in sys.modules])"
    )
    given = {
        "PENSTOCK_OIDC_ISSUER": "https://a.example",
        "PENSTOCK_OIDC_AUDIENCE": "b",
        "PENSTOCK_OIDC_ROLES": '{"a": "read:x"}',
    }
    env = os.environ | (given if access else {})
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "99999 is not a port" in done.stderr and done.stdout.strip() == "[]"


def test_the_example_in_the_help_of_a_command_is_one_of_it() -> None:
    """It parses: its options and arguments are there."""
    told = {name: c.epilog for name, c in get_command(app).commands.items() if c.epilog}  # type: ignore[attr-defined]
    assert {"run", "dev", "check", "publish", "tail", "topics", "groups"} <= set(told)
    for name, text in told.items():
        penstock, command, *words = shlex.split(text.removeprefix("Such as: "))
        assert (penstock, command) == ("penstock", name)
        get_command(app).commands[name].make_context(name, words)  # type: ignore[attr-defined]


def commands(group: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*above, name)
        if hasattr(command, "commands"):
            yield from commands(command, (*above, name))


@pytest.mark.parametrize("command", list(commands(get_command(app))), ids=" ".join)
def test_every_command_has_a_help_that_can_be_shown(command: tuple[str, ...]) -> None:
    """A bracket in a help text can pass for markup that is never closed."""
    done = run.invoke(app, [*command, "--help"])
    assert done.exit_code == 0 and "Usage: " in done.stdout, done.exception


def test_the_supervisor_loads_neither_arrow_nor_polars() -> None:
    code = (
        "import sys, penstock.run.supervisor.loop, penstock.cli.serve\n"
        "print([m for m in ('pyarrow', 'polars', 'numpy', 'apsw', 'uvicorn', 'prometheus_client') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", [["topics"], ["models", "list"], ["dead", "list"], ["tail", "t"], ["groups"]])
def test_no_server_is_one_line(command: list[str]) -> None:
    done = run.invoke(app, [*command, "--url", "http://127.0.0.1:1"])
    assert done.exit_code == 1 and done.stdout == ""
    assert "nothing answers at http://127.0.0.1:1" in done.stderr and done.stderr.count("\n") == 1


def test_an_address_that_is_none() -> None:
    done = run.invoke(app, ["topics", "--url", "localhost:8000"])
    assert done.exit_code == 1 and "write http://HOST:PORT" in done.stderr


def test_debug_shows_where_an_error_came_from() -> None:
    done = run.invoke(app, ["--debug", "topics", "--url", "http://127.0.0.1:1"])
    assert done.exit_code == 1 and type(done.exception).__name__ == "Unreachable"


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "app.py", "--port", "many"], ["run", "app.py", "--workers", "-1"], ["nonsense"], ["models"]],
)
def test_wrong_arguments_exit_with_2(arguments: list[str]) -> None:
    assert run.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize("url", ["kafka:", "sqlite:", "memory:"])
def test_another_log_is_refused(url: str) -> None:
    done = run.invoke(app, ["run", "app.py", "--log", url])
    assert done.exit_code == 2 and url in done.stderr


def test_the_embedded_log_by_its_url(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("in the way")
    done = run.invoke(app, ["run", "app.py", "--log", f"sqlite:{place}"])
    assert done.exit_code == 2 and str(place) in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "from penstock.cli.main import app; app()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    ) as done:
        assert done.stdout is not None and done.stderr is not None
        done.stdout.close()
        assert b"Traceback" not in done.stderr.read()
