"""Handshakes whoever dies, over each log: an endpoint is asked, its answer counts, and one that has granted is left in
peace."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.stages.deliver.handshakes.world import CourierOfDoors, World

from penstock.destinations.interface import Consent
from penstock.log.embedded import EmbeddedLog
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.stages.deliver.handshakes.asking import Handshakes
from penstock.stages.deliver.handshakes.state import HandshakeState

TURNS = 200
ANSWERS = (Consent("granted", per_minute=60), Consent("unclear", "HTTP 503"), Consent("refused", "not ours"))


def check(seed: int, log: Any = None, turns: int = TURNS) -> None:
    """Two couriers, of which each may die at any turn; whoever opens a subscription's gate was granted it."""
    world, rng = World(log=log), Random(seed)
    couriers = [world.courier(), world.courier()]
    granted = False
    for turn in range(turns):
        place = rng.randrange(2)
        if rng.random() < 0.1:
            couriers[place] = world.courier()
        courier = couriers[place]
        courier.look()
        assert granted or not courier.goes, "an event could go before it was granted"
        for each in couriers:
            granted |= answered(each, rng)
        if rng.random() < 0.5:
            world.owner.answer()
        if world.owner.step() == "failed" and rng.random() < 0.3:
            world.repeat()
        world.clock.advance(rng.choice((0.0, 0.1, 5.0, 60.0)))
        if turn == turns - 1 and world.owner.step() != "granted":
            finish(world, couriers)
    for courier in couriers:
        courier.look()
    known = world.owner.known()
    assert known is not None and known.step == "granted" and known.per_minute == 60
    assert all(courier.goes for courier in couriers), "a grant is not known to all"
    before = [len(courier.door.asked) for courier in couriers]
    for _ in range(5):
        for courier in [*couriers, world.courier()]:
            courier.begin()
            world.clock.advance(200.0)
    assert [len(courier.door.asked) for courier in couriers] == before, "one that has granted is asked again"
    world.owner.close()


def answered(courier: CourierOfDoors, rng: Random) -> bool:
    """Whether an endpoint grants it now."""
    if not courier.door.waits or rng.random() < 0.5:
        return False
    said = rng.choice(ANSWERS)
    courier.door.answer(said)
    return said.verdict == "granted"


def finish(world: World, couriers: list[CourierOfDoors]) -> None:
    """Nobody dies any more, and the endpoint is a good one."""
    for _ in range(50):
        for courier in couriers:
            courier.begin()
            while courier.door.waits:
                courier.hear(ANSWERS[0])
        if world.owner.step() == "granted":
            return
        if world.owner.step() == "failed":
            world.repeat()
        world.clock.advance(60.0)
    raise AssertionError("it is never granted")


@pytest.mark.parametrize("seed", range(20))
def test_it_is_granted_once_whoever_dies(seed: int) -> None:
    check(seed)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_so_on_the_embedded_log(tmp_path: Path, seed: int) -> None:
    log = EmbeddedLog(tmp_path)
    check(seed, log, turns=60)
    log.close()


def test_it_is_so_on_kafka(kafka: str, prefix: str) -> None:
    log = KafkaLog(Address(kafka, prefix))
    check(1, log, turns=30)
    log.close()


def test_mutant_that_lets_events_go_when_it_is_asked_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HandshakeState, "granted", lambda state, name, _: state.known.get(name))
    with pytest.raises(AssertionError, match="before it was granted"):
        for seed in range(5):
            check(seed)


def test_mutant_that_asks_all_the_time_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Handshakes._is_due

    def is_due(self: Handshakes, asked: Any, known: Any) -> bool:
        return plain(self, asked, known) or (known is not None and known.step == "granted")

    monkeypatch.setattr(Handshakes, "_is_due", is_due)
    with pytest.raises(AssertionError, match=r"never granted|asked again"):
        for seed in range(5):
            check(seed)
