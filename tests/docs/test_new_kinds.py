"""The table of what a new kind takes: its files are there, and each page and suite has its row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.test_recipes import PAGES

from penstock import testing

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "CONTRIBUTING.md").read_text().partition("## What a new kind takes")[2].partition("\n## ")[0]


def missing(table: str) -> list[str]:
    """Files that are not there; of those that are new, folders; pages and suites without a row."""
    files = re.findall(r"`([a-z_/]+/[\w/]+\.py)`", table)
    there = {file: ROOT if file.startswith("tests/") else ROOT / "src" / "penstock" for file in files}
    named = [file.replace("NAME.py", "") for file in files]
    absent = [name for file, name in zip(files, named, strict=True) if not (there[file] / name).exists()]
    suites = [f"`{name}`" for name in testing.__all__ if name.endswith("Contract")]
    return absent + [word for word in [*PAGES, *suites] if word not in table]


def test_the_table_is_true() -> None:
    assert missing(TABLE) == []


def test_a_kind_of_stage_takes_the_files_that_its_page_says() -> None:
    page = (ROOT / "docs" / "writing-a-stage.md").read_text().partition("| piece |")[2].partition("\n\n")[0]
    row = next(line for line in TABLE.splitlines() if line.startswith("| a kind of stage"))
    said = set(re.findall(r"`([a-z_/]+\.py)`", page))
    assert said and {file for file in re.findall(r"`([\w/]+\.py)`", row) if "NAME" not in file} == said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("`gateway/routes.py`", "`gateway/table.py`", "gateway/table.py"),
        ("objects/NAME.py", "stores/NAME.py", "stores/"),
        ("docs/writing-a-log.md", "docs/log.md", "writing-a-log.md"),
        ("`StageContract`", "", "`StageContract`"),
    ],
)
def test_a_row_that_is_not_true_is_found(old: str, new: str, said: str) -> None:
    assert missing(TABLE.replace(old, new)) == [said]
