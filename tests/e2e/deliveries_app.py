"""Numbers that go out to three receivers, and one filtered copy of them."""

from dataclasses import dataclass

import penstock as ps

app = ps.App("deliveries")


@dataclass
class Number:
    n: int


numbers = app.topic("numbers", Number, partitions=3)
copies = app.topic("copies", Number)

for name in ("good", "flaky", "away"):
    app.subscribe(
        numbers,
        ps.env(f"{name.upper()}_URL"),
        name=name,
        where="n >= 0",
        secret=ps.secret("SIGNING_KEY"),
        retry=ps.Retry(attempts=30, ttl="1h"),
        allow_http=True,
        allow_private=True,
    )
app.subscribe(numbers, copies, name="copy", where="n % 10 = 0")
