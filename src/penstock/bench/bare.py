"""The bare loop: the least that any program must do to score JSON events, written by hand and batched.

msgspec -> numpy -> ONNX Runtime -> msgspec; no log, no HTTP, one thread. Every figure of the bench is a ratio to it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime

SIZES = (256, 1_000, 4_096)


class BareDeparture(msgspec.Struct, gc=False):
    """The 13 fields of an event; ten of them, the numbers, feed the model."""

    month: int
    day: int
    sched_dep_time: int
    sched_arr_time: int
    dep_delay: float
    carrier: str
    flight: int
    tailnum: str
    origin: str
    dep_time: int
    distance: int
    hour: int
    minute: int


class BareDelay(msgspec.Struct, gc=False):
    flight: int
    arr_delay: float


FEATURES = tuple(f.name for f in msgspec.structs.fields(BareDeparture) if f.type is not str)


@dataclass(frozen=True, slots=True)
class Bare:
    """CPU seconds per event at the best batch size, and that size."""

    cpu: float
    batch: int

    @property
    def rate(self) -> float:
        return 1 / self.cpu


def session(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def loop(bodies: Sequence[bytes], scorer: onnxruntime.InferenceSession) -> int:
    """Score JSON arrays into JSON arrays; bytes written."""
    decode = msgspec.json.Decoder(list[BareDeparture]).decode
    encode = msgspec.json.Encoder().encode
    numbers = attrgetter(*FEATURES)
    name, width, written = scorer.get_inputs()[0].name, len(FEATURES), 0
    for body in bodies:
        rows = decode(body)
        flat = np.fromiter(chain.from_iterable(map(numbers, rows)), np.float32, len(rows) * width)
        answer = scorer.run(None, {name: flat.reshape(-1, width)})[0][:, 0].tolist()
        written += len(encode([BareDelay(row.flight, delay) for row, delay in zip(rows, answer, strict=True)]))
    return written


def measure(events: Sequence[BareDeparture], model: Path, *, seconds: float = 2.0) -> Bare:
    """The best of ``SIZES``, each run for about ``seconds`` over the same events."""
    scorer, best = session(model), Bare(float("inf"), 0)
    for size in SIZES:
        whole = len(events) // size * size
        bodies = [msgspec.json.encode(events[at : at + size]) for at in range(0, whole, size)]
        loop(bodies[:2], scorer)
        rounds, start, deadline = 0, time.process_time(), time.perf_counter() + seconds
        while rounds == 0 or time.perf_counter() < deadline:
            loop(bodies, scorer)
            rounds += 1
        best = min(best, Bare((time.process_time() - start) / (rounds * whole), size), key=lambda b: b.cpu)
    return best
