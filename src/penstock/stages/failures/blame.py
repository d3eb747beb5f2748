"""Which line of the user's code a traceback blames."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

FRAME = re.compile(r'^ +File "([^"\n]+)", line (\d+)', re.MULTILINE)
OTHERS = tuple(
    f"{folder}/"
    for folder in {Path(__file__).parents[2], *map(Path, map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))}
)
"""Folders of code that is not the user's: ours, Python's, and what is installed."""


def place_of(traceback: str) -> str:
    """``file:line`` of the last frame that is neither ours nor a library's; empty: there is none."""
    own = [f"{file}:{line}" for file, line in FRAME.findall(traceback) if not file.startswith((*OTHERS, "<"))]
    return own[-1] if own else ""
