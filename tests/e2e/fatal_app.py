"""A function that ends its worker, for one event."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import penstock as ps

app = ps.App("fatal")


@dataclass
class Number:
    n: int


numbers = app.topic("numbers", Number, partitions=2)
copies = app.topic("copies", Number, partitions=2)


@app.on(numbers, to=copies)
def copy(number: Number) -> Number:
    if number.n == 42:
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()
    return number
