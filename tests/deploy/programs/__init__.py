"""Programs that are right, for mistakes to be planted in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

AZURE, KUBERNETES = (Path(__file__).with_name(f"{name}.py") for name in ("azure", "kubernetes"))


def program(file: Path, *changes: tuple[str, str]) -> Callable[[], None]:
    """That of ``file`` with each text, which is there once, replaced by another."""
    text = file.read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"{text.count(old)} times: {old}"
        text = text.replace(old, new)
    return lambda: exec(compile(text, str(file), "exec"), {"__name__": "__main__"})
