"""The example of the design, in memory: prepare, score, and promote a model that is better on the holdout."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from penstock import testing
from penstock.declare.load import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights" / "app.py"


@pytest.fixture
def flights() -> ModuleType:
    loaded = load(str(EXAMPLE))
    return next(m for m in sys.modules.values() if getattr(m, "app", None) is loaded.app)


def test_a_departure_becomes_a_delay(flights: ModuleType) -> None:
    with testing.run(
        flights.app,
        models={"delay": lambda rows: rows.select(arr_delay=pl.col("dep_delay") + pl.col("carrier_code"))},
        resources={flights.Holdout: flights.Holdout(pl.DataFrame())},
        env={"HOLDOUT": "unused.parquet"},
    ) as t:
        t.publish(flights.departures, flights.Departure(7, "AA", 10.0, 100, "N1"), flights.Departure(8, "ZZ", 3.0, 9))
        t.settle()
        assert sorted((d.flight, d.arr_delay) for d in t.read(flights.delays)) == [(7, 12.0), (8, 2.0)]


def test_prepare_does_not_depend_on_the_batch(flights: ModuleType) -> None:
    frame = pl.DataFrame({"flight": [1, 2, 3], "carrier": ["UA", "AA", "?"], "dep_delay": [1.0, 2.0, 3.0]})
    testing.assert_rowwise(flights.prepare, frame)
