"""What a name promises: a class is one thing in the whole of the package, and a number says its unit."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "penstock"
# by the first word of the comment beside a number, what its name has to have as a word of its own
UNITS = {
    "seconds": "S",
    "milliseconds": "MS",
    "microseconds": "US",
    "bytes": "BYTES",
    "KiB": "KIB",
    "characters": "CHARS",
    "rows": "ROWS",
    "events": "EVENTS",
}
EACH_TARGETS = {"PenstockApp", "PenstockAppArgs"}
"""What a Pulumi program of whichever target imports by the same name."""


def sources() -> dict[str, str]:
    return {str(file.relative_to(SOURCE)): file.read_text() for file in SOURCE.rglob("*.py")}


def classes_of_one_name(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """The class names that are used more than once, and where; those of classes within others count."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for file, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{file}:{node.lineno}")
    return {name: found for name, found in places.items() if len(found) > 1}


def numbers_without_their_unit(texts: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """The numbers of modules whose comment begins with a unit that their name does not have: file, name, unit."""
    found = []
    for file, text in texts.items():
        lines = text.splitlines()
        for node in ast.parse(text).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            unit = lines[(node.end_lineno or 0) - 1].partition("  # ")[2].partition(" ")[0].rstrip(".,:;")
            if unit in UNITS and isinstance(target, ast.Name) and UNITS[unit] not in target.id.split("_"):
                found.append((file, target.id, unit))
    return found


def test_a_class_name_is_used_once() -> None:
    found = classes_of_one_name(sources())
    assert {name: places for name, places in found.items() if name not in EACH_TARGETS} == {}
    for name in EACH_TARGETS:
        assert {Path(place).parts[0] for place in found[name]} == {"deploy"}


def test_a_number_has_its_unit_in_its_name() -> None:
    assert numbers_without_their_unit(sources()) == []


@pytest.mark.parametrize(
    "second", ["class Lease: ...", "class Holder:\n    class Lease: ...", "def f():\n  class Lease: ..."]
)
def test_a_class_name_that_is_used_again_is_found(second: str) -> None:
    texts = {"a.py": "\nclass Lease: ...\nclass Other: ...", "b.py": second}
    assert classes_of_one_name(texts) == {"Lease": ["a.py:2", f"b.py:{second.count(chr(10)) + 1}"]}


@pytest.mark.parametrize(("unit", "word"), UNITS.items())
def test_a_number_that_keeps_its_unit_to_itself_is_found(unit: str, word: str) -> None:
    for value in ("5", "1 << 20", "-0.5", "OTHER * 2", "(\n    5 + 6\n)"):
        planted = f"LIMIT = {value}  # {unit}: of one\nLIMIT_{word}: int = {value}  # {unit} of one\n"
        assert numbers_without_their_unit({"a.py": planted}) == [("a.py", "LIMIT", unit)]
    assert numbers_without_their_unit({"a.py": f"LIMIT = 5  # of one, in {unit}\n"}) == []
