"""Several couriers at once, that come, go and die at any commit, and endpoints of all kinds: nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.stages.deliver.outside import Endpoint
from tests.stages.deliver.world import Wanted, World

from penstock.clock import ManualClock, SystemClock
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Log
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.log.memory import MemoryLog
from penstock.settings import Settings
from penstock.stages.deliver.attempts import RetryPolicy
from penstock.stages.deliver.ladder import Ladder
from penstock.stages.deliver.router import Router
from penstock.stages.deliver.shares import Share
from penstock.stages.deliver.state import DeliveryState
from penstock.stages.deliver.tracks import Track

SEEDS = range(8)
PLANTED = range(6)  # seeds, of which one at least has to turn red


def kinds() -> list[Wanted]:
    return [
        Wanted("well", Endpoint()),
        Wanted("fails", Endpoint(fails=0.3, takes_s=(0.0, 0.3))),
        Wanted("away", Endpoint(away=(2.0, 60.0)), 2),
        Wanted("hangs", Endpoint(hangs=0.05, takes_s=(0.0, 2.0)), 3),
        Wanted("slow", Endpoint(takes_s=(1.0, 3.0), concurrency=2), 2),
        Wanted("refuses", Endpoint(final=0.1), 5, RetryPolicy(3, 600.0)),
    ]


def check(log: Log, seed: int, clock: ManualClock, **more: Any) -> World:
    world = World(log, seed, clock, kinds(), **more)
    world.run_all()
    assert not (lost := world.missing()), f"lost: {lost}"
    for wanted in world.wanted:
        tried = max(attempt for _, _, attempt in wanted.endpoint.requests)
        assert tried <= wanted.policy.attempts
    return world


def on_memory(seed: int, count: int = 100, **more: Any) -> World:
    clock = ManualClock()
    return check(MemoryLog(clock, gap=3), seed, clock, count=count, **more)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_whoever_dies(seed: int) -> None:
    on_memory(seed)


def test_nothing_is_sent_twice_where_nobody_dies() -> None:
    world = on_memory(1, odds=0.0)
    for wanted in world.wanted:
        ids = [(id, attempt) for _, id, attempt in wanted.endpoint.requests]
        assert len(ids) == len(set(ids)), wanted.name
        if not wanted.endpoint.hangs:
            assert set(wanted.endpoint.got.values()) == {1}, wanted.name


def test_nothing_is_lost_in_a_file(tmp_path: Path) -> None:
    clock = ManualClock()
    log = EmbeddedLog(tmp_path, clock=clock)
    try:
        check(log, 3, clock, count=60)
    finally:
        log.close()


def test_nothing_is_lost_on_kafka(kafka: str, prefix: str) -> None:
    log = KafkaLog(Address(kafka, prefix), settings=Settings(member_timeout=6.0, poll_interval=0.1))
    try:
        check(log, 1, ManualClock(SystemClock().now()), count=24, odds=0.03)  # rows have the brokers' times
    finally:
        log.close()


# -- planted faults -----------------------------------------------------------


def some_seed() -> None:
    for seed in PLANTED:
        on_memory(seed, rounds=800)


def test_mutant_that_passes_what_is_under_way_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Track, "through", lambda track, read: read)
    with pytest.raises(AssertionError, match="lost"):
        some_seed()


def test_mutant_that_does_not_store_who_is_behind_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgotten(router: Router, track: Track, through: int) -> None:
        track.own, track.saved_at = through, router._clock.monotonic()

    monkeypatch.setattr(Router, "_say_behind", forgotten)
    with pytest.raises(AssertionError, match="lost"):
        some_seed()


def test_mutant_that_goes_by_what_it_has_read_of_a_former_owner_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeliveryState, "has_seen", lambda *_: True)
    with pytest.raises(AssertionError, match="lost"):
        some_seed()


def test_mutant_that_follows_before_it_has_caught_up_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Router._begin

    def begin(router: Router, share: Share) -> None:
        plain(router, share)
        for track in share.tracks.values():
            track.read, track.fed = share.read, True
            share.fed[track.subscription] = True
        router._turn.clear()

    monkeypatch.setattr(Router, "_begin", begin)
    with pytest.raises(AssertionError, match="lost"):
        some_seed()


def test_mutant_that_forgets_what_failed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Router, "_account", lambda *_: None)
    with pytest.raises(AssertionError, match="lost"):
        some_seed()


def test_mutant_rung_that_passes_what_is_under_way_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Ladder._settle
    monkeypatch.setattr(Ladder, "_settle", lambda *given: plain(*given) or given[1] is None)
    with pytest.raises(AssertionError, match="lost"):
        some_seed()
