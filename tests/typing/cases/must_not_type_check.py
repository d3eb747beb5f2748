"""Each line marked E must be an error under mypy --strict and pyright strict; no other may be."""

from dataclasses import dataclass

import penstock as ps

app = ps.App("x")


@dataclass
class A:
    a: int


@dataclass
class B:
    b: int


a = app.topic("a", A)
b = app.topic("b", B)


@app.on(a, to=b)  # E
def wrong_in(x: B) -> B:
    return x


@app.on(a, to=b)  # E
def wrong_out(x: A) -> A:
    return x


@app.on(a, to=b)
def ok(x: A) -> B:
    return B(x.a)


@app.on(a, to=b)
def ok_list(x: A) -> list[B]:
    return [B(x.a)]


@app.on(a, to=b)
async def ok_async(x: A) -> B | None:
    return None


@app.on(ps.ModelRegistered)
def typo(x: ps.ModelRegistered) -> None:
    print(x.verison)  # E


app.subscribe(a, "https://example.com/", secret=ps.secret("KEY"))
app.subscribe(a, "https://example.com/", secret="hush")  # E
app.subscribe(a, "https://example.com/", format="json")  # E
app.subscribe(a, "https://example.com/", batch=100)  # E
app.subscribe("a", "https://example.com/")  # E
app.subscribe(a, 3)  # E
