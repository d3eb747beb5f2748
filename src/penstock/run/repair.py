"""Repair of a data directory that no run is using."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import LogUnusable
from ..log.repair import Repair
from ..log.repair import repair as repair_log
from .directory import DataDirectory


def repair(root: Path, progress: Callable[[int], None]) -> Repair:
    """Save what can be saved of the log; see ``log.repair``.

    Raises ``LogUnusable`` while a supervisor has the directory, or for one that holds no log.
    """
    if not root.is_dir():
        raise LogUnusable(f"there is no directory {root}: name the --data directory of the damaged log")
    directory = DataDirectory(root)
    directory.claim()
    try:
        return repair_log(directory.root, progress)
    finally:
        directory.release()
