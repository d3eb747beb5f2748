"""Couriers that come, go and die at any commit: whatever an ordered subscription's endpoint does, it gets the events of
each key in their order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from tests.stages.deliver.outside import Endpoint
from tests.stages.deliver.world import Wanted, World, numbers, piece_of

from penstock.batch import Write
from penstock.clock import ManualClock, SystemClock
from penstock.destinations.interface import Answer, Parcel
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Log
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.log.memory import MemoryLog
from penstock.settings import Settings
from penstock.stages.deliver.attempts import RetryPolicy
from penstock.stages.deliver.lanes import LaneRequest, OrderedLane
from penstock.stages.deliver.ordered import OrderedDelivery
from penstock.stages.deliver.retry import waiting_of

KEYS = 24  # of the numbers, by what remains
SEEDS = range(4)
ORDERED = {"ordered": True, "earliest": True}


@dataclass
class KeyedEndpoint(Endpoint):
    """It notes in which order it took the numbers of each key for the first time."""

    taken: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def take(self, parcel: Parcel, rng: Random, clock: ManualClock) -> tuple[float, Answer]:
        before = set(self.got)
        found = super().take(parcel, rng, clock)
        for body in set(self.got) - before:
            n = int(body.split(":")[1].strip("} "))
            self.taken[n % KEYS].append(n)
        return found


def kinds() -> list[Wanted]:
    return [
        Wanted("well", KeyedEndpoint(), more=ORDERED),
        Wanted("fails", KeyedEndpoint(fails=0.2, takes_s=(0.0, 0.3), concurrency=8), more=ORDERED),
        Wanted("away", KeyedEndpoint(away=(2.0, 40.0)), 2, more=ORDERED),
        Wanted("slow", KeyedEndpoint(takes_s=(0.5, 2.0), hangs=0.03), 2, more=ORDERED),
        Wanted("refuses", KeyedEndpoint(final=0.1), 3, RetryPolicy(3, 3_600.0), ORDERED),
        Wanted("plain", KeyedEndpoint(fails=0.1)),
    ]


def keyed(writes: list[Write]) -> list[Write]:
    return [
        Write(write.topic, write.partition, write.rows.append_column("_key", keys_of(write.rows))) for write in writes
    ]


def keys_of(rows: pa.RecordBatch) -> pa.Array:
    return pa.array([f"k{n % KEYS}" for n in rows.column("n").to_pylist()])


def check(log: Log, seed: int, clock: ManualClock, count: int, **more: Any) -> World:
    world = World(log, seed, clock, kinds(), count=count, **more)
    world.pieces = [keyed(piece_of(range(first, min(first + 20, count)))) for first in range(0, count, 20)]
    world.run_all()
    assert not (lost := world.missing()), f"lost: {lost}"
    for wanted in world.wanted:
        assert isinstance(wanted.endpoint, KeyedEndpoint)
        if wanted.more:
            for key, taken in wanted.endpoint.taken.items():
                assert taken == sorted(taken), f"'{wanted.name}' got key {key} out of order: {taken}"
    return world


def on_memory(seed: int, count: int = 100, **more: Any) -> World:
    clock = ManualClock()
    return check(MemoryLog(clock, gap=3), seed, clock, count, **more)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_a_key_holds_whoever_dies(seed: int) -> None:
    on_memory(seed)


def test_nothing_is_sent_twice_where_nobody_dies() -> None:
    world = on_memory(1, odds=0.0)
    for wanted in world.wanted:
        ids = [(id, attempt) for _, id, attempt in wanted.endpoint.requests]
        assert len(ids) == len(set(ids)), wanted.name
    well = world.wanted[0].endpoint
    assert numbers(well) == set(range(100)) and set(well.got.values()) == {1}


def test_the_order_of_a_key_holds_in_a_file(tmp_path: Path) -> None:
    clock = ManualClock()
    log = EmbeddedLog(tmp_path, clock=clock)
    try:
        check(log, 3, clock, 60)
    finally:
        log.close()


def test_the_order_of_a_key_holds_on_kafka(kafka: str, prefix: str) -> None:
    log = KafkaLog(Address(kafka, prefix), settings=Settings(member_timeout=6.0, poll_interval=0.1))
    try:
        check(log, 1, ManualClock(SystemClock().now()), 24, odds=0.03)  # rows have the brokers' times
    finally:
        log.close()


# -- planted faults -----------------------------------------------------------


def some_seed() -> None:
    for seed in SEEDS:
        on_memory(seed, rounds=500)


def test_mutant_lane_that_goes_on_while_one_waits_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed goes onto the ladder, as it does of those that are not ordered."""

    def block(delivery: OrderedDelivery, head: LaneRequest, seconds: float) -> None:
        name = delivery._subscriptions[head.lane.track.subscription].name
        assert head.answer is not None
        for batch, rows in head.pieces():
            delivery.letters += waiting_of(name, batch, rows, head.answer, head.attempts, None)
        delivery._go_on(head.lane)

    monkeypatch.setattr(OrderedDelivery, "_block", block)
    with pytest.raises(AssertionError, match="out of order"):
        some_seed()


def test_mutant_position_that_passes_what_is_not_done_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrderedLane, "through", property(lambda lane: lane.taken))
    with pytest.raises(AssertionError, match="lost"):
        some_seed()
