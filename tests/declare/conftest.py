"""Apps written to files and looked at, as `penstock check` does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from penstock.declare.load import load
from penstock.declare.planning.build import ResolvedApp, resolve

HEAD = """
from __future__ import annotations
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
import polars as pl
import pyarrow as pa
import penstock as ps

app = ps.App("tried")

@dataclass
class A:
    a: int
    text: str | None = None

@dataclass
class B:
    b: float

first = app.topic("first", A)
second = app.topic("second", B)
"""


@pytest.fixture
def app_file(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Writes an app; what was imported is forgotten afterwards."""
    before, path_before = set(sys.modules), list(sys.path)

    written: list[Path] = []

    def write(text: str, name: str = "", head: str = HEAD) -> Path:
        file = tmp_path / (name or f"tried{len(written)}.py")
        written.append(file)
        file.write_text(head + dedent(text))
        return file

    yield write
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
    sys.path[:] = path_before


@pytest.fixture
def looked_at(app_file: Callable[..., Path]) -> Callable[..., ResolvedApp]:
    """What resolving says of an app whose file is HEAD and the text."""

    def look(text: str, **options: object) -> ResolvedApp:
        return resolve(load(str(app_file(text))).app, **options)  # type: ignore[arg-type]

    return look
