"""Pages that are run as they are written, command by command, and what the runner of pages notices."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs import pages

ROOT = Path(__file__).parents[2]
PARTS = ("src", "docs", "examples", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The sources alone, as somebody has them who has just fetched them."""
    folder = tmp_path / "penstock"
    folder.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".penstock"))
        else:
            shutil.copy(ROOT / part, folder / part)
    return folder


def outside(folder: Path) -> dict[str, str]:
    """An environment in which pip finds what it needs without an index, and nothing of this one's settings is left."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK", "PYTEST", "PIP", "VIRTUAL_ENV"))}
    libraries = os.pathsep.join(p for p in sys.path if p.endswith("site-packages"))
    quiet = {
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    # ``python3`` is this one's base, of which a new environment has no libraries but those on the path.
    base = str(Path(sys.base_prefix) / "bin")
    return kept | quiet | {"PYTHONPATH": libraries, "PATH": f"{base}{os.pathsep}{kept['PATH']}", "HOME": str(folder)}


def run(page: Path, folder: Path, env: dict[str, str]) -> str:
    """What went wrong; empty: nothing did."""
    network = pages.alone()
    if network is None:
        if os.environ.get("CI"):
            pytest.fail("no network of its own can be made for the page")
        pytest.skip("no network of its own can be made for the page")
    found = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))}
    done = subprocess.run(
        [*network, sys.executable, "-m", "tests.docs.pages", str(page), str(folder)],
        env=env | found, cwd=folder, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


def test_the_first_ten_minutes(checkout: Path) -> None:
    assert run(ROOT / "docs" / "first-ten-minutes.md", checkout, outside(checkout.parent)) == ""


def as_page(readme: str) -> str:
    """The README's commands for a terminal: those that install and run, and those from another terminal.

    Its blocks are plain; what a line says after two spaces and ``#`` is a comment, and of ``penstock run`` what comes.
    """
    plain = [block for block in pages.blocks(readme) if not block.language]
    install, again = (next(b for b in plain if b.lines[0].startswith(w)) for w in ("python3 -m venv", "curl -d"))
    page = "```console\n"
    for line in [*install.lines, *again.lines]:
        command, _, said = line.replace("install -e", "install").partition(
            "  # "
        )  # editable, pip would fetch a builder
        if command.startswith("penstock run"):
            page += f"```\n```console server\n$ . .venv/bin/activate\n$ {command.strip()}\n{said}\n```\n```console\n"
        else:  # a line that begins with spaces goes on with the one before
            page += f"{'' if line.startswith(' ') else '$ '}{command.rstrip()}\n"
    return page + "```\n"


def test_the_readme_runs_as_it_is_written(checkout: Path, tmp_path: Path) -> None:
    page = tmp_path / "readme.md"
    page.write_text(as_page((ROOT / "README.md").read_text()))
    assert run(page, checkout, outside(checkout.parent)) == ""


@pytest.mark.parametrize(
    "example", ["event_driven_workflow", "flights", "fraud", "quickstart", "saas", "scalable_ingestion"]
)
def test_an_example_runs_as_its_page_says(example: str, checkout: Path) -> None:
    """With what is installed here."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK")}
    env = kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}
    assert run(ROOT / "examples" / example / "README.md", checkout, env) == ""


# -- the runner of pages ------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "the page shows:\ntwo\nand it said:\none"),
        ("```console\n$ false\n```\n", "$ false\nended with 1"),
        ("```console\n$ echo one; echo two\none\n```\n", "and it said:\none\ntwo"),
    ],
)
def test_a_page_that_says_something_else_is_found(page: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(pages.Differs) as caught:
        pages.run(page, tmp_path)
    assert said in str(caught.value)


def test_a_page_that_says_what_comes(tmp_path: Path) -> None:
    page = (
        "```python a.py\nprint('from the file', 1)\n```\n```console\n$ python3 a.py\nfrom …file 1\n"
        "$ cd / && \\\n  pwd\n/\n$ seq 1 9\n1\n…\n9\n```\n```console other\n$ pwd\n…\n```\n"
    )
    assert pages.run(page, tmp_path) == 4
