"""Subscriptions that come and go while a courier runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.run.compose.run_time_house import PLAN, RunTimeHouse
from tests.stages.deliver.outside import Endpoint

from penstock.notices import notices
from penstock.plan.plan import SubscriptionSpec, router_of
from penstock.settings import Settings
from penstock.stages.deliver.ladder import Ladder
from penstock.stages.deliver.ordered import OrderedDelivery
from penstock.stages.deliver.run_time.router import ChangingRouter
from penstock.stages.deliver.state import Began, DeliveryState


@pytest.fixture
def house() -> Iterator[RunTimeHouse]:
    found = RunTimeHouse()
    yield found
    found.close()


def go(house: RunTimeHouse) -> None:
    """As a courier that runs begins new routers; here their pumps are stepped by hand."""
    house.courier.run_time._seen = -1


def test_one_that_is_put_is_delivered_to_within_a_second(house: RunTimeHouse) -> None:
    house.put("first")
    go(house)
    house.turns(5)
    began = house.clock.monotonic()
    house.put("acme", where="n >= 15")
    house.publish(range(10, 20))
    while not house.got("acme"):
        house.turn(0.25)
    assert house.clock.monotonic() - began < 1.0
    house.turns()
    assert house.got("acme") == [15, 16, 17, 18, 19] and house.got("first") == list(range(10, 20))


def test_a_source_without_any_gets_a_router_with_the_first(house: RunTimeHouse) -> None:
    house.publish(range(5), "orders")
    assert not house.courier.run_time.routers
    house.put("acme", "orders")
    house.put("zeta", "orders")
    house.put("other", "scores")
    house.publish(range(5, 9), "orders")
    go(house)
    house.turns()
    assert house.got("acme") == house.got("zeta") == [5, 6, 7, 8]
    names = [line.name for line in house.courier.lines if line.name.startswith("penstock.deliver.")]
    assert names == [router_of("orders"), router_of("scores")], "one a source, whatever the number"


def test_with_earliest_it_gets_what_there_was(house: RunTimeHouse) -> None:
    house.publish(range(5))
    house.put("acme", start="earliest")
    go(house)
    house.turns()
    assert house.got("acme") == list(range(5))


def killed_between(house: RunTimeHouse) -> list[int]:
    """Put, published to, killed before anything was delivered, and published to again."""
    house.put("first")
    go(house)
    house.turns()
    house.put("acme")
    house.publish(range(10))
    house.kill()
    house.publish(range(10, 20), partition=1)
    house.turns()
    return house.got("acme")


def test_a_kill_between_the_putting_and_the_first_delivery_loses_nothing(house: RunTimeHouse) -> None:
    assert killed_between(house) == list(range(20))


def test_mutant_that_begins_when_a_courier_comes_is_caught(
    house: RunTimeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a position from the putting on, it begins with what comes."""
    from penstock.stages.deliver.state import DeliveryState

    apply = DeliveryState.apply
    monkeypatch.setattr(DeliveryState, "apply", lambda s, m: None if isinstance(m, Began) else apply(s, m))
    with pytest.raises(AssertionError, match=r"assert \["):
        assert killed_between(house) == list(range(20))


def test_one_that_is_replaced_goes_on_from_its_place(house: RunTimeHouse) -> None:
    house.put("acme", host="old")
    go(house)
    house.publish(range(5))
    house.turns()
    house.put("acme", host="new", where="n < 8")
    house.publish(range(5, 10))
    house.turns()
    assert house.got("old") == list(range(5)) and house.got("new") == [5, 6, 7]


def test_what_was_under_way_to_the_one_before_goes_to_the_one_after(house: RunTimeHouse) -> None:
    house.endpoints["old.example.com"] = Endpoint(takes_s=(100.0, 100.0))
    house.put("acme", host="old")
    go(house)
    house.publish(range(3))
    house.turns(10)
    house.put("acme", host="new")
    house.turns()
    assert house.got("new") == [0, 1, 2]
    house.kill()
    house.publish([3])
    house.turns()
    assert house.got("new") == [0, 1, 2, 3], "and its place is stored"


