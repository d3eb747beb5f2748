"""What a user is told to install: the distribution's own name, which on the index is not that of the package."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

from penstock import errors

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "penstock"
SUFFIXES = {".md", ".py", ".toml", ".yaml", ".yml", ".lock", ".txt", ""}
PLACES = ("src", "docs", "examples", "bench", "tests", ".ci")

EXTRA_OF_THE_PACKAGE = re.compile(r"\bpenstock\[[a-z]")  # penstock[onnx]: somebody else's, on the index
INSTALLS_THE_PACKAGE = re.compile(r"pip install[^\n`]*?\bpenstock(?!-ml\b)\b")


def texts(root: Path) -> dict[Path, str]:
    """Everything that a user may read, by its path."""
    files = [file for place in PLACES for file in (root / place).rglob("*") if file.suffix in SUFFIXES]
    files += [file for file in root.iterdir() if file.suffix in SUFFIXES]
    return {f: f.read_text() for f in files if f.is_file() and "__pycache__" not in f.parts and f != Path(__file__)}


def misnamed(found: dict[Path, str]) -> list[str]:
    """Lines that would have somebody install a distribution that is not ours."""
    lines = [(file, line) for file, text in found.items() for line in text.splitlines()]
    return [f"{f.name}: {s}" for f, s in lines if EXTRA_OF_THE_PACKAGE.search(s) or INSTALLS_THE_PACKAGE.search(s)]


def written_elsewhere(found: dict[Path, str]) -> list[str]:
    """Modules that spell the command themselves."""
    return [file.name for file, text in found.items() if "pip install" in text and file != SOURCE / "errors.py"]


def extras() -> set[str]:
    return set(distribution(errors.DISTRIBUTION).metadata.get_all("Provides-Extra") or ())


def test_what_is_installed_is_called_so_and_brings_the_package_and_the_command() -> None:
    found = distribution(errors.DISTRIBUTION)
    assert {(e.group, e.name, e.value) for e in found.entry_points} == {
        ("console_scripts", "penstock", "penstock.cli.main:app")
    }
    assert {"onnx", "lightgbm", "sklearn", "kafka", "objects", "demo"} <= extras()


def test_the_command_names_the_distribution_and_the_extras() -> None:
    assert errors.install() == "pip install 'penstock-ml'"
    assert errors.install("kafka", "objects") == "pip install 'penstock-ml[kafka,objects]'"


def test_every_page_and_message_names_the_distribution() -> None:
    assert misnamed(texts(ROOT)) == []


def test_the_code_says_what_to_install_from_one_place() -> None:
    assert written_elsewhere({file: file.read_text() for file in SOURCE.rglob("*.py")}) == []


def test_each_extra_that_a_message_names_is_there() -> None:
    asked = {
        extra
        for file in SOURCE.rglob("*.py")
        for call in re.findall(r"\binstall\(((?:['\"][a-z]+['\"](?:, )?)+)\)", file.read_text())
        for extra in re.findall(r"[a-z]+", call)
    }
    assert asked and asked <= extras()


@pytest.mark.parametrize("planted", ["pip install penstock", "pip install -U 'penstock[onnx]'", '"penstock[kafka]",'])
def test_a_planted_line_is_found(planted: str) -> None:
    assert misnamed({Path("page.md"): f"fine: pip install 'penstock-ml[onnx]'\n{planted}\n"}) == [f"page.md: {planted}"]
    assert written_elsewhere({Path("a.py"): 'raise ModelRefused("needs: pip install shap")'}) == ["a.py"]
