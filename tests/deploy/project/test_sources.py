"""What an app's own code imports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.deploy.project.sources import imported
from penstock.errors import DeclarationError


def found(folder: Path, files: Mapping[str, str]) -> tuple[list[str], set[str]]:
    """With app.py first, and nothing of what they import executed."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    paths, modules = imported([folder / "app.py"], folder)
    return [path.relative_to(folder).as_posix() for path in paths], modules


@pytest.mark.parametrize(
    ("files", "own", "modules"),
    [
        ({"app.py": "import os, numpy.linalg as a\nfrom polars import col"}, ["app.py"], {"numpy", "polars"}),
        (
            {"app.py": "def f():\n    import b", "b.py": "from c import d", "c.py": "d = 1"},
            ["app.py", "b.py", "c.py"],
            set(),
        ),
        ({"app.py": "import b", "b.py": "import app", "c.py": ""}, ["app.py", "b.py"], set()),
        (
            {
                "app.py": "import p.q.r",
                "p/__init__.py": "",
                "p/q/__init__.py": "import x",
                "p/q/r.py": "from ..s import t",
                "p/s.py": "from . import u",
                "p/u.py": "",
                "p/v.py": "",
            },
            ["app.py", "p/__init__.py", "p/q/__init__.py", "p/q/r.py", "p/s.py", "p/u.py"],
            {"x"},
        ),
        (
            {"app.py": "from p import a, b", "p/a.py": "", "p/__init__.py": "b = 1"},
            ["app.py", "p/__init__.py", "p/a.py"],
            set(),
        ),
        ({"app.py": "from p.a import b", "p/a.py": "b = 1"}, ["app.py", "p/a.py"], set()),
        ({"app.py": "from numpy import b", "b.py": ""}, ["app.py"], {"numpy"}),
    ],
)
def test_files_beside_the_app_and_modules_that_are_not(
    tmp_path: Path, files: Mapping[str, str], own: list[str], modules: set[str]
) -> None:
    assert found(tmp_path, files) == (own, modules)


def test_what_lies_outside_of_the_apps_folder_is_not_the_apps(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("")
    assert found(tmp_path / "shop", {"app.py": "from .. import beside"}) == (["app.py"], set())


def test_a_file_that_is_no_python_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"b\.py:2: .*for it is imported"):
        found(tmp_path, {"app.py": "def f():\n    import b", "b.py": "\na b"})
