"""Numbers to which tenants subscribe while the app runs."""

from dataclasses import dataclass

import penstock as ps

app = ps.App("tenants")


@dataclass
class Number:
    n: int


@dataclass
class Onboarded:
    tenant: str
    url: str
    secret: str


numbers = app.topic("numbers", Number, partitions=3)
onboarded = app.topic("onboarded", Onboarded, partitions=1)


@app.on(onboarded)
def subscribe(t: Onboarded, subscriptions: ps.Subscriptions) -> None:
    subscriptions.put(
        f"{t.tenant}-numbers",
        numbers,
        t.url,
        where="n >= 0",
        secret=t.secret,
        allow_http=True,
        allow_private=True,
        retry=ps.Retry(attempts=30, ttl="1h"),
    )
