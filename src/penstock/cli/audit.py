"""`audit`: who did what, who was refused, and whether nobody has changed what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from .options import URL, Json, Url

Latest = Annotated[int, typer.Option("--limit", "-n", help="The latest so many.", min=1)]


def audit(url: Url = URL, limit: Latest = 50, as_json: Json = False) -> None:
    """Who made keys, moved models, put events back, and who was refused and why, as the doors noted it.

    All rows are read, and their seals checked: exit code 1 where one was changed, taken out or put in.
    """
    import sys

    import msgspec

    from ..access.audit import AUDIT, faults, read
    from ..client.connection import connect
    from .show import rows

    with connect(url) as server:
        found = read(server.read(AUDIT)["json"].to_list())
    said = [
        msgspec.to_builtins(row) | {"at": datetime.fromtimestamp(row.at / 1e6, UTC).isoformat(timespec="seconds")}
        for row in found[-limit:]
    ]
    rows("audit", ["at", "who", "key", "what", "on", "source", "status", "why", "times"], said, as_json=as_json)
    broken = faults(found)
    for fault in broken:
        print(f"penstock: the audit was changed: {fault}", file=sys.stderr)
    if broken:
        raise typer.Exit(1)
