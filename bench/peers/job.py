"""The job that every peer does: a flight event in JSON in, a prediction in JSON out. Needs nothing of Penstock."""

from __future__ import annotations

import os
from operator import attrgetter

import msgspec
import numpy as np
import onnxruntime

BROKERS = os.environ["BENCH_BROKERS"]
SOURCE = os.environ["BENCH_SOURCE"]
TARGET = os.environ["BENCH_TARGET"]
GROUP = os.environ["BENCH_GROUP"]

# What Confluent's guide to throughput says of librdkafka, and the log of Penstock has too.
PRODUCER = {"acks": "all", "enable.idempotence": True, "compression.type": "lz4", "linger.ms": 50}
CONSUMER = {"auto.offset.reset": "earliest", "isolation.level": "read_committed"}


class Departure(msgspec.Struct, gc=False):
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


class Delay(msgspec.Struct, gc=False):
    flight: int
    arr_delay: float


FEATURES = tuple(field.name for field in msgspec.structs.fields(Departure) if field.type is not str)
numbers = attrgetter(*FEATURES)
decode = msgspec.json.Decoder(Departure).decode
encode = msgspec.json.Encoder().encode


def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])


_scorer = _session()
_input = _scorer.get_inputs()[0].name


def predict(rows: list[tuple[float, ...]]) -> list[float]:
    """A delay for each row of ``FEATURES``."""
    delays: list[float] = _scorer.run(None, {_input: np.array(rows, np.float32)})[0][:, 0].tolist()
    return delays
