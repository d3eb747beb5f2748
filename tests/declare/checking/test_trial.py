"""What depends on the batch is found before any event is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta
from polars.exceptions import PanicException

from penstock.declare.app import App
from penstock.declare.checking import trial
from penstock.declare.checking.samples import sample_rows
from penstock.declare.checking.trial import try_functions
from penstock.declare.planning.build import plan_of
from penstock.errors import Reject
from penstock.schema.ingress.values import check_rows
from penstock.schema.types import schema_of


@dataclass
class Payment:
    id: int
    card: str
    amount: float
    at: datetime
    country: Literal["NL", "US"]
    note: str | None = None


Function = Callable[[pl.DataFrame], pl.DataFrame]


def found(function: Function, to: bool = True) -> list[str]:
    app = App("tried")
    payments = app.topic("payments", Payment, key="card")
    made = app.topic("made")

    def tried(rows: pl.DataFrame) -> pl.DataFrame:
        return function(rows)

    if to:
        app.on(payments, to=made)(tried)
    else:
        app.on(payments)(tried)  # type: ignore[arg-type]
    return [str(finding) for finding in try_functions(app, plan_of(app))]


AMOUNT = pl.col("amount")


@pytest.mark.parametrize(
    "function",
    [
        lambda rows: rows.with_columns(y=AMOUNT.rolling_mean(3)),
        lambda rows: rows.with_columns(y=AMOUNT.rank()),
        lambda rows: rows.with_columns(y=AMOUNT.sum().over("card")),
        lambda rows: rows.with_columns(y=pl.col("id").cum_count().over("card")),
        lambda rows: rows.with_columns(y=AMOUNT - AMOUNT.mean()),
        lambda rows: rows.with_columns(y=AMOUNT.shift(1)),
        lambda rows: rows.with_columns(z=pl.col("note").forward_fill()),
        lambda rows: rows.drop("_row").sort("amount"),
        lambda rows: rows.group_by("card", maintain_order=True).agg(AMOUNT.sum()),
        lambda rows: rows.drop("_row").filter(AMOUNT > 50),
        lambda rows: rows.unique("country", keep="first", maintain_order=True),
        lambda rows: rows.head(5),
    ],
)
def test_what_sees_the_batch_is_warned_of(function: Function) -> None:
    (warning,) = found(function)
    assert "tried answers a row differently in another batch" in warning and "test_trial.py:" in warning


@pytest.mark.parametrize(
    "function",
    [
        lambda rows: rows.with_columns(y=AMOUNT * 2, z=pl.col("note").is_null()),
        lambda rows: rows.filter(AMOUNT > 50).sort("amount"),
        lambda rows: rows.select("_row", "card", twice=pl.concat_list("id", "id")).explode("twice"),
        lambda rows: rows.with_columns(y=pl.lit(time.monotonic_ns())),  # two answers to the same rows: nothing is known
    ],
)
def test_what_sees_its_row_alone_is_not(function: Function) -> None:
    assert found(function) == []


def raises(error: BaseException) -> Function:
    def function(rows: pl.DataFrame) -> pl.DataFrame:
        if rows.height:
            raise error
        return rows

    return function


@pytest.mark.parametrize(
    "error", [ValueError("no such customer"), SystemExit(1), Reject("all"), PanicException("time was up in a callback")]
)
def test_what_it_raises_on_made_up_events_is_no_finding(error: BaseException) -> None:
    assert found(raises(error)) == []


def test_a_function_that_hangs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(rows: pl.DataFrame) -> pl.DataFrame:
        while rows.height:
            with suppress(Exception):
                time.sleep(10)
        return rows

    monkeypatch.setattr(trial, "SECONDS", 0.05)
    began = time.monotonic()
    assert found(hangs) == []
    assert time.monotonic() - began < 5


def test_what_feeds_no_topic_is_not_called() -> None:
    called: list[int] = []

    def effect(rows: pl.DataFrame) -> pl.DataFrame:
        called.append(rows.height)
        return rows

    assert found(effect, to=False) == []
    assert not any(called)


@dataclass
class Inner:
    a: int
    b: float | None


@dataclass
class Every:
    n: Annotated[int, Meta(ge=3, lt=7)]
    even: Annotated[int, Meta(multiple_of=2, gt=0)]
    x: Annotated[float, Meta(le=-5)]
    text: Annotated[str, Meta(min_length=6, max_length=8)]
    flag: bool
    raw: bytes
    at: datetime | None
    inner: Inner
    many: list[Inner]
    kind: Literal["a", "b"] = "a"


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from(["n", "text", None]))
def test_made_up_events_are_events_of_the_type(seed: int, key: Any) -> None:
    schema = schema_of(Every)
    rows = sample_rows(schema, 40, key=key, seed=seed)
    check_rows(rows, schema)
    assert rows.equals(sample_rows(schema, 40, key=key, seed=seed))


def test_a_column_of_another_type_has_no_samples() -> None:
    with pytest.raises(ValueError, match="no sample of"):
        sample_rows(pa.schema([("d", pa.decimal128(5, 2))]), 3)
