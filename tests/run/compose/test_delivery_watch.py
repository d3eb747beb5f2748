"""What a courier says of its endpoints: the file that the gateway reads, the gauge, and the warnings of /readyz."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.destinations.interface import Answer, DestinationStatus, Parcel
from penstock.destinations.webhook.endpoint import Endpoint
from penstock.gateway.readiness import courier_says
from penstock.log.memory import MemoryLog
from penstock.notices import notices
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.run.compose import deliveries as composed
from penstock.run.compose.bootstrap import all_topics
from penstock.run.compose.deliveries import CourierComposition
from penstock.run.compose.delivery_watch import BLOCKED, LOOK_S, RARELY_S, SHUT_S, SUBSCRIPTIONS, DeliveryWatch
from penstock.settings import Settings
from penstock.stages.deliver.handshakes.messages import HandshakeChanged
from penstock.stages.deliver.lane_positions import BlockedLane, OrderedPosition
from penstock.stages.deliver.state import Behind, DeliveryState, Following, Forgotten, SubscriptionChanged
from penstock.system.messages import Disabled, Message, to_rows

PLAN = Plan(
    "shop",
    "",
    "c0de",
    (TopicSpec("scores", pa.schema([pa.field("n", pa.int64(), nullable=False)]), partitions=2),),
    subscriptions=tuple(SubscriptionSpec(name, "scores", f"https://{name}.example.com") for name in ("a", "b")),
)
BUSY = Answer(False, "Busy", 503, "HTTP 503", began=1_000_000)


class Hand:
    """A destination whose status is what a test says."""

    open = True

    def __init__(self) -> None:
        self.said = DestinationStatus()

    def room(self) -> int:
        return 0

    def send(self, parcels: Sequence[Parcel], settled: Callable[[Parcel], None]) -> None: ...

    def status(self) -> DestinationStatus:
        return self.said

    def close(self) -> None: ...


class Watched:
    def __init__(self, folder: Path, plan: Plan = PLAN) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        for topic in all_topics(plan):
            self.log.create(topic)
        self.hands: dict[str, Hand] = {}
        self.deliveries = CourierComposition(plan, self.log, self.clock, Settings(), "courier", self._open)
        self.folder, self.file = folder, folder / "courier.deliveries"
        self.spent = 0.0
        self.watch = DeliveryWatch(self.deliveries, self.clock, self.file, lambda: self.spent)

    def _open(self, endpoint: Endpoint) -> Any:
        hand = self.hands[endpoint.url.removeprefix("https://").partition(".")[0]] = Hand()
        return hand

    def say(self, *messages: Message) -> None:
        self.log.append([Write(SYSTEM, 0, to_rows(messages))])
        self.deliveries.registry.refresh()

    def reasons(self) -> list[str]:
        self.watch.look()
        return [n.reason for key, n in notices().by_key().items() if key.startswith("subscription ")]

    def states(self) -> dict[str, float]:
        self.watch.look()
        return {s: SUBSCRIPTIONS.labels(s)._value.get() for s in ("live", "behind", "paused", "disabled")}


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path)
    yield found
    for name in ("a", "b"):
        notices().settle(f"subscription {name}")
    found.deliveries.close()


def disabled(name: str) -> Disabled:
    return Disabled(subscription=name, source="scores", endpoint="", outcome="NotFound", reason="it is gone", at=1)


# -- which are halted -----------------------------------------------------------


def check_it_goes_on(watched: Watched) -> None:
    """Disabled and resumed between two looks: what was seen of it is that it is resumed."""
    subscription = watched.deliveries.subscriptions["a"]
    gone = Answer(False, "Disabled", 410, "HTTP 410", gone=True, began=7)
    told = subscription.note(gone)
    assert told is not None and subscription.halted
    watched.deliveries.look_at_halted()
    assert subscription.halted, "it went on before that was stored"
    watched.say(told, SubscriptionChanged(subscription="a", paused=False, at=8))
    watched.deliveries.look_at_halted()
    assert not subscription.halted, "it never goes on"


def test_one_that_is_resumed_at_once_goes_on(watched: Watched) -> None:
    check_it_goes_on(watched)


def test_mutant_that_waits_to_see_it_disabled_is_caught(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeliveryState, "apply", apply_without_the_end)
    with pytest.raises(AssertionError, match="it never goes on"):
        check_it_goes_on(watched)


def check_what_is_forgotten_holds_no_more(watched: Watched) -> None:
    subscription = watched.deliveries.subscriptions["a"]
    watched.say(SubscriptionChanged(subscription="a", paused=True, at=1))
    watched.deliveries.look_at_halted()
    assert subscription.halted
    watched.say(Forgotten(topic="scores", subscription="a", partitions=1))
    watched.deliveries.look_at_halted()
    assert not subscription.halted, "what was stored of one before it holds"


def test_what_is_forgotten_holds_no_more(watched: Watched) -> None:
    check_what_is_forgotten_holds_no_more(watched)


def test_mutant_that_asks_only_of_those_that_something_is_stored_of_is_caught(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = CourierComposition.look_at_halted

    def looks_at_what_is_there(deliveries: CourierComposition) -> None:
        deliveries._learned.clear()
        look(deliveries)

    monkeypatch.setattr(CourierComposition, "look_at_halted", looks_at_what_is_there)
    with pytest.raises(AssertionError, match="what was stored of one before it holds"):
        check_what_is_forgotten_holds_no_more(watched)


def check_what_was_never_stored_is_let_go(watched: Watched) -> None:
    """A courier thinks that its endpoint fails, and what it said of that was refused, with the partition it lost."""
    subscription = watched.deliveries.subscriptions["a"]
    watched.deliveries.look_at_halted()
    subscription.failing = 7
    for _ in range(30):
        watched.deliveries.look_at_halted()
    assert subscription.failing == 0, "it takes for stored what is not"


def test_what_was_never_stored_is_let_go(watched: Watched) -> None:
    check_what_was_never_stored_is_let_go(watched)


def test_mutant_that_never_asks_of_all_is_caught(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "ALL_LOOKS", 1_000)
    with pytest.raises(AssertionError, match="it takes for stored what is not"):
        check_what_was_never_stored_is_let_go(watched)


plain = DeliveryState.apply


def apply_without_the_end(state: DeliveryState, message: Message) -> None:
    plain(state, message)
    state.ended.clear()


# -- those that are ordered -----------------------------------------------------


def test_one_that_is_ordered_is_behind_while_a_lane_is_blocked(tmp_path: Path) -> None:
    ordered = tuple(replace(spec, ordered=spec.name == "a") for spec in PLAN.subscriptions)
    watched = Watched(tmp_path, replace(PLAN, subscriptions=ordered))
    position = OrderedPosition(topic="scores", partition=1, subscription="a", through=3, split="64 by ")
    watched.say(position)
    assert (watched.states()["live"], BLOCKED.labels("a")._value.get()) == (2, 0)
    lane = BlockedLane(3, 4, 4, 1, 2, 0, 0, "Busy", "")
    watched.say(msgspec.structs.replace(position, blocked=(lane, lane)))
    assert (watched.states()["behind"], BLOCKED.labels("a")._value.get()) == (1, 2)
    watched.say(msgspec.structs.replace(position, through=5))
    assert (watched.states()["behind"], BLOCKED.labels("a")._value.get()) == (0, 0)
    watched.deliveries.close()


# -- the file -----------------------------------------------------------------


def test_the_gateway_reads_what_endpoints_answered(watched: Watched) -> None:
    watched.watch.look()
    assert courier_says(watched.folder) == {}
    watched.hands["a"].said = DestinationStatus(5, "probation after Busy", BUSY, 3, 1)
    watched.watch.look()
    said = courier_says(watched.folder)
    assert said is not None and list(said) == ["a"]
    assert (said["a"]["delivered"], said["a"]["failed"], said["a"]["opens_at"]) == (3, 1, 5)
    assert (said["a"]["last"]["outcome"], said["a"]["last"]["status"]) == ("Busy", 503)
    assert [path.name for path in watched.folder.iterdir()] == ["courier.deliveries"]


def test_where_nothing_is_new_only_the_time_is(watched: Watched) -> None:
    watched.watch.look()
    inode = watched.file.stat().st_ino
    os.utime(watched.file, (0, 0))
    watched.watch.look()
    assert watched.file.stat().st_ino == inode and watched.file.stat().st_mtime > 0
    watched.hands["a"].said = DestinationStatus(last=BUSY)
    watched.watch.look()
    assert watched.file.stat().st_ino != inode


def after_a_full_disk(watched: Watched) -> list[str]:
    """The file could not be written once; what it says at the next look."""
    watched.watch.look()
    watched.file.unlink()
    watched.file.mkdir()
    watched.hands["a"].said = DestinationStatus(last=BUSY)
    watched.watch.look()
    watched.file.rmdir()
    watched.watch.look()
    return list(json.loads(watched.file.read_bytes())["endpoints"]) if watched.file.exists() else []


def test_what_could_not_be_written_is_written_when_it_can_be(watched: Watched) -> None:
    assert after_a_full_disk(watched) == ["a"]


def test_mutant_that_thinks_it_has_said_it_is_caught(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    write = DeliveryWatch._write

    def thinks(watch: DeliveryWatch, said: bytes) -> None:
        write(watch, said)
        watch._said = said

    monkeypatch.setattr(DeliveryWatch, "_write", thinks)
    with pytest.raises(AssertionError, match=r"assert \[\] == \['a'\]"):
        assert after_a_full_disk(watched) == ["a"]


def looked(watched: Watched, cpu_s: float, clock_s: float) -> float:
    """Seconds until the next look, after one that took so long."""
    status = watched.hands["a"].said

    def slow() -> DestinationStatus:
        watched.spent += cpu_s
        watched.clock.advance(clock_s)
        return status

    watched.hands["a"].status = slow  # type: ignore[method-assign]
    wait = watched.watch.look()
    assert json.loads(watched.file.read_bytes())["every"] == wait
    return wait


def test_a_look_that_is_dear_is_taken_less_often_and_holds_for_longer(watched: Watched) -> None:
    assert looked(watched, 0.02, 0.02) == LOOK_S, "of one alone nobody knows whether others are"
    assert looked(watched, 0.02, 0.02) == 10.0
    assert looked(watched, 0.2, 0.2) == 10.0
    assert looked(watched, 0.2, 0.2) == RARELY_S


def check_busy(watched: Watched) -> None:
    assert {looked(watched, 0.001, 0.2) for _ in range(2)} == {LOOK_S}, "a look is dear because others are busy"


def test_a_look_that_waited_for_its_turn_is_not_dear(watched: Watched) -> None:
    check_busy(watched)


def test_mutant_that_looks_at_the_clock_is_caught(watched: Watched) -> None:
    watched.watch._spent = watched.clock.monotonic
    with pytest.raises(AssertionError, match="because others are busy"):
        check_busy(watched)


# -- the gauge ----------------------------------------------------------------


def test_subscriptions_are_counted_by_their_state(watched: Watched) -> None:
    assert watched.states() == {"live": 2, "behind": 0, "paused": 0, "disabled": 0}
    watched.say(Behind(topic="scores", partition=1, subscription="b", through=3))
    assert watched.states() == {"live": 1, "behind": 1, "paused": 0, "disabled": 0}
    watched.say(SubscriptionChanged(subscription="b", paused=True, at=1), disabled("a"))
    assert watched.states() == {"live": 0, "behind": 0, "paused": 1, "disabled": 1}
    watched.say(
        *(SubscriptionChanged(subscription=name, paused=False, at=2) for name in ("a", "b")),
        Following(topic="scores", partition=1, subscriptions=("b",), since=4),
    )
    assert watched.states() == {"live": 2, "behind": 0, "paused": 0, "disabled": 0}


def unproven(watched: Watched, step: Any = None) -> None:
    """Subscription ``a`` has to be asked; this is how that goes."""
    watched.deliveries.subscriptions["a"].unproven = True
    if step is not None:
        known: dict[str, Any] = {"number": 1, "endpoint": "e", "at": 1, "causationid": "c"}
        watched.say(HandshakeChanged(subscription="a", step=step, reason="no code", **known))


def test_one_whose_endpoint_has_not_said_yes_is_counted_so(watched: Watched) -> None:
    unproven(watched)
    assert watched.states()["live"] == 1 and SUBSCRIPTIONS.labels("unproven")._value.get() == 1
    assert watched.reasons() == []


# -- warnings -----------------------------------------------------------------


def test_one_that_is_disabled_is_a_warning_until_it_is_resumed(watched: Watched) -> None:
    assert watched.reasons() == []
    watched.say(disabled("a"))
    assert watched.reasons() == ["subscription 'a' is disabled: it is gone"]
    (notice,) = notices().standing()
    assert "`penstock subscriptions resume a`" in notice.mend
    watched.say(SubscriptionChanged(subscription="a", paused=False, at=2))
    assert watched.reasons() == []


def test_an_endpoint_that_is_long_on_probation_is_a_warning_until_it_delivers(watched: Watched) -> None:
    watched.hands["a"].said = DestinationStatus(9, "probation after Busy", BUSY, 0, 10)
    assert watched.reasons() == []
    watched.clock.advance(SHUT_S - 1)
    assert watched.reasons() == []
    watched.clock.advance(1)
    assert watched.reasons() == [
        "the endpoint of subscription 'a' has taken nothing for over 60 s: probation after Busy"
    ]
    watched.say(Behind(topic="scores", partition=0, subscription="a", through=3))
    assert watched.reasons() == [
        "the endpoint of subscription 'a' has taken nothing for over 60 s, and it is behind: probation after Busy"
    ]
    watched.hands["a"].said = DestinationStatus(last=BUSY)
    assert watched.reasons() == []
    watched.hands["a"].said = DestinationStatus(9, "probation after Busy", BUSY, 0, 10)
    assert watched.reasons() == [], "the time is counted anew"


@pytest.mark.parametrize(("step", "how"), [
    ("failed", "has failed"), ("awaiting", "waits for somebody to open the URL that its endpoint got"),
])  # fmt: skip
def test_a_handshake_that_needs_a_person_is_a_warning_until_it_is_granted(
    watched: Watched, step: str, how: str
) -> None:
    unproven(watched, step)
    assert watched.reasons() == [f"the handshake of subscription 'a' {how}: no code"]
    (notice,) = notices().standing()
    assert "`penstock subscriptions resume a`" in notice.mend
    watched.deliveries.subscriptions["a"].unproven = False
    assert watched.reasons() == []


def test_a_handshake_under_way_needs_nobody(watched: Watched) -> None:
    unproven(watched, "asked")
    assert watched.reasons() == []


def test_one_that_somebody_paused_needs_nobody(watched: Watched) -> None:
    watched.hands["a"].said = DestinationStatus(9, "probation after Busy", BUSY, 0, 10)
    watched.watch.look()
    watched.clock.advance(SHUT_S)
    assert len(watched.reasons()) == 1
    watched.say(SubscriptionChanged(subscription="a", paused=True, at=1))
    assert watched.reasons() == []


# -- labels -------------------------------------------------------------------


@pytest.mark.parametrize(("most", "label"), [(2, "a"), (1, "*")])
def test_of_many_subscriptions_the_metrics_are_not_each_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, label: str
) -> None:
    monkeypatch.setattr(composed, "LABELLED", most)
    destination: Any = Watched(tmp_path).deliveries.subscriptions["a"].destination
    assert destination._subscription == label
