"""Trains the model of app.py on the flights that left New York from January to September 2013.

    python train.py LEAVES FILE

writes FILE (ONNX), and beside it what the app and its README use: holdout.parquet, the flights of October with their
actual delay, and departures.parquet, the first 10,000 events of November.
"""

import json
import sys
from pathlib import Path

import lightgbm
import polars as pl
from app import Departure, prepare
from onnx import save_model
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from penstock.demo.flights import load

INPUTS = ["dep_delay", "distance", "carrier_code"]


def train(rows: pl.DataFrame, leaves: int) -> lightgbm.Booster:
    options = {"objective": "regression", "num_leaves": leaves, "seed": 13, "deterministic": True, "verbose": -1}
    table = lightgbm.Dataset(rows.select(pl.col(INPUTS).cast(pl.Float32)).to_numpy(), rows["actual"].to_numpy())
    return lightgbm.train(options, table, num_boost_round=50)


def export(booster: lightgbm.Booster, path: Path) -> None:
    """One float32 input of three columns, whose names the file says."""
    kind = [("input", FloatTensorType([None, len(INPUTS)]))]
    model = convert_lightgbm(booster, initial_types=kind, target_opset=15, zipmap=False)
    names = model.metadata_props.add()
    names.key, names.value = "penstock.inputs", json.dumps(INPUTS)
    save_model(model, str(path))


def main(leaves: int, path: Path) -> None:
    flown = load().drop_nulls(["dep_delay", "arr_delay"]).rename({"arr_delay": "actual"})
    rows = prepare(flown)
    past = rows.filter(pl.col("month") <= 9)
    export(train(past, leaves), path)
    fields = [name for name in Departure.__dataclass_fields__ if name in flown.columns]
    rows.filter(pl.col("month") == 10).select(*fields, "carrier_code", "actual").write_parquet("holdout.parquet")
    flown.filter(pl.col("month") == 11).select(fields).head(10_000).write_parquet("departures.parquet")
    print(f"{path}: {leaves} leaves, trained on {past.height:,} flights")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
