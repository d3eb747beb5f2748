"""When a lane is open: Retry-After, probation, rate, room. The clock is moved by hand; the receivers are real."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.destinations.webhook.conftest import lane_to, local
from tests.destinations.webhook.receivers import OK, Settled, answering, deliver, hang, parcel, receiving, reset, status

from penstock.clock import ManualClock
from penstock.destinations import lane as lane_module
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.lane import WebhookLane
from penstock.destinations.webhook.limits import Limits

FULL = 32 * 16
LATER = datetime.fromtimestamp(ManualClock().now() / 1e6, UTC) + timedelta(seconds=60)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def paused(couriers: Callable[..., Courier], clock: ManualClock, code: int, header: str) -> None:
    """What waits is given back unsent, and no request is made before the time."""
    courier = couriers(clock)
    with receiving(answering(status(code, header), OK)) as receiver:
        lane = lane_to(courier, receiver, concurrency=1)
        first, *others = deliver(lane, [parcel(str(n)) for n in range(5)])
        assert (first.status, first.retry_after_s, first.began > 0) == (code, 60, True)
        assert len(receiver.requests) == 1, "sent on"
        assert [(o.outcome, o.began, o.ok, o.final) for o in others] == [("Busy", 0, False, False)] * 4
        assert all(o.retry_after_s is not None and o.retry_after_s > 59 for o in others)
        clock.advance(59.9)
        assert lane.room() == 0
        assert lane.status().why == "Retry-After"
        assert lane.status().opens_at == clock.now() + 100_000
        [refused] = deliver(lane, [parcel()])
        assert (refused.outcome, len(receiver.requests)) == ("Busy", 1)
        clock.advance(0.1)
        assert lane.room() == 32
        assert lane.status().opens_at == 0
        assert deliver(lane, [parcel()])[0].ok


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("header", ["retry-after: 60", f"Retry-After: {format_datetime(LATER, usegmt=True)}"])
def test_retry_after_is_obeyed_by_the_whole_lane(
    couriers: Callable[..., Courier], clock: ManualClock, code: int, header: str
) -> None:
    paused(couriers, clock, code, header)


def test_mutant_that_sends_on_is_caught(
    couriers: Callable[..., Courier], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WebhookLane, "_shut", lambda *_: None)
    with pytest.raises(AssertionError, match="sent on"):
        paused(couriers, clock, 429, "retry-after: 60")


def test_retry_after_of_other_answers_says_nothing(couriers: Callable[..., Courier], clock: ManualClock) -> None:
    for code in (200, 301, 500):
        with receiving(answering(status(code, "retry-after: 60"))) as receiver:
            lane = lane_to(couriers(clock), receiver)
            assert deliver(lane, [parcel()])[0].retry_after_s is None
            assert lane.room() > 0


def test_an_endpoint_may_ask_for_a_day_at_most(couriers: Callable[..., Courier], clock: ManualClock) -> None:
    with receiving(answering(status(429, "retry-after: 9999999"))) as receiver:
        lane = lane_to(couriers(clock), receiver)
        deliver(lane, [parcel()])
        clock.advance(86_399)
        assert lane.room() == 0
        clock.advance(1)
        assert lane.room() == FULL


def probation(couriers: Callable[..., Courier], clock: ManualClock, code: int, seconds: float) -> None:
    with receiving(answering(*[status(code)] * 11, OK)) as receiver:
        lane = lane_to(couriers(clock), receiver)
        for n in range(10):
            assert lane.room() == FULL
            assert deliver(lane, [parcel(str(n))])[0].status == code
        assert lane.room() == 0, "never on probation"
        assert lane.status().why.startswith("probation after ")
        [refused] = deliver(lane, [parcel()])
        assert (refused.outcome, refused.began) == ("Probation", 0)
        clock.advance(seconds - 0.001)
        assert lane.room() == 0
        clock.advance(0.001)
        assert lane.room() == 1  # one tries
        tries, waits = deliver(lane, [parcel("tries"), parcel("waits")])
        assert (tries.status, waits.began) == (code, 0)
        assert lane.room() == 0
        clock.advance(seconds)
        assert lane.room() == 1
        assert deliver(lane, [parcel()])[0].ok
        assert lane.room() == FULL
        assert lane.status().why == ""
        assert (lane.status().delivered, lane.status().failed) == (1, 11)
        assert len(receiver.requests) == 12


@pytest.mark.parametrize(("code", "seconds"), [(500, 10), (503, 10), (408, 10), (404, 300), (401, 300), (302, 300)])
def test_after_ten_failures_a_lane_is_on_probation(
    couriers: Callable[..., Courier], clock: ManualClock, code: int, seconds: float
) -> None:
    probation(couriers, clock, code, seconds)


def test_mutant_whose_breaker_never_opens_is_caught(
    couriers: Callable[..., Courier], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "FAILURES", 1_000)
    with pytest.raises(AssertionError, match="never on probation"):
        probation(couriers, clock, 500, 10)


def test_a_broken_connection_is_thirty_seconds_of_probation(
    couriers: Callable[..., Courier], clock: ManualClock
) -> None:
    with receiving(reset) as receiver:
        lane = lane_to(couriers(clock), receiver)
        for n in range(10):
            assert deliver(lane, [parcel(str(n))])[0].outcome == "SocketError"
        clock.advance(29.9)
        assert lane.room() == 0
        clock.advance(0.1)
        assert lane.room() == 1


def test_a_success_among_failures_begins_the_count_again(couriers: Callable[..., Courier], clock: ManualClock) -> None:
    with receiving(answering(*[status(500)] * 9, OK, *[status(500)] * 9, OK)) as receiver:
        lane = lane_to(couriers(clock), receiver)
        for n in range(20):
            deliver(lane, [parcel(str(n))])
            assert lane.room() == FULL


@pytest.mark.parametrize("code", [400, 413])
def test_what_is_wrong_with_a_parcel_is_no_probation(
    couriers: Callable[..., Courier], clock: ManualClock, code: int
) -> None:
    with receiving(answering(status(code))) as receiver:
        lane = lane_to(couriers(clock), receiver)
        assert all(answer.final for answer in deliver(lane, [parcel(str(n)) for n in range(30)]))
        assert lane.room() == FULL


def test_a_lane_takes_what_it_has_room_for(couriers: Callable[..., Courier]) -> None:
    with receiving(hang) as receiver:
        lane = lane_to(couriers(), receiver, concurrency=2)
        assert lane.room() == 64
        lane.send([parcel(str(n)) for n in range(60)], Settled())
        assert lane.room() == 4


def test_what_there_is_no_room_for_comes_back(couriers: Callable[..., Courier]) -> None:
    settled = Settled()
    with receiving(hang) as receiver:
        lane = lane_to(couriers(), receiver, concurrency=1)
        lane.send([parcel(str(n)) for n in range(40)], settled)
        back = [settled.next() for _ in range(8)]
        assert [one.id for one in back] == [str(n) for n in range(32, 40)]
        assert {(one.answer.outcome, one.answer.began) for one in back if one.answer} == {("Busy", 0)}
        assert settled.nothing()


def test_who_never_answered_is_found_out_at_once(couriers: Callable[..., Courier]) -> None:
    """Ten hang together, and what waits behind them comes back when their time is over."""
    with receiving(hang) as receiver:
        lane = lane_to(couriers(limits=Limits(answer_s=2.0)), receiver)
        began = time.monotonic()
        answers = deliver(lane, [parcel(str(n)) for n in range(lane.room())])
        assert time.monotonic() - began < 4.0
        assert [answer.outcome for answer in answers] == ["TimedOut"] * 10 + ["Probation"] * (FULL - 10)


def test_concurrency_is_a_bound(couriers: Callable[..., Courier]) -> None:
    with receiving(answering(OK, after=0.05)) as receiver:
        deliver(lane_to(couriers(), receiver, concurrency=3), [parcel(str(n)) for n in range(30)])
        assert receiver.connections == 3


@given(st.lists(st.floats(0, 30), max_size=400))
def test_a_rate_holds_in_every_window(gaps: list[float]) -> None:
    """Whenever there is something to send: at most 120 in any minute, as CloudEvents' WebHook-Allowed-Rate says."""
    clock = ManualClock()
    lane = WebhookLane(local("http://127.0.0.1/", rate="120/m"), clock, lambda *_: None)
    begun = []
    for gap in gaps:
        clock.advance(gap if gap > 25 else 0.0)
        clock.advance(max(0.0, lane.due - clock.monotonic()))
        lane.begin()
        begun.append(clock.monotonic())
    for n, first in enumerate(begun):
        assert sum(first <= at < first + 60 - 1e-6 for at in begun[n:]) <= 120