def test_one_that_is_deleted_gets_nothing_more_and_slows_nobody(house: RunTimeHouse) -> None:
    house.endpoints["slow.example.com"] = Endpoint(takes_s=(1_000.0, 1_000.0))
    house.put("slow")
    house.put("acme")
    go(house)
    house.publish(range(3))
    house.turns()
    assert not house.delete("slow")
    house.turns()
    house.publish(range(3, 6))
    house.turns()
    assert house.got("acme") == list(range(6)) and house.got("slow") == [0, 1, 2]
    assert [desk.closed for desk in house.desks].count(True) == 1
    assert set(house.courier.subscriptions) == {"acme"}
    house.put("slow", host="other")
    house.publish([6])
    house.turns()
    assert house.got("other") == [6], "one of its name begins anew"


def test_what_waited_for_another_attempt_is_dead_when_it_is_deleted(house: RunTimeHouse) -> None:
    house.endpoints["acme.example.com"] = Endpoint(fails=1.0)
    house.put("acme")
    go(house)
    house.publish(range(3))
    house.turns(10)
    house.delete("acme")
    house.turns(60, seconds=1.0)
    assert house.dead() == [("acme", "SubscriptionRemoved")] * 3


def what_comes_of_a_former_life(house: RunTimeHouse, source: str) -> None:
    """What waits for one that is deleted is not for another that takes its name: it may be somebody else's."""
    house.endpoints["acme.example.com"] = Endpoint(fails=1.0)
    house.put("acme")
    go(house)
    house.publish(range(3))
    house.turns(10)
    house.delete("acme")
    house.put("acme", source, host="next")
    go(house)
    house.publish([7], source)
    house.turns(60, seconds=1.0)
    assert house.got("next") == [7], "it got what was another's"
    assert house.dead() == [("acme", "SubscriptionRemoved")] * 3


@pytest.mark.parametrize("source", ["scores", "orders"])
def test_a_name_that_is_taken_again_gets_nothing_of_the_one_before(house: RunTimeHouse, source: str) -> None:
    what_comes_of_a_former_life(house, source)


