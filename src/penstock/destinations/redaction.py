"""What must not be seen is cut out of what others say."""

from __future__ import annotations

from collections.abc import Sequence

REDACTED = "…"


def redact(text: str, hidden: Sequence[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, REDACTED)
    return text
