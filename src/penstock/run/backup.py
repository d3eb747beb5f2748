"""A copy of a data directory that a run may be using: the log as of one moment, and every model that it names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ..errors import CannotStart, LogFull
from ..log.copying import copy
from .directory import DataDirectory


def backup(data: Path, to: Path, progress: Callable[[int, int], None]) -> int:
    """Returns the bytes copied. ``to`` is new or empty, and then a data directory itself.

    Raises ``CannotStart`` where there is no log, or something in ``to`` already; ``LogFull``, ``LogUnusable``.
    """
    source, target = DataDirectory(data), DataDirectory(to)
    if not (source.root / "log.db").is_file():
        raise CannotStart(f"there is no log in {data}: name the --data directory of the app")
    try:
        target.root.mkdir(parents=True, mode=0o700, exist_ok=True)
        if any(target.root.iterdir()):
            raise CannotStart(f"{to} is not empty: a back-up goes into a new directory")
        copy(source.root, target.root, progress)
        # After the log: a model's file is there before the log names it.
        if source.artifacts.is_dir():
            shutil.copytree(source.artifacts, target.artifacts)
    except OSError as error:
        raise LogFull(f"{to} cannot be written: {error.strerror or error}; what is there is no back-up") from None
    return sum(path.stat().st_size for path in target.root.rglob("*") if path.is_file())
