"""How a user tests an app: in memory, time moved by hand."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from penstock import testing
from penstock.declare.load import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "fraud" / "app.py"


@pytest.fixture
def fraud() -> ModuleType:
    loaded = load(str(EXAMPLE))
    return next(m for m in sys.modules.values() if getattr(m, "app", None) is loaded.app)


def test_a_payment_is_scored_with_its_merchants_risk(fraud: ModuleType) -> None:
    risks = fraud.Risks(pl.DataFrame({"merchant": ["m"], "merchant_risk": [0.9]}))
    with testing.run(
        fraud.app,
        models={"fraud": lambda rows: rows.select(score=pl.col("merchant_risk") * 0.5)},
        resources={fraud.Risks: risks},
        env={"RISKS_URL": "http://127.0.0.1:9"},
    ) as t:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        t.publish(fraud.payments, fraud.Payment("1", "c", "m", 9.0, at), fraud.Payment("2", "c", "m", 1.0, at))
        t.settle()
        assert sorted((s.payment_id, s.score) for s in t.read(fraud.scores)) == [("1", 0.45), ("2", 0.45)]
        assert t.dead(fraud.payments) == []


def test_prepare_is_a_plain_function(fraud: ModuleType) -> None:
    rows = pl.DataFrame({"merchant": ["a", "b"]})
    risks = fraud.Risks(pl.DataFrame({"merchant": ["b"], "merchant_risk": [0.1]}))
    assert fraud.prepare(rows, risks)["merchant_risk"].to_list() == [None, 0.1]