def test_a_rate_is_kept(couriers: Callable[..., Courier]) -> None:
    with receiving(answering(OK)) as receiver:
        lane = lane_to(couriers(), receiver, rate="20/s")
        assert lane.room() == 20
        began = time.monotonic()
        deliver(lane, [parcel(str(n)) for n in range(11)])
        assert time.monotonic() - began >= 0.5
        assert len(receiver.requests) == 11


def test_a_rate_beyond_what_a_wait_can_tell_is_reached(couriers: Callable[..., Courier]) -> None:
    with receiving(answering(OK)) as receiver:
        lane = lane_to(couriers(), receiver, rate="2000/s")
        began = time.monotonic()
        deliver(lane, [parcel(str(n)) for n in range(400)])
        assert 0.15 <= time.monotonic() - began < 20


def test_a_closed_lane_says_nothing_more(couriers: Callable[..., Courier]) -> None:
    settled = Settled()
    with receiving(answering(OK, after=0.2)) as receiver:
        lane = lane_to(couriers(), receiver, concurrency=1)  # so that one at most has left by then
        lane.send([parcel(str(n)) for n in range(3)], settled)
        lane.close()
        assert lane.room() == 0
        lane.send([parcel()], settled)
        assert settled.nothing(0.5)
        assert len(receiver.requests) <= 1


