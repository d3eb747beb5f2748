"""Writes the last result of ``make bench`` into the README and docs/performance.md, between their two marks."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
START, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def table(result: dict[str, object], *, short: bool) -> str:
    figures = [f for f in result["figures"] if f["must"] or not short]  # type: ignore[attr-defined]
    lines = ["| figure | median | least–most | must | aim |", "|---|---|---|---|---|"]
    for f in figures:
        missed = "" if f["met"] else " **missed**"
        lines.append(f"| {f['name']} | {f['value']}{missed} | {f['spread']} | {f['must']} | {f['aim']} |")
    return "\n".join([START, *lines, "", f"{result['machine']}; fsync on; medians of 5 runs.", END])


def write(page: Path, text: str) -> None:
    before, _, rest = page.read_text().partition(START)
    page.write_text(before + text + rest.partition(END)[2])


def main() -> None:
    result = json.loads((HERE / "results" / "latest.json").read_text())
    write(HERE.parent / "README.md", table(result, short=True))
    write(HERE.parent / "docs" / "performance.md", table(result, short=False))


if __name__ == "__main__":
    main()
