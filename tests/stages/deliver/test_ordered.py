"""The lanes of an ordered subscription: what goes past whom, what is held, and what is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.stages.deliver.lanes_world import KEYED, LaneWorld, stored

from penstock.batch import Batch
from penstock.errors import LogUnreachable
from penstock.partition import assign
from penstock.stages.deliver.attempts import EXHAUSTED, EXPIRED, REFUSED, RUNGS_S
from penstock.stages.deliver.lane_positions import LANES
from penstock.stages.deliver.lanes import LaneTrack, OrderedLane, lanes_of
from penstock.stages.deliver.ordered import OrderedDelivery
from penstock.stages.deliver.state import Behind, DeliveryState
from penstock.system.messages import Disabled


def numbered(keys: list[str | None], partition: int = 0) -> Batch:
    ns = np.arange(len(keys), dtype=np.int64)
    rows = pa.RecordBatch.from_arrays([pa.array(ns), pa.array(keys, pa.string())], schema=KEYED.schema)
    return Batch("in", partition, ns, ns, rows)


def test_keys_of_one_partition_are_spread_over_all_lanes() -> None:
    for partitions in (1, 3, 64, 100):
        keys = np.array([f"key {n}" for n in range(200_000 if partitions > 3 else 20_000)])
        mine = keys[assign(pa.array(keys), partitions) == 0].tolist()
        found = np.bincount(lanes_of(numbered(mine), KEYED), minlength=LANES)
        assert (found > 0).all() and found.max() < 4 * found.mean()


def test_events_without_a_key_have_the_lane_of_their_partition() -> None:
    found = lanes_of(numbered([None, "a", None], 70), KEYED)
    assert found[0] == found[2] == 70 % LANES
    assert (lanes_of(numbered([None, None], 3), KEYED) == 3).all()


def check_that_nothing_passes() -> None:
    """One key fails, while another goes on."""
    world = LaneWorld()
    world.publish(["a", "a", "b", "a", "b"])
    world.step()
    for _ in range(8):
        world.offer()
        world.step()
        while world.window.under_way:
            parcel = world.window.under_way[0][0]
            world.answer(ok=b'"a"' not in parcel.body)
        world.clock.advance(0.1)
    assert world.accepted == {2, 4}
    (blocked,) = world.state.lanes("in", 0)["to"].blocked or stored(world).blocked
    assert (blocked.first, blocked.attempts, blocked.outcome) == (0, 1, "Busy")
    assert stored(world).through == -1
    world.settle_all()
    assert world.requests[-3:] == [(0,), (1,), (3,)]


def test_nothing_passes_one_that_waits_and_other_lanes_go_on() -> None:
    check_that_nothing_passes()


def test_it_waits_as_long_as_the_ladder_has_it() -> None:
    world = LaneWorld()
    world.publish(["a"])
    times = []
    for _ in range(20_000):
        world.offer()
        world.step()
        if world.window.under_way:
            times.append(world.clock.monotonic())
            world.answer(ok=False)
        if world.dead:
            break
        world.clock.advance(1.0)
    gaps = np.diff(times)
    assert (np.abs(gaps - RUNGS_S[1:5]) <= 1.0).all()
    assert world.dead == {0: EXHAUSTED} and world.dead_attempts == {0: 5}


def test_retry_after_is_obeyed() -> None:
    world = LaneWorld()
    world.publish(["a", "a"])
    world.step()
    world.offer()
    world.step()
    world.answer(ok=False, retry_after_s=45.0)
    world.step()
    (blocked,) = stored(world).blocked
    assert blocked.due == world.clock.now() + 60_000_000  # the next rung that is no sooner
    world.settle_all()


def test_what_is_refused_is_dead_in_its_place_and_the_lane_goes_on_once_that_is_stored() -> None:
    world = LaneWorld()
    world.publish(["a", "a"])
    world.offer()
    world.step()
    world.answer(ok=False, final=True)
    world.delivery.step({0: 2})
    assert not world.window.under_way and [each.given_up for each in world.delivery.letters] == [REFUSED]
    assert world.delivery.wake() == 0.0
    world.step()
    assert world.dead == {0: REFUSED}
    world.step()
    assert len(world.window.under_way) == 1
    world.settle_all()


def test_what_was_not_tried_in_time_is_dead_and_what_came_later_is_not() -> None:
    world = LaneWorld(most=4)
    world.publish(["a", "a"])
    world.subscription.paused = True
    world.offer()
    world.step()
    world.clock.advance(3_000.0)
    world.publish(["a"])
    world.clock.advance(700.0)
    world.subscription.paused = False
    world.settle_all()
    assert world.dead == {0: EXPIRED, 1: EXPIRED} and world.accepted == {2}


def test_attempts_outlive_who_made_them_and_a_batch_is_tried_again_as_it_was() -> None:
    world = LaneWorld(most=3)
    world.publish(["a"] * 8)
    world.offer()
    world.step()
    ids = [parcel.id for parcel, _ in world.window.under_way]
    world.answer(ok=False)
    world.clock.advance(2.0)
    world.step()
    world.begin()
    world.most = 3
    for _ in range(30):
        world.step()
        world.clock.advance(1.0)
        if world.window.under_way:
            break
    ((parcel, _),) = world.window.under_way
    assert [parcel.id] == ids and parcel.attempt == 2
    world.settle_all()


def test_a_restart_repeats_no_more_than_was_under_way() -> None:
    world = LaneWorld()
    world.publish([f"k{n % 40}" for n in range(400)])
    for _ in range(60):
        world.offer()
        world.step()
        while world.window.under_way:
            n = int(world.window.under_way[0][0].body.split(b":")[1].split(b",")[0])
            world.answer(ok=n != 0)
    world.clock.advance(1.5)
    world.step()
    seen = len(world.requests)
    assert stored(world).through == -1 and len(stored(world).beyond) == LANES
    world.begin()
    world.settle_all()
    lane = lanes_of(numbered(world.keys), KEYED)
    behind = int((lane == lane[0]).sum())
    assert len(world.requests) - seen == behind, "what was done beyond the oldest event is repeated"


def test_lanes_of_another_split_begin_at_the_oldest() -> None:
    world = LaneWorld()
    world.publish([f"k{n % 40}" for n in range(100)])
    world.offer()
    world.step()
    for _ in range(10):
        world.answer()
    world.clock.advance(1.5)
    world.step()
    found = world.state.lanes("in", 0)["to"]
    other = LaneTrack(0, KEYED, 0, -1, type(found)(found.through, "of another key", found.beyond, found.blocked), 1)
    assert {lane.taken for lane in other.lanes} == {found.through}


def test_a_lane_that_waits_holds_its_request_alone_however_far_the_others_go() -> None:
    world = LaneWorld()
    for turn in range(40):
        world.publish(["a", *(f"k{n}" for n in range(49))])
        world.offer()
        for _ in range(4):
            world.step()
            while world.window.under_way:
                world.answer(ok=b'"a"' not in world.window.under_way[0][0].body)
        world.clock.advance(0.01)
        assert turn == 0 or stored(world).through < 50
    lane = lanes_of(numbered(["a"]), KEYED)[0]
    assert not world.track.lanes[lane].held and world.track._ahead_rows == 0
    beside = {n for n, key in enumerate(world.keys) if lanes_of(numbered([key]), KEYED)[0] != lane}
    assert beside <= world.accepted
    world.settle_all()


def test_no_more_lanes_are_under_way_than_may() -> None:
    world = LaneWorld(concurrency=3)
    world.publish([f"k{n}" for n in range(30)])
    world.offer()
    world.step()
    assert len(world.window.under_way) == 3
    world.settle_all()


def test_what_could_not_be_sent_counts_as_no_attempt() -> None:
    world = LaneWorld()
    world.publish(["a"])
    world.offer()
    world.step()
    world.answer(ok=False, began=0, retry_after_s=7.0)
    world.step()
    assert not stored(world).blocked and not world.window.under_way
    world.clock.advance(7.1)
    world.step()
    assert world.window.under_way[0][0].attempt == 1


def test_one_that_is_gone_is_disabled_and_goes_on_in_its_place() -> None:
    world = LaneWorld()
    world.publish(["a", "b", "a"])
    world.offer()
    world.step()
    world.answer(ok=False, gone=True)
    world.answer()
    world.step()
    assert any(isinstance(message, Disabled) for message in world.told)
    world.clock.advance(60.0)
    world.publish(["b"])
    world.offer()
    world.step()
    assert not world.window.under_way, "it is disabled, and gets more"
    world.subscription.ended_at = 0
    world.step()
    assert [parcel.attempt for parcel, _ in world.window.under_way] == [2, 1]
    world.settle_all()


def test_what_retention_takes_of_a_lane_that_waits_is_gone_and_the_rest_follows() -> None:
    world = LaneWorld()
    world.publish(["a"] * 6)
    world.offer()
    world.step()
    world.answer(ok=False)
    world.step()
    world.earliest = 4
    world.clock.advance(11.0)
    for _ in range(10):
        world.step()
        while world.window.under_way:
            world.answer()
    assert world.accepted == {0, 4, 5}, "what is held is sent, though the topic has it no more"


def test_who_waits_for_what_is_gone_waits_no_more_after_a_restart() -> None:
    world = LaneWorld()
    world.publish(["a"] * 6)
    world.offer()
    world.step()
    world.answer(ok=False)
    world.clock.advance(2.0)
    world.step()
    assert world.state.lanes("in", 0)["to"].blocked
    world.earliest = 6
    world.begin()
    for _ in range(3):
        world.step()
        world.clock.advance(2.0)
    assert not world.state.lanes("in", 0)["to"].blocked and stored(world).through == 10


def test_one_that_is_ordered_no_more_has_no_lanes() -> None:
    world = LaneWorld()
    world.publish(["a"])
    world.settle_all()
    again = DeliveryState()
    again.restore(world.state.save())
    assert again == world.state and again.lanes("in", 0)["to"].through == 0
    again.apply(Behind(topic="in", partition=0, subscription="to", through=0))
    assert not again.lanes("in", 0)


def check_a_pass_that_comes_to_nothing() -> None:
    """One is refused, and the read of the same pass fails; then all partitions come anew."""
    world = LaneWorld()
    world.publish(["a", "b"])
    world.offer()
    world.step()
    world.publish(["c"])
    world.answer(ok=False, final=True)
    world.answer()

    def fails(*_: object) -> None:
        raise LogUnreachable("nobody there")

    world.delivery._read = fails
    with pytest.raises(LogUnreachable):
        world.delivery.step({0: 4})
    world.delivery.revoked(0)
    world.delivery._read = world._read
    world.delivery.begin(0, 0, -1, world.state.lanes("in", 0).get("to"))
    world.step()
    assert not world.dead, "it is given up by a pass of which nothing else was stored"
    world.settle_all()
    assert world.accepted == {0, 1, 2}


def test_what_a_pass_gave_up_that_came_to_nothing_is_tried_again() -> None:
    check_a_pass_that_comes_to_nothing()


def test_mutant_that_keeps_the_letters_of_a_pass_that_came_to_nothing_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = OrderedDelivery.revoked

    def revoked(delivery: OrderedDelivery, partition: int) -> None:
        letters = delivery.letters
        plain(delivery, partition)
        delivery.letters = letters

    monkeypatch.setattr(OrderedDelivery, "revoked", revoked)
    with pytest.raises(AssertionError, match="it is given up by a pass"):
        check_a_pass_that_comes_to_nothing()


# -- all of it, in any order -------------------------------------------------


SAID: dict[str, dict[str, Any]] = {
    "refused": {"final": True},
    "unsent": {"began": 0},
    "asks": {"retry_after_s": 20.0},
}


KEYS = st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=90)


class LaneMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = LaneWorld()

    @initialize(keys=KEYS, most=st.sampled_from([1, 3]))
    def start(self, keys: list[str | None], most: int) -> None:
        self.world = LaneWorld(most)
        self.world.publish(keys)

    @rule(keys=KEYS)
    def publish(self, keys: list[str | None]) -> None:
        self.world.publish(keys)

    @rule(said=st.lists(st.sampled_from(["ok", "ok", "ok", "busy", "refused", "unsent", "asks"]), max_size=8))
    def turn(self, said: list[str]) -> None:
        """What is new is read and sent, and some of what is under way is answered, the last first."""
        self.world.offer()
        self.world.step()
        for kind in said[: len(self.world.window.under_way)]:
            self.world.answer(kind == "ok", -1, **SAID.get(kind, {}))
        self.world.step()

    @rule(seconds=st.sampled_from([0.5, 2.0, 31.0, 900.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(before_the_commit=st.booleans())
    def die(self, before_the_commit: bool) -> None:
        """After one who has answered."""
        if self.world.window.under_way:
            self.world.answer()
        if before_the_commit:
            self.world.step(dies=True)
        else:
            self.world.begin()

    @rule()
    @precondition(lambda self: self.world.late)
    def arrive_late(self) -> None:
        self.world.arrive_late()

    @rule()
    def pause(self) -> None:
        self.world.subscription.paused = not self.world.subscription.paused

    @invariant()
    def holds_little(self) -> None:
        self.world.check_memory()

    def teardown(self) -> None:
        self.world.settle_all()


TestLanes = LaneMachine.TestCase
TestLanes.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


# -- planted faults -----------------------------------------------------------


def test_mutant_lane_that_goes_on_while_one_waits_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = OrderedDelivery._block

    def block(delivery: OrderedDelivery, head: object, seconds: float) -> None:
        plain(delivery, head, seconds)  # type: ignore[arg-type]
        delivery._go_on(head.lane)  # type: ignore[attr-defined]

    monkeypatch.setattr(OrderedDelivery, "_block", block)
    with pytest.raises(AssertionError, match="has passed"):
        check_that_nothing_passes()


def check_a_death() -> None:
    """With some under way."""
    world = LaneWorld()
    world.publish(["a", "b", "c"])
    world.offer()
    world.step()
    world.clock.advance(1.5)
    world.step()
    world.begin()
    world.settle_all()


def test_what_is_under_way_when_somebody_dies_is_sent_again() -> None:
    check_a_death()


def test_mutant_position_that_passes_what_is_not_done_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrderedLane, "through", property(lambda lane: lane.taken))
    with pytest.raises(AssertionError, match="lost"):
        check_a_death()


def check_a_death_after_a_refusal() -> None:
    """One is refused, those behind it get their turn, and whoever sent them dies before any of it is stored."""
    world = LaneWorld()
    world.publish(["a", "a"])
    world.offer()
    world.step()
    world.answer(ok=False, final=True)
    world.delivery.step({0: 2})
    while world.window.under_way:
        world.answer()
    world.begin()
    world.settle_all()


def test_nothing_passes_what_is_given_up_before_that_is_stored() -> None:
    check_a_death_after_a_refusal()


def test_mutant_that_goes_on_before_the_letter_is_stored_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = OrderedDelivery._give_up

    def give_up(delivery: OrderedDelivery, head: object, answer: object, why: str) -> None:
        plain(delivery, head, answer, why)  # type: ignore[arg-type]
        delivery._go_on(delivery._passing.pop())

    monkeypatch.setattr(OrderedDelivery, "_give_up", give_up)
    with pytest.raises(AssertionError, match="has passed"):
        check_a_death_after_a_refusal()
