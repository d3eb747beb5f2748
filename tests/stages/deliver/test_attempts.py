"""When a delivery is tried again, and when it is given up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.stages.deliver.outside import Endpoint
from tests.stages.deliver.world import Wanted, World

from penstock.clock import ManualClock
from penstock.destinations.interface import Answer
from penstock.log.memory import MemoryLog
from penstock.stages.deliver.attempts import RUNGS_S, RetryPolicy, given_up, is_expired, rung_after

# Event Grid's page on delivery and retry, as times from the first attempt on.
AS_EVENT_GRID = [0, 10, 40, 100, 400, 1_000, 2_800, 6_400, 17_200, 38_800, 82_000]


def steps() -> Iterator[float]:
    """Seconds that pass between two looks: short ones first."""
    passed = 0.0
    while passed < 130_000:
        step = 0.5 if passed < 120 else 2.0 if passed < 3_000 else 60.0
        passed += step
        yield step


def lived(policy: RetryPolicy, endpoint: Endpoint) -> World:
    """One event of one subscription, until nothing more becomes of it."""
    clock = ManualClock()
    world = World(MemoryLog(clock), 1, clock, [Wanted("s", endpoint, 1, policy)], count=1, odds=0.0)
    world.join("a")
    router, ladder = (pump for pump, _ in world.members["a"])
    for _ in range(5):
        router.step(0.0)
        clock.advance(0.02)
    for piece in world.pieces:
        world.log.append(piece)
    for step in steps():
        for pump in (router, ladder, router, ladder):
            pump.step(0.0)
        clock.advance(step)
        if world.letters():
            break
    return world


def check_times(policy: RetryPolicy, expected: list[int], reason: str) -> None:
    endpoint = Endpoint(fails=1.0)
    world = lived(policy, endpoint)
    (first, *_), times = endpoint.requests[0], [at for at, _, _ in endpoint.requests]
    assert [round(at - first) for at in times] == pytest.approx(expected, rel=0.03, abs=2), "tried at other times"
    assert [attempt for _, _, attempt in endpoint.requests] == list(range(1, len(expected) + 1))
    assert len({id for _, id, _ in endpoint.requests}) == 1, "another id at another attempt"
    (letter,) = world.letters()
    assert (letter["error"], letter["attempts"]) == (reason, len(expected))


def test_a_day_of_attempts_at_the_times_of_event_grid() -> None:
    check_times(RetryPolicy(), AS_EVENT_GRID, "TimeToLiveExceeded")


def test_three_attempts_in_a_day() -> None:
    check_times(RetryPolicy(3, 1_440 * 60.0), AS_EVENT_GRID[:3], "MaxDeliveryAttemptsExceeded")


def test_ten_attempts_in_half_an_hour_are_six() -> None:
    """The example of that page: the time to live is looked at when the next attempt is due."""
    check_times(RetryPolicy(10, 30 * 60.0), AS_EVENT_GRID[:6], "TimeToLiveExceeded")


def test_mutant_that_makes_an_id_an_attempt_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.stages.deliver.subscriptions._id", lambda places: uuid4().hex)
    with pytest.raises(AssertionError, match="another id at another attempt"):
        check_times(RetryPolicy(3, 1_440 * 60.0), AS_EVENT_GRID[:3], "MaxDeliveryAttemptsExceeded")


def test_mutant_with_a_rung_too_few_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "penstock.stages.deliver.ladder.rung_after", lambda n, after=None: max(rung_after(n, after) - 1, 0)
    )
    with pytest.raises(AssertionError, match="tried at other times"):
        check_times(RetryPolicy(), AS_EVENT_GRID, "TimeToLiveExceeded")


def test_mutant_that_counts_no_attempts_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ladder", "router"):
        monkeypatch.setattr(f"penstock.stages.deliver.{module}.given_up", lambda *_: None)
    with pytest.raises(AssertionError, match="tried at other times"):
        check_times(RetryPolicy(3, 1_440 * 60.0), AS_EVENT_GRID[:3], "MaxDeliveryAttemptsExceeded")


def test_mutant_that_looks_at_no_time_to_live_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.stages.deliver.ladder.is_expired", lambda *_: False)
    with pytest.raises(AssertionError, match="tried at other times"):
        check_times(RetryPolicy(10, 30 * 60.0), AS_EVENT_GRID[:6], "TimeToLiveExceeded")


def check_not_retried() -> None:
    endpoint = Endpoint(final=1.0)
    (letter,) = lived(RetryPolicy(), endpoint).letters()
    assert len(endpoint.requests) == 1, "tried again in vain"
    assert (letter["error"], letter["outcome"], letter["attempts"]) == ("NotRetried", "BadRequest", 1)
    assert letter["reason"] == "BadRequest" and letter["stage"] == "s" and letter["data"] == '{"n":0}'
    assert letter["published"] <= letter["tried"]


def test_what_is_never_tried_again_is_given_up_at_once() -> None:
    check_not_retried()


def test_mutant_that_goes_on_after_a_final_answer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_attempts(policy: RetryPolicy, attempts: int, answer: Answer) -> str | None:
        return "MaxDeliveryAttemptsExceeded" if attempts >= policy.attempts else None

    for module in ("ladder", "router"):
        monkeypatch.setattr(f"penstock.stages.deliver.{module}.given_up", by_attempts)
    with pytest.raises(AssertionError, match="tried again in vain"):
        check_not_retried()


@pytest.mark.parametrize(
    ("failed", "after", "rung"),
    [
        (0, None, 1),
        (1, None, 1),
        (2, None, 2),
        (10, None, 10),
        (29, None, 10),
        (1, 5.0, 1),
        (1, 10.0, 1),
        (1, 10.5, 2),
        (1, 3_000.0, 7),
        (5, 1.0, 5),
        (1, 1e9, 10),
        (3, 0.0, 3),
    ],
)
def test_the_next_rung_is_no_sooner_than_was_asked_for(failed: int, after: float | None, rung: int) -> None:
    assert rung_after(failed, after) == rung, "another rung"
    assert after is None or RUNGS_S[rung] >= min(after, RUNGS_S[-1])


def test_mutant_that_does_not_obey_retry_after_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = rung_after
    monkeypatch.setattr(sys.modules[__name__], "rung_after", lambda failed, after: plain(failed))
    with pytest.raises(AssertionError, match="another rung"):
        test_the_next_rung_is_no_sooner_than_was_asked_for(1, 3_000.0, 7)


def test_attempts_and_time_end_it_whichever_is_first() -> None:
    policy, answer = RetryPolicy(3, 60.0), Answer(False, "Busy", 503)
    assert given_up(policy, 2, answer) is None
    assert given_up(policy, 3, answer) == "MaxDeliveryAttemptsExceeded"
    assert given_up(policy, 1, Answer(False, "BadRequest", 400, final=True)) == "NotRetried"
    assert not is_expired(policy, 0, 60_000_000) and is_expired(policy, 0, 60_000_001)
