"""A peer's figure counts only if its predictions are right: what the bench on Kafka looks at must be able to fail."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from bench.kafka import events

from penstock.bench.events import departures

EXPECTED = np.array([1.5, -2.0, 30.25])
RIGHT = [{"flight": n, "arr_delay": delay} for n, delay in enumerate(EXPECTED.tolist())]

WRONG: dict[str, tuple[Callable[[], list[dict[str, float]]], str]] = {  # and what is said of it
    "one is missing": (lambda: RIGHT[:2], "2 predictions of 3 events"),
    "one came twice": (lambda: [*RIGHT, RIGHT[0]], "4 predictions of 3 events"),
    "one came twice and another is missing": (lambda: [RIGHT[0], RIGHT[0], RIGHT[2]], "others were scored twice"),
    "another's value": (lambda: [{**RIGHT[0], "arr_delay": -2.0}, *RIGHT[1:]], "3.5 minutes from the model"),
}


def values(rows: list[dict[str, float]]) -> list[bytes]:
    return [msgspec.json.encode(row) for row in rows]


def test_right_predictions_pass_in_any_order() -> None:
    events.check("json", values(RIGHT[::-1]), EXPECTED)


@pytest.mark.parametrize(("wrong", "said"), WRONG.values(), ids=WRONG)
def test_wrong_predictions_are_refused(wrong: Callable[[], list[dict[str, float]]], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        events.check("json", values(wrong()), EXPECTED)


def test_both_encodings_hold_the_same_events_in_the_same_partitions() -> None:
    some = departures(200)
    json, arrow = events.records("json", some), events.records("arrow", some)
    for partition in range(events.PARTITIONS):
        mine = sum(record.partition == partition for record in json)
        theirs = sum(events.count("arrow", record.value) for record in arrow if record.partition == partition)
        assert mine == theirs > 0
