"""One router over its topic, step by step: who is sent what, whose position is where, and what is told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.stages.deliver.outside import Desk, Endpoint
from tests.stages.deliver.world import IN, SYSTEM_TOPIC, Wanted, World, numbers, piece_of

from penstock.batch import SYSTEM, Batch, Write
from penstock.clock import ManualClock
from penstock.destinations.interface import Answer, Parcel
from penstock.filters.eventgrid import AdvancedFilter, Filter
from penstock.filters.eventgrid.predicate import FilterPredicate
from penstock.log.memory import MemoryLog
from penstock.models.messages import Registered
from penstock.plan.plan import router_of
from penstock.schema.egress.render import Format
from penstock.stages.deliver.attempts import RetryPolicy
from penstock.stages.deliver.router import Router
from penstock.stages.deliver.routing import SystemRouting, SystemSelection
from penstock.stages.deliver.shares import Share
from penstock.stages.deliver.state import Behind, Following
from penstock.stages.deliver.subscriptions import Subscription
from penstock.stages.deliver.tracks import PATIENCE_S
from penstock.stages.pump import Pump
from penstock.system.messages import Disabled, to_rows


class Route(World):
    """One member that lives; ``pass_on`` steps it for a time."""

    def __init__(self, *wanted: Wanted, count: int = 0, begun: bool = True) -> None:
        clock = ManualClock()
        super().__init__(MemoryLog(clock, gap=3), 1, clock, list(wanted), count, odds=0.0)
        self.join("a")
        if begun:
            self.pass_on(3.0)

    @property
    def pump(self) -> Pump:
        return self.members["a"][0][0]

    @property
    def stage(self) -> Any:
        return self.pump._stage

    def publish(self, ns: range) -> None:
        self.log.append([write for write in piece_of(ns) if write.rows.num_rows])

    def pass_on(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(round(seconds / step)):
            for pump, _ in self.members["a"]:
                pump.step(0.0)
            self.clock.advance(step)

    def lag(self) -> int:
        return sum(g.lag_events for g in self.log.groups() if g.topic == IN.name)  # type: ignore[attr-defined]

    def told(self, kind: type) -> list[dict[str, Any]]:
        return [json.loads(row["json"]) for row in self.rows(SYSTEM) if row["_type"] == kind.TYPE]  # type: ignore[attr-defined]


def test_events_go_to_those_who_want_them_and_the_position_follows() -> None:
    all_, even = Endpoint(concurrency=50), Endpoint(concurrency=50)
    route = Route(Wanted("all", all_), Wanted("even", even, 2))
    route.publish(range(40))
    route.pass_on(1.0)
    assert numbers(all_) == set(range(40)) and numbers(even) == set(range(0, 40, 2))
    assert route.lag() == 0 and not route.told(Behind)
    (following, *_) = route.told(Following)
    assert following["subscriptions"] == ["all", "even"]


def test_latest_is_from_now_and_earliest_from_the_beginning() -> None:
    clock = ManualClock()
    log, late, early = MemoryLog(clock), Endpoint(), Endpoint()
    world = World(log, 1, clock, [Wanted("late", late), Wanted("early", early, more={"earliest": True})], odds=0.0)
    world.log.append(piece_of(range(30)))
    log.reader(router_of(IN.name), [IN.name], "a", start="latest").close()
    world.join("a")
    for _ in range(60):
        for pump, _ in world.members["a"]:
            pump.step(0.0)
        clock.advance(0.05)
    world.log.append(piece_of(range(30, 40)))
    for _ in range(60):
        for pump, _ in world.members["a"]:
            pump.step(0.0)
        clock.advance(0.05)
    assert numbers(late) == set(range(30, 40)) and numbers(early) == set(range(40))
    assert set(early.got.values()) == set(late.got.values()) == {1}


def check_a_new_one_begins_at_the_end() -> None:
    """Events come while no courier runs; the next one has a subscription more, and then one that dies is followed."""
    old, new = Endpoint(concurrency=50), Endpoint(concurrency=50)
    route = Route(Wanted("old", old))
    route.publish(range(6))
    route.pass_on(1.0)
    for _, reader in route.members.pop("a"):
        reader.close()
    route.publish(range(6, 30))
    route.wanted.append(Wanted("new", new))
    route.join("a")
    route.pass_on(0.2)
    route.publish(range(30, 40))
    route.pass_on(2.0)
    route.join("a")  # another of this name, which goes by what is stored
    route.publish(range(40, 50))
    route.pass_on(3.0)
    assert numbers(old) == set(range(50)), "the one that was there has lost something"
    assert not numbers(new) & set(range(30)), "what was there before it is delivered to it"
    assert numbers(new) == set(range(30, 50)), "the new one has lost something"


def test_a_new_one_begins_at_the_end_also_where_its_router_is_behind() -> None:
    check_a_new_one_begins_at_the_end()


def test_mutant_that_begins_where_its_router_is_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Router._begin

    def begin(router: Router, share: Share) -> None:
        share.end = 0
        plain(router, share)

    monkeypatch.setattr(Router, "_begin", begin)
    with pytest.raises(AssertionError, match="what was there before it is delivered to it"):
        check_a_new_one_begins_at_the_end()


def test_mutant_that_begins_at_the_end_of_a_topic_that_it_is_the_first_to_read_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is told that all is ready may publish at once, before the router knows what was said before."""

    def check() -> None:
        endpoint = Endpoint(concurrency=50)
        route = Route(Wanted("s", endpoint), begun=False)
        route.publish(range(3))
        route.pass_on(3.0)
        assert numbers(endpoint) == {0, 1, 2}, "what came first is lost"

    check()
    plain = Router._begin

    def begin(router: Router, share: Share) -> None:
        share.read = max(share.read, share.end - 1)
        plain(router, share)

    monkeypatch.setattr(Router, "_begin", begin)
    with pytest.raises(AssertionError, match="what came first is lost"):
        check()


