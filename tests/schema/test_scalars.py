from __future__ import annotations

from dataclasses import make_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import JSON_SCHEMA
from penstock.errors import InvalidEvent
from penstock.schema.objects import from_objects
from penstock.schema.types import schema_of

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def event_of(**fields: Any) -> Any:
    return make_dataclass("Event", fields.items())


class Metres(float):
    """A class of the user's own that is a float."""


class Name(str):
    __slots__ = ()


class Size(int, Enum):
    SMALL = 1


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (float, np.float64(1.5), 1.5),
        (float, np.float32(1.5), 1.5),
        (float, np.int32(3), 3.0),
        (float, Metres(2.5), 2.5),
        (int, np.int64(2**62), 2**62),
        (int, np.uint8(200), 200),
        (int, Size.SMALL, 1),
        (str, np.str_("é"), "é"),
        (str, Name("a"), "a"),
        (bytes, np.bytes_(b"a"), b"a"),
        (bool, np.bool_(True), True),
        (datetime, pd.Timestamp("2024-01-01T13:00:00.000001", tz="Europe/Amsterdam"), NOON.replace(microsecond=1)),
        (datetime, pd.Timestamp("2024-01-01T12:00:00.000000001"), NOON),
        (datetime, np.datetime64("2024-01-01T12:00:00.000000001"), NOON),
        (date, np.datetime64("2024-01-01").astype(date), date(2024, 1, 1)),
        (list[float], np.array([1.0, 2.0]), [1.0, 2.0]),
        (list[float], [np.float32(0.5)], [0.5]),
        (float | None, pd.NA, None),
        (datetime | None, pd.NaT, None),
        (datetime | None, np.datetime64("NaT"), None),
    ],
)
def test_what_stands_for_a_plain_value_is_stored_as_it(kind: Any, value: Any, stored: Any) -> None:
    event = event_of(x=kind)
    assert from_objects([event(value)], schema_of(event)).column("x").to_pylist() == [stored]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, np.float64(1.5)),
        (str, np.int64(1)),
        (float, pd.NA),
        (datetime, pd.NaT),
        (float, pd.Timedelta(1)),
        (float, object()),
    ],
)
def test_what_does_not_is_refused(kind: Any, value: Any) -> None:
    event = event_of(x=kind)
    with pytest.raises(InvalidEvent):
        from_objects([event(value)], schema_of(event))


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1))
def test_no_digit_is_lost(x: float, n: int) -> None:
    event = event_of(x=float, n=int)
    rows = from_objects([event(np.float64(x), np.int64(n))], schema_of(event))
    assert rows.to_pylist() == [{"x": x, "n": n}]


def test_a_topic_without_a_type_holds_them_as_json() -> None:
    event = {"x": np.float64(1.5), "n": np.int64(3), "at": pd.Timestamp(NOON), "xs": np.arange(2)}
    text = '{"x":1.5,"n":3,"at":"2024-01-01T12:00:00Z","xs":[0,1]}'
    assert from_objects([event], JSON_SCHEMA).column("json").to_pylist() == [text]
