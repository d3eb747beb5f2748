"""How a user tests an app: in memory, time moved by hand."""

from datetime import datetime

import polars as pl
from fraud import Payment, Risks, app, payments, prepare, scores

from penstock import testing

RISKS = Risks(pl.DataFrame({"merchant": ["m"], "merchant_risk": [0.5]}))


def test_flags() -> None:
    with testing.run(
        app,
        models={"fraud": lambda rows: rows.select(score=pl.lit(0.95))},
        resources={Risks: RISKS},
    ) as t:
        t.publish(payments, Payment("1", "c", "m", 9.0, datetime.now()))
        t.settle()
        assert t.read(scores)[0].score > 0.9


def test_plain(frame: pl.DataFrame) -> None:
    prepare(frame, RISKS)