def test_mutant_whose_ladder_goes_by_names_is_caught(house: RunTimeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    why_not = Ladder._why_not
    monkeypatch.setattr(Ladder, "_why_not", lambda self, waiting, now, since: why_not(self, waiting, now, now))
    with pytest.raises(AssertionError, match="it got what was another's"):
        what_comes_of_a_former_life(house, "scores")


def waits_on_the_ladder(house: RunTimeHouse) -> list[tuple[str, str]]:
    """A courier that does not know yet that there is one meets what another has failed to deliver to it."""
    house.endpoints["acme.example.com"] = Endpoint(away=(0.0, 5.0))
    house.put("acme")
    go(house)
    house.publish(range(3))
    house.turns(10)
    late = house.begin("late")
    for line in house.courier.lines:
        line.pump._reader.close()
    late.run_time._opened.clear()
    late.subscriptions.clear()
    late.run_time._seen = -1
    house.courier = late
    house.turns(60, seconds=1.0, look=False)
    return house.dead()


def test_what_another_courier_put_on_the_ladder_is_not_taken_for_that_of_none(house: RunTimeHouse) -> None:
    assert waits_on_the_ladder(house) == [] and house.got("acme") == [0, 1, 2]


def test_mutant_whose_ladder_asks_nobody_is_caught(house: RunTimeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.run.compose.run_time import RunTimeRoutes

    monkeypatch.setattr(RunTimeRoutes, "refresh", lambda self: None)
    monkeypatch.setattr(ChangingRouter, "_look_at_subscriptions", lambda self: None)
    with pytest.raises(AssertionError, match="SubscriptionRemoved"):
        assert waits_on_the_ladder(house) == []


def test_one_that_cannot_be_opened_is_told_and_the_others_go_on(house: RunTimeHouse) -> None:
    house.put("broken", where="nothing > 1")
    house.put("acme")
    go(house)
    house.publish([1])
    house.turns()
    assert house.got("acme") == [1]
    assert any("'broken' cannot be delivered to" in notice.reason for notice in notices().standing())
    house.delete("broken")
    house.turns(2)
    assert not any("broken" in notice.reason for notice in notices().standing())


def test_those_of_the_file_go_before_those_put_of_their_name() -> None:
    spec = SubscriptionSpec("acme", "scores", "https://file.example.com/in")
    house = RunTimeHouse()
    house.put("acme")
    house.plan = replace(PLAN, subscriptions=(spec,))
    house.kill()
    house.turns(5)
    house.publish([1])
    house.turns()
    assert house.got("file") == [1] and house.got("acme") == []
    house.close()


def test_ten_thousand_are_put_and_only_those_that_an_event_is_for_get_it() -> None:
    house = RunTimeHouse(settings=replace(Settings(), subscriptions_per_source=10_000))
    began = time.process_time()
    commands = [house.put_command(f"t{n}", where=f"n = {n}") for n in range(10_000)]
    assert not house.ask(*commands)
    go(house)
    house.turns(5)
    house.publish([7, 4_242, 9_999])
    house.turns(5)
    assert sum(len(e.got) for e in house.endpoints.values()) == 3
    assert house.got("t4242") == [4_242]
    assert house.ask(house.put_command("t10000"))[0].kind == "conflict"
    print(f"10,000 put, opened and matched in {time.process_time() - began:.1f} s of CPU")
    house.close()


def put_anew(house: RunTimeHouse, ordered: tuple[bool, ...]) -> list[int]:
    """What its endpoint, which refuses a fifth of all requests, saw of 0 to 59 for the first time, in that order: each
    time it is put anew something is under way."""
    endpoint = house.endpoints["acme.example.com"] = Endpoint(fails=0.2, takes_s=(0.0, 0.3))
    for part, each in enumerate(ordered):
        house.put("acme", ordered=each, where=f"n >= -{part}")
        go(house)
        house.publish(range(part * 20, part * 20 + 20))
        house.turns(12)
    house.turns(400, seconds=10.0)
    return [int(body.split(":")[1].strip("} ")) for body in endpoint.got]


@pytest.mark.parametrize("ordered", [(True, True, True), (True, False, True), (False, True, False)])
def test_whoever_is_put_anew_ordered_or_not_misses_nothing(house: RunTimeHouse, ordered: tuple[bool, ...]) -> None:
    assert sorted(put_anew(house, ordered)) == list(range(60))


def in_their_order(house: RunTimeHouse) -> None:
    seen = put_anew(house, (True, True, True))
    assert seen == list(range(60)), "the order is lost"


def test_one_that_is_ordered_stays_so_while_it_is_put_anew(house: RunTimeHouse) -> None:
    in_their_order(house)


def test_mutant_that_begins_where_the_router_is_is_caught(house: RunTimeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    end = OrderedDelivery.end
    monkeypatch.setattr(OrderedDelivery, "end", lambda self, n: (end(self, n), {})[1])
    with pytest.raises(AssertionError, match="the order is lost"):
        in_their_order(house)


def test_one_that_is_deleted_leaves_no_lanes(house: RunTimeHouse) -> None:
    endpoint = house.endpoints["acme.example.com"] = Endpoint(fails=1.0)
    house.put("acme", ordered=True)
    go(house)
    house.publish(range(5))
    house.turns(60)
    assert house.courier.registry.view.areas.only(DeliveryState).blocked_by_name()["acme"] == 1
    house.delete("acme")
    go(house)
    house.turns()
    assert not house.courier.registry.view.areas.only(DeliveryState).blocked_by_name()
    endpoint.fails = 0.0
    house.put("acme", ordered=True)
    go(house)
    house.publish(range(5, 9))
    house.turns()
    assert house.got("acme") == [5, 6, 7, 8]
