"""What a courier does for handshakes: how often it asks, what it says of it, and that one asks where several could."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.stages.deliver.handshakes.world import PATIENCE_S, World

from penstock.batch import SYSTEM
from penstock.destinations.interface import Consent
from penstock.errors import LogUnreachable
from penstock.stages.deliver.handshakes import asking
from penstock.stages.deliver.handshakes.asking import (
    AGAIN_S,
    APART_S,
    AT_ONCE,
    STALE_S,
    TRIES,
    AskedEndpoint,
    Handshakes,
    token_digest,
)
from penstock.stages.deliver.handshakes.messages import EndHandshake

GRANTED, LATER, REFUSED = Consent("granted"), Consent("later", "no code"), Consent("refused", "not ours")
UNCLEAR = Consent("unclear", "HTTP 503")


@pytest.fixture
def world() -> Iterator[World]:
    yield World()


@pytest.mark.parametrize(("consent", "step"), [(GRANTED, "granted"), (LATER, "awaiting"), (REFUSED, "failed")])
def test_a_clear_answer_is_said_at_once(world: World, consent: Consent, step: str) -> None:
    courier = world.courier()
    assert not courier.goes
    courier.begin()
    assert len(courier.door.asked) == 1 and not courier.goes
    assert courier.hear(consent) == step
    assert courier.goes == (step == "granted")
    world.clock.advance(60.0)
    courier.begin()
    assert len(courier.door.asked) == 1, "asked again"


def tries(world: World) -> list[float]:
    """When an endpoint is asked that never says anything clear."""
    courier = world.courier()
    courier.begin()
    for _ in range(100):
        if courier.door.waits:
            courier.door.answer(UNCLEAR)
        courier.begin()
        world.clock.advance(0.5)
    assert world.owner.step() == "failed", "it never ended"
    return [at for at, _ in courier.door.asked]


def check_the_tries(world: World) -> None:
    """A look is taken each half second."""
    first, second, third = tries(world)
    assert 5.0 <= second - first <= 5.5 and 5.0 <= third - second <= 5.5, "not 5 s apart"


def test_without_a_clear_answer_it_is_asked_again_after_5_s_three_times(world: World) -> None:
    assert AGAIN_S == 5.0
    check_the_tries(world)


def test_mutant_that_asks_at_once_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "AGAIN_S", 0.0)
    with pytest.raises(AssertionError, match="not 5 s apart"):
        check_the_tries(world)


def check_one_of_two_asks(world: World) -> None:
    one, other = world.courier(), world.courier()
    for _ in range(3):
        one.look()
        other.look()
        world.answer(one, other)
    assert len(one.door.asked) + len(other.door.asked) == 1, "asked twice"
    asker = one if one.door.asked else other
    assert asker.hear(GRANTED) == "granted"
    one.look(), other.look()
    assert one.goes and other.goes


def test_of_two_couriers_one_asks_and_both_go_on(world: World) -> None:
    check_one_of_two_asks(world)


def test_mutant_that_takes_anothers_turn_for_its_own_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Handshakes._go_on

    def go_on(self: Handshakes, asked: AskedEndpoint, attempt: Any, known: Any) -> None:
        attempt.number = attempt.number or (known.number if known is not None else 0)
        plain(self, asked, attempt, known)

    monkeypatch.setattr(Handshakes, "_go_on", go_on)
    with pytest.raises(AssertionError, match="asked twice"):
        check_one_of_two_asks(world)


def test_one_that_died_while_it_asked_is_followed_by_another(world: World) -> None:
    world.courier().begin()
    after = world.courier()
    after.begin()
    world.clock.advance(STALE_S - 1)
    after.begin()
    assert not after.door.asked
    world.clock.advance(1)
    after.begin()
    assert len(after.door.asked) == 1 and after.hear(GRANTED) == "granted"


def test_all_tries_take_less_than_another_courier_waits() -> None:
    assert TRIES * 30.0 + (TRIES - 1) * AGAIN_S < STALE_S


def check_a_restart_asks_nobody(world: World) -> None:
    first = world.courier()
    first.begin()
    first.hear(GRANTED)
    after = world.courier()
    after.begin()
    assert not after.door.asked, "asked again"
    assert after.goes


def test_who_has_granted_is_not_asked_after_a_restart(world: World) -> None:
    check_a_restart_asks_nobody(world)


def test_mutant_that_forgets_at_a_restart_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handshakes, "_is_due", lambda self, asked, known: not asked.begins_at)
    with pytest.raises(AssertionError, match="asked again"):
        check_a_restart_asks_nobody(world)


def test_another_url_is_asked_and_gets_nothing_before(world: World) -> None:
    first = world.courier("e")
    first.begin()
    first.hear(GRANTED)
    after = world.courier("another")
    after.begin()
    assert len(after.door.asked) == 1 and not after.goes
    assert after.hear(GRANTED) == "granted" and after.goes


def test_couriers_of_two_versions_do_not_ask_without_end(world: World) -> None:
    old, new = world.courier("old"), world.courier("new")
    seconds = 300
    for _ in range(seconds):
        for courier in (old, new):
            courier.begin()
            while courier.door.waits:
                courier.hear(GRANTED)
        world.clock.advance(1.0)
    assert len(old.door.asked) <= seconds / APART_S + 1 and len(new.door.asked) <= seconds / APART_S + 1


def test_one_that_failed_is_asked_again_when_somebody_wants_it_and_at_once(world: World) -> None:
    courier = world.courier()
    courier.begin()
    assert courier.hear(REFUSED) == "failed"
    world.repeat()
    assert world.owner.step() == "wanted"
    courier.look()
    world.answer(courier)
    assert len(courier.door.asked) == 2 and courier.hear(GRANTED) == "granted"


def check_the_time_by_hand(world: World) -> None:
    courier = world.courier()
    courier.begin()
    assert courier.hear(LATER) == "awaiting"
    world.clock.advance(PATIENCE_S - 0.001)
    courier.begin()
    assert world.owner.step() == "awaiting", "too early"
    world.clock.advance(0.001)
    courier.begin()
    assert world.owner.step() == "failed", "it waits for ever"
    known = world.owner.known()
    assert known is not None and known.reason == "no code; and nobody has consented in time by hand"


def test_it_fails_when_nobody_consents_in_time(world: World) -> None:
    check_the_time_by_hand(world)


def commands_while_the_owner_is_away(world: World) -> int:
    courier = world.courier()
    courier.begin()
    courier.hear(LATER)
    before: int = world.log.partitions(SYSTEM)[0].events
    world.clock.advance(PATIENCE_S)
    for _ in range(20):
        courier.look()
        world.clock.advance(1.0)
    after: int = world.log.partitions(SYSTEM)[0].events
    return after - before


def test_what_is_over_is_said_once(world: World) -> None:
    assert commands_while_the_owner_is_away(world) == 1


def test_mutant_that_waits_for_ever_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handshakes, "_end", lambda self, known, consent: None if "in time" in consent.reason
                        else self._commands.append(EndHandshake(id="e", subscription=known.subscription,
                                                   number=known.number, verdict=consent.verdict)))  # fmt: skip
    with pytest.raises(AssertionError, match="it waits for ever"):
        check_the_time_by_hand(world)


def test_the_rate_is_kept_before_anything_goes_there(world: World) -> None:
    courier = world.courier()
    courier.begin()
    courier.hear(Consent("granted", per_minute=120))
    assert courier.door.kept_to == [120] and courier.goes
    after = world.courier()
    after.begin()
    assert after.door.kept_to == [120] and after.goes


def test_one_that_is_paused_is_not_asked(world: World) -> None:
    courier = world.courier()
    courier.subscriptions["s"].paused = True
    courier.begin()
    assert world.owner.step() is None
    courier.subscriptions["s"].paused = False
    courier.begin()
    assert len(courier.door.asked) == 1


def test_a_log_that_is_away_for_a_while_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    courier = world.courier()
    append, away = world.log.append, True

    def failing(writes: Any) -> Any:
        if away:
            raise LogUnreachable("away")
        return append(writes)

    monkeypatch.setattr(world.log, "append", failing)
    with pytest.raises(LogUnreachable):
        courier.look()
    away = False
    courier.begin()
    away = True
    courier.door.answer(GRANTED)
    with pytest.raises(LogUnreachable):
        courier.look()
    away = False
    courier.begin()
    assert world.owner.step() == "granted" and len(courier.door.asked) == 1


def check_who_hangs_costs_others_nothing(world: World) -> None:
    """One endpoint never answers, one does at once."""
    courier = world.courier()
    courier.begin()
    courier.doors["t"].answer(GRANTED)
    courier.begin()
    courier.begin()
    assert world.owner.step("t") == "granted", "it waits for another"
    assert world.owner.step("s") == "asked"


def test_who_hangs_costs_others_nothing() -> None:
    check_who_hangs_costs_others_nothing(World("s", "t"))


def test_no_more_than_a_few_at_once() -> None:
    world = World(*(f"s{n}" for n in range(AT_ONCE + 5)))
    courier = world.courier()
    courier.begin()
    courier.begin()
    assert sum(len(door.asked) for door in courier.doors.values()) == AT_ONCE
    for door in courier.doors.values():
        if door.asked:
            door.answer(GRANTED)
    for _ in range(3):
        courier.begin()
    assert sum(len(door.asked) for door in courier.doors.values()) == AT_ONCE + 5


def test_each_callback_is_another_and_its_digest_alone_is_stored(world: World) -> None:
    courier = world.courier()
    courier.begin()
    courier.hear(REFUSED)
    world.repeat()
    courier.begin()
    courier.look()
    (_, first), (_, second) = courier.door.asked
    known = world.owner.known()
    tokens = [each.callback.removeprefix("https://a.example/handshakes/") for each in (first, second)]
    assert len(set(tokens)) == 2 and first.code != second.code and all(len(token) == 43 for token in tokens)
    assert known is not None and known.token == token_digest(tokens[1])
    assert all(secret not in repr(first) for secret in (first.code, tokens[0]))


def test_without_a_public_url_no_callback_is_offered(world: World) -> None:
    courier = world.courier(callbacks="")
    courier.begin()
    known = world.owner.known()
    assert courier.door.asked[0][1].callback == "" and known is not None and known.token == ""
