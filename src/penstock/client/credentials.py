"""The key that a client shows, where the program does not say it: from the environment, or a file."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import Unauthorized

KEY, KEY_FILE = "PENSTOCK_KEY", "PENSTOCK_KEY_FILE"
LONGEST_BYTES = 4_096  # bytes that are read of a file


def found_key() -> str:
    """Empty: there is none. Raises ``Unauthorized`` for a file that cannot be read."""
    if key := os.environ.get(KEY, ""):
        return key.strip()
    if not (named := os.environ.get(KEY_FILE, "")):
        return ""
    try:
        with Path(named).open("rb") as file:
            return file.read(LONGEST_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise Unauthorized(f"{KEY_FILE} names {named}, which cannot be read: {error.strerror}") from None
