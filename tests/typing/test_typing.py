"""The users' side type-checks under mypy --strict and pyright strict, and the planted mistakes do not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"
PACKAGE = Path(__file__).parents[2] / "src" / "penstock"
EXAMPLES = Path(__file__).parents[2] / "examples"
Checker = Callable[[Path, Path], set[tuple[str, int]]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy found in the libraries; it compares a file's content, so the planted package is read again."""
    return tmp_path_factory.mktemp("mypy")


def mypy(folder: Path, cache: Path) -> set[tuple[str, int]]:
    """The (file, line) pairs at which it reports an error."""
    options = ["--strict", "--config-file=", f"--cache-dir={cache}", "--show-column-numbers", "--no-error-summary"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *(p.name for p in sorted(folder.glob("*.py")))],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {(m[1], int(m[2])) for m in re.finditer(r"^(\S+?):(\d+):\d+: error", done.stdout, re.MULTILINE)}


def pyright(folder: Path, cache: Path) -> set[tuple[str, int]]:
    """Needs node, which its package finds or brings; without it a skip on a laptop and a failure in CI."""
    if shutil.which("node") is None and not os.environ.get("CI"):
        pytest.skip("pyright needs node")
    settings = {"typeCheckingMode": "strict", "reportMissingModuleSource": False, "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "."],
        cwd=folder, capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") :])["generalDiagnostics"]
    errors = [d for d in found if d["severity"] == "error"]
    return {(Path(d["file"]).name, d["range"]["start"]["line"] + 1) for d in errors}


@pytest.fixture(params=[mypy, pyright], ids=["mypy", "pyright"])
def checker(request: pytest.FixtureRequest) -> Checker:
    chosen: Checker = request.param
    return chosen


def marked(file: Path) -> set[tuple[str, int]]:
    lines = file.read_text().splitlines()
    return {(file.name, number) for number, line in enumerate(lines, 1) if line.endswith("# E")}


def test_exactly_the_planted_mistakes_are_errors(checker: Checker, tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "cases"
    shutil.copytree(CASES, folder)
    for name in ("flights", "fraud"):
        shutil.copy(EXAMPLES / name / "app.py", folder / f"{name}.py")
    expected = {place for file in folder.glob("*.py") for place in marked(file)}
    assert len(expected) == 8
    assert checker(folder, cache) == expected


def test_shapes_that_take_anything_would_be_seen(tmp_path: Path, cache: Path) -> None:
    """The mutant: one overload that accepts every function, in a copy of the package."""
    shutil.copytree(PACKAGE, tmp_path / "penstock", ignore=shutil.ignore_patterns("__pycache__"))
    shapes = tmp_path / "penstock" / "declare" / "signatures.py"
    first = "    @overload\n    def __call__(self, fn: Fn[pl.DataFrame, P, pl.DataFrame]"
    anything = "    @overload\n    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]: ...\n"
    assert shapes.read_text().count(first) == 1
    shapes.write_text(shapes.read_text().replace(first, anything + first))
    shutil.copy(CASES / "must_not_type_check.py", tmp_path)
    found = mypy(tmp_path, cache)
    planted = marked(CASES / "must_not_type_check.py")
    assert len(planted - found) == 2  # the two functions that do not fit are let through
