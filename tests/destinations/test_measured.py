"""Requests are counted by what became of them, each once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from prometheus_client import Counter

from penstock.clock import ManualClock
from penstock.destinations.interface import Answer, DestinationStatus, Parcel
from penstock.destinations.measured import DELIVERIES, SECONDS, MeasuredDestination
from penstock.telemetry.metrics import Metric


class Post:
    """Answers what it is told to, at once."""

    open = True

    def __init__(self, answer: Answer) -> None:
        self.answer, self.closed = answer, False

    def room(self) -> int:
        return 3

    def send(self, parcels: Sequence[Parcel], settled: Callable[[Parcel], None]) -> None:
        for parcel in parcels:
            parcel.answer = self.answer
            settled(parcel)

    def status(self) -> DestinationStatus:
        return DestinationStatus(last=self.answer)

    def close(self) -> None:
        self.closed = True


def sent(answer: Answer, count: int, clock: ManualClock) -> list[Parcel]:
    found: list[Parcel] = []
    measured = MeasuredDestination(Post(answer), "counted-here", clock)
    for half in (count // 2, count - count // 2):
        measured.send([Parcel(str(n), b"", (), 1) for n in range(half)], found.append)
        measured.publish()
        measured.publish()
    return found


def value(metric: Metric[Counter], outcome: str) -> float:
    (family,) = metric.labels("counted-here", outcome).collect()
    return float(next(sample.value for sample in family.samples if sample.name.endswith("_total")))


def test_each_request_is_counted_by_its_outcome_and_its_time() -> None:
    clock = ManualClock()
    began = clock.now()
    clock.advance(0.3)
    before = value(DELIVERIES, "Delivered"), value(DELIVERIES, "Busy"), value(SECONDS, "Delivered")
    assert [p.id for p in sent(Answer(True, "Delivered", 200, began=began), 3, clock)] == ["0", "0", "1"]
    assert len(sent(Answer(False, "Busy", 503, began=began), 1, clock)) == 1
    assert (value(DELIVERIES, "Delivered") - before[0], value(DELIVERIES, "Busy") - before[1]) == (3, 1)
    assert value(SECONDS, "Delivered") - before[2] == pytest.approx(0.9)


def test_what_was_not_sent_is_told_and_not_counted() -> None:
    before = value(DELIVERIES, "Probation")
    assert len(sent(Answer(False, "Probation"), 2, ManualClock())) == 2
    assert value(DELIVERIES, "Probation") == before


def test_the_rest_is_the_destinations() -> None:
    post = Post(Answer(True, "Delivered"))
    measured = MeasuredDestination(post, "counted-here", ManualClock())
    assert (measured.room(), measured.open, measured.status()) == (3, True, post.status())
    measured.close()
    assert post.closed
