"""The events and the model that every figure uses, made once from a fixed seed."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from .bare import FEATURES, BareDeparture

CARRIERS = ("UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX")


def departures(count: int, seed: int = 13) -> list[BareDeparture]:
    """Events shaped like the flights of 2013: four thousand aircraft, so that keys repeat."""
    rng = random.Random(seed)
    tails = [f"N{rng.randrange(10_000, 99_999)}" for _ in range(4_000)]
    made = []
    for flight in range(count):
        hour, minute, late = rng.randrange(5, 24), rng.randrange(60), round(rng.gauss(12, 40))
        made.append(
            BareDeparture(
                month=rng.randrange(1, 13), day=rng.randrange(1, 29), sched_dep_time=hour * 100 + minute,
                sched_arr_time=(hour + 3) % 24 * 100 + minute, dep_delay=float(late), carrier=rng.choice(CARRIERS),
                flight=flight, tailnum=rng.choice(tails), origin=rng.choice(("EWR", "JFK", "LGA")),
                dep_time=hour * 100 + minute, distance=rng.randrange(80, 5_000), hour=hour, minute=minute,
            )
        )  # fmt: skip
    return made


def json_bodies(events: list[BareDeparture], size: int) -> list[bytes]:
    return [msgspec.json.encode(events[at : at + size]) for at in range(0, len(events), size)]


def arrow_bodies(events: list[BareDeparture], size: int) -> list[bytes]:
    bodies = []
    for at in range(0, len(events), size):
        batch = pa.RecordBatch.from_pylist([msgspec.structs.asdict(e) for e in events[at : at + size]])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        bodies.append(sink.getvalue().to_pybytes())
    return bodies


def model(to: Path) -> Path:
    """100 LightGBM trees of 31 leaves over the ten numbers, as ONNX."""
    import json

    import lightgbm
    from onnx import save_model
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    rows = np.array([[getattr(e, name) for name in FEATURES] for e in departures(50_000, seed=1)], np.float32)
    rng = np.random.default_rng(1)
    target = rows[:, FEATURES.index("dep_delay")] + rows[:, FEATURES.index("hour")] + rng.normal(0, 15, len(rows))
    data = lightgbm.Dataset(rows, target, feature_name=list(FEATURES))
    booster = lightgbm.train({"num_leaves": 31, "seed": 13, "verbose": -1, "deterministic": True}, data, 100)
    made = convert_lightgbm(
        booster, initial_types=[("input", FloatTensorType([None, len(FEATURES)]))], target_opset=15, zipmap=False
    )
    prop = made.metadata_props.add()
    prop.key, prop.value = "penstock.inputs", json.dumps(list(FEATURES))
    save_model(made, str(to))
    return to