def test_who_is_slow_goes_on_from_a_position_of_its_own_and_nobody_waits() -> None:
    quick, slow = Endpoint(concurrency=20), Endpoint(takes_s=(5.0, 5.0), concurrency=12)
    route = Route(Wanted("quick", quick), Wanted("slow", slow))
    route.publish(range(12))
    route.pass_on(PATIENCE_S / 2)
    assert len(numbers(quick)) == 12 and route.lag() > 0, "the position does not wait for a moment"
    route.pass_on(PATIENCE_S)
    assert route.lag() == 0, "the position waits for one that is slow"
    assert {told["subscription"] for told in route.told(Behind)} == {"slow"}
    route.pass_on(60.0)
    assert numbers(slow) == set(range(12)) and set(slow.got.values()) == {1}
    assert route.told(Following)[-1]["subscriptions"] == ["slow"]


def test_who_is_paused_gets_what_it_missed_when_it_is_resumed() -> None:
    endpoint = Endpoint()
    route = Route(Wanted("s", endpoint))
    route.stage._subscriptions[0].paused = True
    route.publish(range(50))
    route.pass_on(3.0)
    assert not endpoint.got and route.lag() == 0
    route.stage._subscriptions[0].paused = False
    route.publish(range(50, 60))
    route.pass_on(5.0)
    assert numbers(endpoint) == set(range(60)) and set(endpoint.got.values()) == {1}


def test_what_lies_too_long_is_given_up_without_an_attempt() -> None:
    endpoint = Endpoint()
    route = Route(Wanted("s", endpoint, policy=RetryPolicy(3, 60.0)))
    route.stage._subscriptions[0].paused = True
    route.publish(range(3))
    route.pass_on(2.0)
    route.clock.advance(61.0)
    route.stage._subscriptions[0].paused = False
    route.pass_on(3.0)
    assert not endpoint.requests
    assert [(letter["error"], letter["attempts"]) for letter in route.letters()] == [("TimeToLiveExceeded", 0)] * 3


class Ending(Desk):
    """An endpoint that wants nothing any more."""

    def _asked(self, parcel: Parcel) -> tuple[float, Parcel, Answer]:
        self.endpoint.requests.append((self.clock.monotonic(), parcel.id, parcel.attempt))
        now = self.clock.now()
        return self.clock.monotonic(), parcel, Answer(False, "Disabled", 410, "HTTP 410", gone=True, began=now)


def check_gone() -> None:
    endpoint = Endpoint()
    route = Route(Wanted("s", endpoint))
    subscription = route.stage._subscriptions[0]
    subscription.destination = Ending(endpoint, route.rng, route.clock)
    route.stage.desks.append(subscription.destination)
    subscription.source, subscription.endpoint = IN.name, "https://s.example"
    route.publish(range(30))
    route.pass_on(3.0)
    assert len(endpoint.requests) <= endpoint.concurrency, "asked on though it is gone"
    (told,) = route.told(Disabled)
    assert told["subscription"] == "s" and told["endpoint"] == "https://s.example" and told["reason"] == "HTTP 410"
    assert len(endpoint.requests) <= endpoint.concurrency and route.lag() == 0
    subscription.paused, subscription.ended_at = True, 0
    route.pass_on(3.0)
    assert len(endpoint.requests) <= endpoint.concurrency
    subscription.destination = Desk(endpoint, route.rng, route.clock)
    route.stage.desks.append(subscription.destination)
    for pump, _ in route.members["a"][1:]:
        ladder: Any = pump._stage
        ladder._subscriptions["s"].destination = Desk(endpoint, route.rng, route.clock)
    subscription.paused = False
    route.pass_on(30.0, 0.1)
    assert numbers(endpoint) == set(range(30)), "its backlog is kept"


