from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.run.server import PENSTOCK, Server, wait_for, write_app

from penstock.run.check import check


def run(app: Path, data: Path) -> subprocess.CompletedProcess[str]:
    command = [*PENSTOCK, "run", str(app), "--data", str(data), "--port", "0", "--workers", "1"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, env=os.environ | {"PENSTOCK_LOG": "json"}
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def broken(:\n", "app.py:1: invalid syntax"),
        ("import nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
        ("x = 1\n", "declares no App"),
        ("import sys; sys.exit(0)\n", "cannot be imported: SystemExit"),
        ("import os; os._exit(9)\n", "the process that imported it ended with exit code 9"),
    ],
)
def test_a_file_that_cannot_run_is_said_plainly_with_exit_code_2(tmp_path: Path, text: str, says: str) -> None:
    app = tmp_path / "app.py"
    app.write_text(text)
    done = run(app, tmp_path / "data")
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr and "penstock/run" not in done.stderr and "runpy" not in done.stderr


def test_no_such_file(tmp_path: Path) -> None:
    done = run(tmp_path / "absent.py", tmp_path / "data")
    assert done.returncode == 2 and "no such file" in done.stderr


def test_a_check_ends_with_its_supervisor(tmp_path: Path) -> None:
    """Else one that hangs in the user's file would outlive every supervisor that was killed meanwhile."""
    app = tmp_path / "app.py"
    app.write_text(f"import time\nopen({str(tmp_path / 'there')!r}, 'w').close()\ntime.sleep(100)\n")
    with Server(app, tmp_path / "data") as server:
        wait_for((tmp_path / "there").exists)
        (checker,) = (p for p in server.family() if "penstock.run.check" in p.cmdline())
        os.kill(server.process.pid, signal.SIGKILL)
        wait_for(lambda: not checker.is_running() or checker.status() == psutil.STATUS_ZOMBIE)


def test_a_type_that_changed_is_refused_and_the_data_stays(tmp_path: Path) -> None:
    app, data = write_app(tmp_path), tmp_path / "data"
    plan = tmp_path / "plan"
    command = [sys.executable, "-m", "penstock.run.check", str(app), str(data), str(plan)]
    assert subprocess.run(command, timeout=30).returncode == 0 and plan.read_bytes()
    app.write_text(app.read_text().replace("x: float", "x: str").replace('pl.col("x")', "pl.lit(1.0)"))
    before = (data / "log.db").read_bytes()
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "'x'" in done.stderr and "readings" in done.stderr
    assert (data / "log.db").read_bytes() == before


def test_the_files_of_an_app_are_its_own_and_those_beside_it(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    (tmp_path / "my_helper_module.py").write_text("N = 1\n")
    (tmp_path / "unused.py").write_text("")
    app.write_text("import my_helper_module\n" + app.read_text())
    found = check(str(app), {})
    assert found.files[0] == app.resolve() and (tmp_path / "my_helper_module.py").resolve() in found.files
    assert (tmp_path / "unused.py").resolve() not in found.files
    assert not [f for f in found.resolved.findings if f.severity == "error"]


def test_it_imports_pandas_only_for_an_app_that_does(tmp_path: Path) -> None:
    app, code = write_app(tmp_path), "import sys; from penstock.run import check; check.check(sys.argv[1], {})"
    command = [sys.executable, "-c", f"{code}; print('pandas' in sys.modules)", str(app)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"
    app.write_text("import pandas\n" + app.read_text())
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "True"
