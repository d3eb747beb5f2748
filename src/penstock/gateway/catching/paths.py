"""Where webhooks are caught, and shown."""

from __future__ import annotations

from urllib.parse import quote

PATH = "/caught"


def path_of(subscription: str) -> str:
    """Where a subscription's webhooks are caught."""
    return f"{PATH}/{quote(subscription, safe='')}"


def takes_any_type(method: str, path: str) -> bool:
    """Is this where the courier sends to? An event may be of any type, as its publisher said, also of those that a web
    page may send unasked; which is let in only where it does not come from one."""
    return method == "POST" and path.startswith(f"{PATH}/") and path.count("/") == 2
