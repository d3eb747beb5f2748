"""Whether the files that processes share are still those that they opened.

A file that was removed or replaced can be written and synced for as long as somebody has it open, and is gone with
them: so its name is looked at before anything is acknowledged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ...errors import LogGone


class InPlace:
    """Files by their paths. One look costs about a microsecond a file."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Those are looked at that are there now; they are the ones that must stay."""
        self._known = {text: found for path in paths if (found := _identity(text := str(path))) is not None}

    def check(self) -> None:
        """Raises ``LogGone``."""
        for path, known in self._known.items():
            if (found := _identity(path)) != known:
                what = "removed" if found is None else "replaced"
                raise LogGone(
                    f"{path} was {what} while it was in use: nothing is stored any more. Put the data directory back, "
                    "from a copy if you have one, and start again"
                )


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # a third of the time, at each commit
    except OSError:
        return None
    return found.st_dev, found.st_ino