# -- what an endpoint allows (EG10) ---------------------------------------------

MINUTE_S = 60.0


def begins(per_minute: int, waits: list[float], declared: float = 0.0) -> list[float]:
    """When requests begin of a lane that always has some, on the clock; what wakes it is as late as ``waits`` say."""
    clock = ManualClock()
    lane = WebhookLane(local("http://127.0.0.1:9/", rate=declared), clock, lambda *_: None)
    lane.keep_to(per_minute)
    found: list[float] = []
    while clock.monotonic() <= 3 * MINUTE_S and len(found) < 1_000:
        if lane.due <= clock.monotonic():
            lane.begin()
            found.append(clock.monotonic())
        else:
            clock.advance(max(lane.due - clock.monotonic(), 1e-9) + waits[len(found) % len(waits)])
    return found


def most_in_a_minute(at: list[float]) -> int:
    """Both ends of the minute count."""
    return max(sum(first <= each <= first + MINUTE_S for each in at) for first in at)


def check_what_is_allowed(per_minute: int, waits: list[float], declared: float = 0.0) -> None:
    assert most_in_a_minute(begins(per_minute, waits, declared)) <= per_minute, "more than the endpoint allows"


def test_of_120_a_minute_there_are_120_in_any_minute_and_hardly_fewer() -> None:
    check_what_is_allowed(120, [0.0])
    assert most_in_a_minute(begins(120, [0.0])) == 120


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 400),
    st.lists(st.sampled_from([0.0, 1e-6, 0.004, 0.009, 0.4, 7.0]), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.5, 100.0]),
)
def test_no_minute_has_more_requests_than_an_endpoint_allows(
    per_minute: int, waits: list[float], declared: float
) -> None:
    check_what_is_allowed(per_minute, waits, declared)


def test_mutant_that_spaces_them_evenly_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "APART", -1e-9)
    with pytest.raises(AssertionError, match="more than the endpoint allows"):
        check_what_is_allowed(120, [0.0])


def test_mutant_that_knows_the_declared_rate_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebhookLane, "keep_to", lambda *_: None)
    with pytest.raises(AssertionError, match="more than the endpoint allows"):
        check_what_is_allowed(120, [0.0], 100.0)


def test_what_is_declared_holds_where_more_is_allowed() -> None:
    assert most_in_a_minute(begins(6_000, [0.0], 1.0)) <= 61
