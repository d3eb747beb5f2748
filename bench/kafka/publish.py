"""Writes the last result of ``make bench-kafka`` into docs/performance.md, between its two marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent.parent / "docs" / "performance.md"
START, END = "<!-- figures: written by make bench-kafka -->", "<!-- end of figures on Kafka -->"


def table(result: dict[str, Any]) -> str:
    lines = [
        "| program | version | effects | CPU an event | least–most | of which µs | events a CPU second | events/s | "
        "broker's CPU |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for row in sorted(result["programs"], key=lambda row: row["cpu_us"] or float("inf")):
        start = f"| {row['title']} | {row['version']} | {row['guarantee']} |"
        if row["missing"]:
            lines.append(f"{start} {row['missing'].replace('|', '/')} | | | | | |")
            continue
        costs = f"{row['cpu_us']:.2f} µs | {row['spread']} | {row['parts']}"
        costs += f" | {row['per_cpu_second']:,.0f} | {row['rate']:,.0f}"
        lines.append(f"{start} {costs} | {row['broker_us']:.2f} µs |")
    lines += ["", "| figure | median | least–most | must |", "|---|---|---|---|"]
    for f in result["figures"]:
        missed = "" if f["met"] else " **missed**"
        lines.append(f"| {f['name']} | {f['value']}{missed} | {f['spread']} | {f['must']} |")
    where = (
        f"{result['machine']}; Apache Kafka {result['kafka']} on the same machine, librdkafka {result['librdkafka']}"
    )
    taken = f"{result['rounds']} rounds, load {result['load']} at their end"
    return "\n".join([START, *lines, "", f"{where}; {taken}.", END])


def main(result: Path) -> None:
    before, mark, rest = PAGE.read_text().partition(START)
    if not mark:
        raise SystemExit(f"{PAGE} has no line {START}")
    PAGE.write_text(before + table(json.loads(result.read_text())) + rest.partition(END)[2])
