"""Numbers that would go out to receivers whose address and secrets this machine does not have."""

from dataclasses import dataclass

import penstock as ps

app = ps.App("catching")


@dataclass
class Number:
    n: int


numbers = app.topic("numbers", Number, partitions=2)

app.subscribe(
    numbers,
    ps.env("NOWHERE_URL"),
    name="signed",
    where="n % 2 = 0",
    secret=ps.secret("NOWHERE_KEY"),
    headers={"authorization": ps.secret("NOWHERE_TOKEN")},
)
app.subscribe(numbers, ps.secret("OUTSIDE_URL"), name="plain", format="cloudevents-batch", batch=(10, 64))
