"""Every link of a page that stays in the repository leads somewhere, to the very heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(page: Path) -> list[str]:
    """The links that lead nowhere."""
    found = []
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        where, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = page.parent / where if where else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead(page) == []


def test_every_page_of_the_docs_is_led_to() -> None:
    """From the README or the index, by however many steps."""
    seen, ahead = set[Path](), [ROOT / "README.md", ROOT / "docs" / "README.md"]
    while ahead:
        page = ahead.pop().resolve()
        if page in seen or not page.is_file() or page.suffix != ".md":
            continue
        seen.add(page)
        ahead += [page.parent / link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link]
    pages = {p.resolve() for p in PAGES if p.is_relative_to(ROOT / "docs") and "decisions" not in p.parts}
    assert pages - seen == set()


def test_a_planted_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](nowhere.md) [b](#one-two) [c](#three) [d](https://nowhere.example)\n")
    assert dead(page) == ["nowhere.md", "#three"]
