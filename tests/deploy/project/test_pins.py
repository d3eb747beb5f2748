"""The distributions of an image, by what is installed: here in a folder of its own, so that each kind is there."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from penstock.deploy.project.pins import distributions_of, pins_of

INSTALLED: Mapping[str, Sequence[str]] = {
    "Shop_Of-One": (
        "b>=2",
        "gone-here; sys_platform == 'win32'",
        "c[fast] (>=1) ; extra == 'quick'",
        'd~=1.0; python_version >= "3" and extra == "quick"',
        "away>=5,<6; extra == 'far'",
    ),
    "b": (),
    "c": ("e; extra == 'fast'", "f; extra == 'slow'", "b"),
    "d": ("shop.of.one",),
    "e": (),
    "f": (),
}


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, requires in INSTALLED.items():
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        lines = [f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {each}" for each in requires)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n\n")
        (folder / "top_level.txt").write_text(f"module_{name.lower()[0]}\n")
    (tmp_path / "e-1.0.dist-info" / "direct_url.json").write_text("{}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.mark.parametrize(
    ("roots", "lines"),
    [
        (["shop-of-one"], ("b==1.0", "Shop_Of-One==1.0")),
        (["shop.of.one[quick]"], ("b==1.0", "c==1.0", "d==1.0", "e==1.0", "Shop_Of-One==1.0")),
        (["c[slow]", "b"], ("b==1.0", "c==1.0", "f==1.0")),
        (["Shop-Of-One[far]"], ("away>=5,<6", "b==1.0", "Shop_Of-One==1.0")),
    ],
)
def test_what_is_needed_in_turn_is_pinned(roots: Sequence[str], lines: tuple[str, ...]) -> None:
    assert pins_of(roots).lines == lines


def test_what_is_not_here_and_what_is_of_no_index_is_told() -> None:
    found = pins_of(["shop-of-one[quick,far]"])
    assert found.loose == ("away>=5,<6",) and found.local == ("e==1.0",)


def test_modules_are_of_distributions_or_of_none() -> None:
    assert distributions_of({"module_s", "module_d", "nobodys"}) == (["Shop_Of-One", "d"], ["nobodys"])


def test_penstock_needs_what_its_extras_say() -> None:
    lines = pins_of(["penstock-ml[kafka]"]).lines
    assert f"confluent-kafka=={version('confluent-kafka')}" in lines and f"polars=={version('polars')}" in lines
    assert not [line for line in lines if line.startswith(("onnxruntime", "pytest", "pulumi"))]
