"""How the events of a subscription are cut into requests (EG11), and that nobody gets a batch unasked (CE8)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.schema.egress.delivered import batch, texts

from penstock.batch import TopicSpec
from penstock.destinations.interface import Parcel
from penstock.schema.egress import cloudevents, render
from penstock.schema.egress.render import Format
from penstock.stages.deliver.subscriptions import Subscription

KB = 1_024
FORMATS: tuple[Format, ...] = ("cloudevents", "cloudevents-structured", "cloudevents-batch", "eventgrid")
SINGLE = FORMATS[:2]


def subscription(events: int, kb: int = 64, format: Format = "cloudevents-batch") -> Subscription:
    nowhere: Any = None
    return Subscription("s", nowhere, format=format, batch_events=events, batch_bytes=kb * KB)


# -- EG11 ---------------------------------------------------------------------


def check_bounds(sizes: Sequence[int], events: int, kb: int) -> None:
    """All in order, never more than so many, and more bytes than preferred only in a request of one event."""
    found = list(subscription(events, kb).batches(sizes))
    assert [n for start, stop in found for n in range(start, stop)] == list(range(len(sizes))), "events are missing"
    for start, stop in found:
        assert 1 <= stop - start <= events, "more events than allowed"
        assert stop - start == 1 or sum(sizes[start:stop]) <= kb * KB, "more bytes than preferred"
    for (start, stop), (_, after) in pairwise(found):
        full = stop - start == events or sum(sizes[start : stop + 1]) > kb * KB
        assert full and after > stop, "a request that had room for one more"


@given(st.lists(st.integers(0, 3 * KB), max_size=60), st.integers(1, 20), st.integers(1, 4))
def test_no_request_is_larger_than_allowed_and_none_is_smaller_than_it_could_be(
    sizes: list[int], events: int, kb: int
) -> None:
    check_bounds(sizes, events, kb)


@pytest.mark.parametrize(
    ("sizes", "events", "kb", "cut"),
    [
        ([200] * 5_000, 5_000, 1_024, [5_000]),
        ([200] * 5_001, 5_000, 1_024, [5_000, 1]),
        ([100, 10 * KB, 100, 100], 5_000, 4, [1, 1, 2]),  # one of 10 KB where 4 are preferred goes alone
        ([KB] * 3, 1, 1_024, [1, 1, 1]),
        ([KB] * 3, 5_000, 1, [1, 1, 1]),
        ([], 5, 1, []),
    ],
    ids=["5,000", "5,001", "a big one", "one a request", "1 KB a request", "none"],
)
def test_at_the_bounds(sizes: list[int], events: int, kb: int, cut: list[int]) -> None:
    assert [stop - start for start, stop in subscription(events, kb).batches(sizes)] == cut
    check_bounds(sizes, events, kb)


def one_too_many(self: Subscription, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    step = self.batch_events + 1
    return iter([(at, min(at + step, len(sizes))) for at in range(0, len(sizes), step)])


def without_the_big(self: Subscription, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    return iter([(at, at + 1) for at, size in enumerate(sizes) if size <= self.batch_bytes])


def by_count_alone(self: Subscription, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    return iter([(at, min(at + self.batch_events, len(sizes))) for at in range(0, len(sizes), self.batch_events)])


@pytest.mark.parametrize(
    ("mutant", "found"),
    [
        (one_too_many, "more events than allowed"),
        (without_the_big, "events are missing"),
        (by_count_alone, "more bytes than preferred"),
    ],
)
def test_mutant_another_cut_is_caught(mutant: Any, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subscription, "batches", mutant)
    with pytest.raises(AssertionError, match=found):
        check_bounds([100, 10 * KB, 100, 100], 2, 4)


# -- CE8 ----------------------------------------------------------------------


def parcels(to: Subscription, count: int) -> list[Parcel]:
    events = batch(texts(*map(str, range(count))))
    parts = to.render(events, np.arange(count), TopicSpec("t"), "app")
    places = [f"t/0/{n}" for n in range(count)]
    cuts = to.batches([len(part.body) for part in parts])
    return [to.parcel(places[start:stop], parts[start:stop], 1, None) for start, stop in cuts]


def check_unasked(format: Format) -> None:
    """Whoever configured one event a request gets no array of CloudEvents, and never two events."""
    for each in parcels(subscription(1, format=format), 50):
        kind = dict(each.headers)["content-type"]
        assert not kind.startswith("application/cloudevents-batch") and each.events == 1, "a batch that nobody wants"


@pytest.mark.parametrize("format", SINGLE)
def test_nobody_gets_a_batch_unasked(format: Format) -> None:
    check_unasked(format)


def test_mutant_that_sends_batches_to_whoever_is_slow_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many events at once, though the subscription says one; what keeps it from that is ``join``."""
    monkeypatch.setattr(Subscription, "batches", lambda _, sizes: iter([(0, len(sizes))]))
    with pytest.raises(ValueError, match="carries one event, not 50"):
        check_unasked("cloudevents-structured")
    joined = render._HEADERS_OF_MANY | {"cloudevents-structured": cloudevents.BATCH_HEADERS}
    monkeypatch.setattr(render, "_HEADERS_OF_MANY", joined)
    with pytest.raises(AssertionError, match="a batch that nobody wants"):
        check_unasked("cloudevents-structured")


@pytest.mark.parametrize("format", ["cloudevents-batch", "eventgrid"])
@pytest.mark.parametrize("count", [1, 5_000])
def test_who_asked_for_batches_gets_them_whole(format: Format, count: int) -> None:
    (found,) = parcels(subscription(5_000, 1_024, format), count)
    assert [event["data"] for event in json.loads(found.body)] == list(range(count))
    assert found.events == count


# -- CE7 ----------------------------------------------------------------------


def check_64_kb(format: Format) -> None:
    """It is as large as the preferred size, and so its request is larger: it goes alone, and whole."""
    data = json.dumps("x" * (65_536 - 2))
    to = subscription(10 if format in ("cloudevents-batch", "eventgrid") else 1, 64, format)
    parts = to.render(batch(texts("1", data, "2")), np.arange(3), TopicSpec("t"), "app")
    cuts = list(to.batches([len(part.body) for part in parts]))
    assert (1, 2) in cuts, "it is not sent"
    sent = to.parcel(["t/0/1"], parts[1:2], 1, None)
    assert data.encode() in sent.body, "it is another"


@pytest.mark.parametrize("format", FORMATS)
def test_an_event_of_64_kb_goes_out_in_a_request_of_64_kb(format: Format) -> None:
    check_64_kb(format)


def test_mutant_that_leaves_out_what_is_larger_than_preferred_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subscription, "batches", without_the_big)
    with pytest.raises(AssertionError, match="it is not sent"):
        check_64_kb("cloudevents-batch")
