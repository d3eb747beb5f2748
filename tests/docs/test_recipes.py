"""The recipe of each page that says how to write something of one's own passes its suite, as it is written there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import blocks

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page.name for page in DOCS.glob("writing-a*.md"))
PASSED = re.compile(r"^(\d+) passed", re.MULTILINE)


def run_recipe(page: str, folder: Path) -> None:
    files = [block for block in blocks(page) if block.language == "python" and block.name]
    assert any(block.name.startswith("test_") for block in files), (
        "the page has no block of Python with the name of a test file"
    )
    for block in files:
        (folder / block.name).write_text("\n".join(block.lines))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    passed = PASSED.search(done.stdout)
    assert done.returncode == 0 and passed and int(passed[1]) >= 5, done.stdout[-4_000:] + done.stderr[-1_000:]


@pytest.mark.parametrize("page", PAGES)
def test_the_recipe_of_a_page_passes_its_suite(page: str, tmp_path: Path) -> None:
    run_recipe((DOCS / page).read_text(), tmp_path)


def test_a_recipe_that_fails_is_found(tmp_path: Path) -> None:
    page = (DOCS / "writing-a-door.md").read_text().replace("How many partitions it has.", "How many it has")
    with pytest.raises(AssertionError, match="a sentence says what it does"):
        run_recipe(page, tmp_path)


def test_a_stage_that_goes_by_its_batches_is_found(tmp_path: Path) -> None:
    page = (DOCS / "writing-a-stage.md").read_text().replace("work.positions %", "np.arange(len(work)) %")
    with pytest.raises(AssertionError, match="after crashes: lost"):
        run_recipe(page, tmp_path)
