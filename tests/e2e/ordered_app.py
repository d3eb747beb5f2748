"""Moves of a few pieces, which two receivers get in their order."""

from dataclasses import dataclass

import penstock as ps

app = ps.App("ordered")


@dataclass
class Move:
    piece: str
    n: int


moves = app.topic("moves", Move, key="piece", partitions=3)

for name in ("good", "flaky"):
    app.subscribe(
        moves,
        ps.env(f"{name.upper()}_URL"),
        name=name,
        ordered=True,
        secret=ps.secret("SIGNING_KEY"),
        retry=ps.Retry(attempts=30, ttl="1h"),
        allow_http=True,
        allow_private=True,
    )
