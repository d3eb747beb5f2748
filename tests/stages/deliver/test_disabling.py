"""When a subscription is given up, of whose attempts none has succeeded for a long time, and what that hangs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.stages.deliver.outside import Desk, Endpoint
from tests.stages.deliver.test_router import Route
from tests.stages.deliver.world import Wanted, numbers

from penstock.batch import SYSTEM, Write
from penstock.clock import ManualClock
from penstock.destinations.interface import Answer
from penstock.stages.deliver.attempts import RetryPolicy
from penstock.stages.deliver.state import DeliveryState, Failing, Recovered, SubscriptionChanged
from penstock.stages.deliver.subscriptions import FAILING_S, IN_VAIN, Subscription
from penstock.system.messages import Disabled, Message, to_rows

DAY_S = 86_400.0
AFTER_S = 5 * DAY_S
BUSY, GOOD = Answer(False, "Busy", 503, "HTTP 503"), Answer(True, "Delivered", 200)


class Courier:
    """One subscription in one process; what it tells is stored at once, and known to it when it looks."""

    def __init__(self, state: DeliveryState | None = None, after_s: float | None = AFTER_S) -> None:
        self.state = state or DeliveryState()
        desk = Desk(Endpoint(), None, ManualClock())  # type: ignore[arg-type]
        self.subscription = Subscription("s", desk, disable_after_s=after_s, source="in", endpoint="https://s.example")
        self.told: list[Message] = []
        self.look()

    def look(self) -> None:
        self.subscription.learn(self.state)

    def answer(self, at_s: float, answer: Answer = BUSY, look: bool = True) -> Message | None:
        given = Answer(answer.ok, answer.outcome, answer.status, answer.reason, began=round(at_s * 1e6))
        told = self.subscription.note(given)
        if told is not None:
            self.told.append(told)
            self.state.apply(told)
        if look:
            self.look()
        return told

    def fail(self, first_s: float, until_s: float, every_s: float = DAY_S / 24) -> None:
        while first_s <= until_s:
            self.answer(first_s)
            first_s += every_s


def check_disabled_in_time(restarts: int) -> None:
    """Fails every hour from the first second on, over deaths of the courier."""
    courier = Courier()
    for hour in range(24 * 6):
        if restarts and hour % (24 * 5 // (restarts + 1)) == 0:
            courier = Courier(courier.state)
        told = courier.answer(1.0 + hour * 3_600)
        if isinstance(told, Disabled):
            assert hour >= 24 * 5, "too early"
            assert (told.source, told.endpoint, told.outcome) == ("in", "https://s.example", "Busy")
            assert told.reason == "no attempt has succeeded since 1970-01-01T00:00:01+00:00; the last: HTTP 503"
            assert hour <= 24 * 5 + IN_VAIN, f"disabled after {hour} hours only"
            assert courier.subscription.halted and courier.state.halted["s"].state == "disabled"
            return
    raise AssertionError("it was never disabled")


@pytest.mark.parametrize("restarts", [0, 1, 4])
def test_it_is_disabled_when_nothing_has_succeeded_for_so_long_whoever_dies(restarts: int) -> None:
    check_disabled_in_time(restarts)


def test_mutant_that_forgets_the_last_success_at_a_restart_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Subscription.learn

    def learn(subscription: Subscription, state: DeliveryState) -> None:
        plain(subscription, state)
        subscription.failing = 0

    monkeypatch.setattr(Subscription, "learn", learn)
    check_disabled_in_time(0)
    with pytest.raises(AssertionError, match="never disabled"):
        check_disabled_in_time(4)


def test_mutant_that_does_not_say_since_when_it_fails_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = DeliveryState.apply
    monkeypatch.setattr(DeliveryState, "apply", lambda s, m: None if isinstance(m, Failing) else plain(s, m))
    with pytest.raises(AssertionError, match="never disabled"):
        check_disabled_in_time(4)


def check_that_a_success_counts() -> None:
    courier = Courier()
    courier.fail(1.0, 4 * DAY_S)
    courier = Courier(courier.state)
    courier.answer(4 * DAY_S + 60, GOOD)
    courier = Courier(courier.state)
    courier.fail(4 * DAY_S + 120, 8 * DAY_S)
    assert not courier.state.halted, "it was disabled though something had succeeded"
    courier.fail(8 * DAY_S, 10 * DAY_S)
    assert courier.state.halted


def test_a_success_begins_it_anew() -> None:
    check_that_a_success_counts()


def test_mutant_that_does_not_store_a_success_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = DeliveryState.apply
    monkeypatch.setattr(DeliveryState, "apply", lambda s, m: None if isinstance(m, Recovered) else plain(s, m))
    with pytest.raises(AssertionError, match="something had succeeded"):
        check_that_a_success_counts()


def test_one_courier_s_success_counts_for_all() -> None:
    here, there = Courier(), Courier()
    there.state = here.state
    for hour in range(24 * 8):
        here.answer(1.0 + hour * 3_600)
        there.look()
        there.answer(2.0 + hour * 3_600, GOOD)
        here.look()
    assert not here.state.halted


def test_rare_events_are_no_proof() -> None:
    courier = Courier()
    courier.fail(1.0, 3_600.0, 60.0)
    courier = Courier(courier.state)
    for attempt in range(IN_VAIN - 1):
        courier.answer(6 * DAY_S + attempt)
        assert not courier.state.halted
    assert isinstance(courier.answer(6 * DAY_S + IN_VAIN), Disabled)


def test_one_that_fails_now_and_then_writes_nothing() -> None:
    courier = Courier()
    for second in range(1, 2_000):
        courier.answer(float(second), GOOD if second % (FAILING_S - 1) == 0 else BUSY, look=False)
    assert not courier.told


def test_what_is_told_is_told_once() -> None:
    courier = Courier()
    courier.fail(1.0, 3_600.0, 10.0)
    assert courier.told == [Failing(subscription="s", since=1_000_000)]
    courier.answer(3_700.0, GOOD)
    courier.answer(3_701.0, GOOD)
    assert courier.told[1:] == [Recovered(subscription="s", at=3_700_000_000)]


def test_resumed_it_has_all_of_the_time_again() -> None:
    courier = Courier()
    courier.fail(1.0, 6 * DAY_S)
    assert courier.state.halted
    courier.state.apply(SubscriptionChanged(subscription="s", paused=False, at=round(6 * DAY_S * 1e6)))
    courier.look()
    courier.fail(6 * DAY_S + 1, 10.9 * DAY_S)
    assert not courier.state.halted
    courier.fail(10.9 * DAY_S, 12 * DAY_S)
    assert courier.state.halted


def check_an_old_view_disables_nothing() -> None:
    """It has succeeded, and what is stored of that is not known yet when the next one fails."""
    courier = Courier()
    courier.fail(1.0, 5 * DAY_S - 3_600)
    before = DeliveryState()
    before.restore(courier.state.save())
    courier.answer(5 * DAY_S, GOOD)
    courier.subscription.learn(before)
    for attempt in range(IN_VAIN):
        courier.subscription.learn(before)
        assert not isinstance(courier.answer(5 * DAY_S + 1 + attempt, look=False), Disabled), "by an old view"


def test_an_old_view_disables_nothing() -> None:
    check_an_old_view_disables_nothing()


def test_mutant_that_believes_an_old_view_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Subscription._note_failure

    def note(subscription: Subscription, answer: Answer) -> Message | None:
        subscription._succeeded = 0
        return plain(subscription, answer)

    monkeypatch.setattr(Subscription, "_note_failure", note)
    with pytest.raises(AssertionError, match="by an old view"):
        check_an_old_view_disables_nothing()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(False, "BadRequest", 400, final=True, blameless=True, began=round(9 * DAY_S * 1e6)),
        Answer(False, "Probation", reason="not sent"),
    ],
)
def test_what_says_nothing_of_the_endpoint_does_not_count(answer: Answer) -> None:
    courier = Courier()
    courier.fail(1.0, 5 * DAY_S - 3_600)
    assert courier.subscription.note(answer) is None


def test_without_a_limit_it_goes_on() -> None:
    courier = Courier(after_s=None)
    courier.fail(1.0, 30 * DAY_S)
    assert not courier.state.halted and len(courier.told) == 1


# -- with a router and a ladder ---------------------------------------------------


class Tended(Route):
    """A router and a ladder whose threads' subscription is one, as in a courier; a courier that dies is followed."""

    def pass_on(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(round(seconds / step)):
            self._tend()
            super().pass_on(step, step)

    def _tend(self) -> None:
        if "a" in self.members:
            self.stage.look()
            ladder: Any = self.members["a"][1][0]._stage
            ladder._subscriptions = {s.name: s for s in self.stage._subscriptions}

    def die(self) -> None:
        """Another goes by its name, and knows what is stored."""
        self.join("a")


def check_a_run(die: Callable[[Tended], None]) -> Tended:
    endpoint = Endpoint(away=(0.0, 2_400.0))
    more = {"disable_after_s": 1_500.0, "source": "in"}
    route = Tended(Wanted("s", endpoint, policy=RetryPolicy(30, 7_200.0), more=more))
    for piece in range(7):
        route.publish(range(piece * 3, piece * 3 + 3))
        route.pass_on(300.0, 5.0)
        if piece == 2:
            die(route)
            route.pass_on(1.0)
    assert len(route.told(Disabled)) == 1, "it was not disabled in time"
    return route


def test_its_backlog_is_kept_and_goes_on_from_its_place() -> None:
    route = check_a_run(lambda _: None)
    (endpoint,) = (wanted.endpoint for wanted in route.wanted)
    before = len(endpoint.requests)
    route.publish(range(100, 130))
    route.pass_on(600.0, 5.0)
    assert len(endpoint.requests) == before, "it was asked though it is disabled"
    changed = SubscriptionChanged(subscription="s", paused=False, at=route.clock.now())
    route.log.append([Write(SYSTEM, 0, to_rows([changed]))])
    route.pass_on(300.0, 5.0)
    assert set(range(100, 130)) <= numbers(endpoint), "its backlog is gone"
    assert len(route.told(Disabled)) == 1


def test_it_is_disabled_in_time_by_the_courier_that_follows() -> None:
    check_a_run(lambda route: route.die())


def test_mutant_run_that_forgets_at_a_death_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = DeliveryState.apply
    monkeypatch.setattr(DeliveryState, "apply", lambda s, m: None if isinstance(m, Failing) else plain(s, m))
    with pytest.raises(AssertionError, match="not disabled in time"):
        check_a_run(lambda route: route.die())