def test_an_endpoint_that_is_gone_is_told_once_and_asked_no_more() -> None:
    check_gone()


def test_mutant_that_asks_on_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subscription, "_disabled", lambda *_: None)
    with pytest.raises(AssertionError, match="asked on though it is gone"):
        check_gone()


@pytest.mark.parametrize(("events", "most_bytes"), [(1, 64 << 10), (5, 64 << 10), (100, 500), (3, 1)])
def test_batches_have_no_more_than_they_may_and_nothing_waits_to_fill_them(events: int, most_bytes: int) -> None:
    check_batches(events, most_bytes)


def test_mutant_that_waits_for_a_batch_to_fill_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Subscription.batches
    full = lambda self, sizes: (cut for cut in plain(self, sizes) if cut[1] - cut[0] == self.batch_events)  # noqa: E731
    monkeypatch.setattr(Subscription, "batches", full)
    with pytest.raises(AssertionError, match="something waits"):
        check_batches(5, 64 << 10)


def check_batches(events: int, most_bytes: int) -> None:
    endpoint = Endpoint(concurrency=20)
    more = {"format": "cloudevents-batch", "batch_events": events, "batch_bytes": most_bytes}
    route = Route(Wanted("s", endpoint, more=more))
    route.publish(range(0, 24, 3))
    route.pass_on(0.1)
    got = {body: json.loads(body) for body in endpoint.got}
    assert sorted(event["data"]["n"] for each in got.values() for event in each) == list(range(0, 24, 3)), (
        "something waits"
    )
    for body, each in got.items():
        assert len(each) <= events
        assert len(each) == 1 or len(body) <= most_bytes + len(each)
    if events == 5:
        assert sorted(map(len, got.values())) == [3, 5]


def system_batch() -> Batch:
    """Something else, and three versions that are registered."""
    messages = [
        Following(topic="t", partition=0, subscriptions=("a",), since=1),
        *(_registered(version) for version in (1, 2, 3)),
    ]
    log = MemoryLog(ManualClock())
    log.create(SYSTEM_TOPIC)
    log.append([Write(SYSTEM, 0, to_rows(messages))])
    (batch,) = log.reader(None, [SYSTEM], "test").read(100, 0.0)
    return batch


REGISTERED = "penstock.model.registered"


def test_system_events_are_chosen_by_type_and_condition() -> None:
    routing = SystemRouting("app", [SystemSelection(REGISTERED), SystemSelection(REGISTERED, "version > 1")])
    rows, whose = routing.match(system_batch())
    assert list(zip(rows.tolist(), whose.tolist(), strict=True)) == [(1, 0), (2, 0), (3, 0), (2, 1), (3, 1)]


def check_filtered(format: Format, expected: list[int], *comparisons: AdvancedFilter, **more: Any) -> None:
    predicate = FilterPredicate(Filter(advanced=comparisons, **more), None)
    routing = SystemRouting("app", [SystemSelection(REGISTERED, "version > 1", predicate, format)])
    rows, _ = routing.match(system_batch())
    assert rows.tolist() == expected, "the filter passes others"


GRID_TYPE = "Microsoft.MachineLearningServices.ModelRegistered"


def test_a_filter_sees_system_events_as_they_are_delivered() -> None:
    version = AdvancedFilter("NumberIn", "data.ModelVersion", [3])
    check_filtered("eventgrid", [3], version, included_event_types=[GRID_TYPE])
    check_filtered("eventgrid", [2, 3], subject_begins_with="models/m:")
    check_filtered("eventgrid", [], included_event_types=[f"dev.{REGISTERED}"])
    check_filtered("cloudevents", [], version)
    check_filtered("cloudevents", [3], AdvancedFilter("NumberIn", "data.version", [3]))


def test_a_version_is_a_number_and_no_text() -> None:
    """As in Azure's sample; its SDKs declare a string. A value of another type is as if it were missing."""
    check_filtered("eventgrid", [], AdvancedFilter("StringIn", "data.ModelVersion", ["3"]))
    check_filtered("eventgrid", [2, 3], AdvancedFilter("StringNotIn", "data.ModelVersion", ["3"]))


def test_mutant_that_forgets_the_filter_of_a_system_event_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FilterPredicate, "mask", lambda _, events: np.ones(len(events), np.bool_))
    with pytest.raises(AssertionError, match="the filter passes others"):
        check_filtered("eventgrid", [], subject_begins_with="models/other:")


def _registered(version: int) -> Any:
    return Registered(
        model="m", version=version, digest="d", runtime="onnx", signature={}, created=1, causationid=str(version)
    )
