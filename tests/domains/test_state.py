"""The area of domains: which topics there are, exactly, within a limit and in little room."""

from __future__ import annotations

import random
import sys
import tracemalloc
from collections.abc import Sequence

import pytest
from tests.system.area_contract import AreaContract

from penstock.domains import messages
from penstock.domains.messages import NEW_LIMIT, AddDomainTopics, DomainTopicsAdded
from penstock.domains.state import FULL, DomainState
from penstock.system.interface import Area
from penstock.system.messages import Command, Malformed, Message, Refused
from penstock.system.snapshots import pack


def added(domain: str, *names: str, by: str = "c") -> DomainTopicsAdded:
    return DomainTopicsAdded(domain=domain, names=names, causationid=by)


def asked(*names: str, id: str = "c1", domain: str = "tx") -> AddDomainTopics:
    return AddDomainTopics(id=id, domain=domain, names=names)


class TestDomains(AreaContract):
    def new(self) -> Area:
        return DomainState()

    def life(self) -> Sequence[Message]:
        refused = Refused(kind=FULL, reason="full", causationid="c0", area="domains")
        return [added("tx", "acme", "beta"), asked("gamma", id="c0"), refused, added("risks", "acme"), added("tx", "x")]

    def command(self) -> Command:
        return asked("acme", "new", "newer", "new")


def state(*told: DomainTopicsAdded) -> DomainState:
    made = DomainState()
    for each in told:
        made.apply(each)
    return made


def test_only_what_is_new_is_added_and_nothing_needs_no_answer() -> None:
    known = state(added("tx", "acme"))
    (event,) = known.decide(asked("beta", "acme", "beta"), now=1)
    assert event == added("tx", "beta", by="c1")
    assert known.decide(asked("acme"), now=1) == ()
    assert state(added("other", "acme")).decide(asked("acme"), now=1) != (), "another domain's topics are its own"


def test_all_of_a_command_or_nothing_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "LIMIT", 3)
    ahead = state(added("tx", "a", "b")).ahead()
    (refused,) = ahead.decide(asked("c", "d"), now=1)
    assert isinstance(refused, Refused) and refused.kind == FULL
    ahead.apply(refused)
    assert ahead.decide(asked("c", "d"), now=2) == (), "a refusal is told once"
    assert ahead.refusal("c1") == refused.reason
    (granted,) = ahead.decide(asked("c", id="c2"), now=3)
    ahead.apply(granted)
    assert ahead.count("tx") == 3 and not ahead.knows("tx", "d")
    assert isinstance(ahead.decide(asked("d", id="c3"), now=4)[0], Refused)


@pytest.mark.parametrize("command", [asked("a/b"), asked(""), asked(id=""), asked(*map(str, range(NEW_LIMIT + 1)))])
def test_what_cannot_be_is_refused(command: AddDomainTopics) -> None:
    if command.fault() is None:
        pytest.skip("nothing is asked for")
    (refused,) = DomainState().decide(command, now=1)
    assert isinstance(refused, Refused) and refused.kind == "invalid"


def test_a_command_that_cannot_be_read_is_answered() -> None:
    (refused,) = DomainState().decide(Malformed(id="m", reason="no JSON", of=AddDomainTopics.TYPE), now=1)
    assert isinstance(refused, Refused) and refused.reason == "no JSON"


def test_refusals_are_remembered_within_a_bound() -> None:
    known = DomainState()
    for n in range(3_000):
        known.apply(Refused(kind=FULL, reason="full", causationid=str(n), area="domains"))
    assert known.refusal("2999") == "full" and known.refusal("0") is None
    assert len(known.save()) < 100_000


def test_a_hundred_thousand_topics_take_little_room() -> None:
    chance = random.Random(1)
    names = [f"tenant-{chance.randrange(16**12):012x}" for _ in range(messages.LIMIT)]
    tracemalloc.start()
    try:
        known = state(*(added("tx", *map(str.lower, names[at : at + 1_000])) for at in range(0, len(names), 1_000)))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert known.count("tx") == messages.LIMIT
    assert taken < 20 << 20, f"{taken:,} bytes"
    assert len(pack(known.save())) < 2 << 20
    assert sys.getsizeof(known.ahead()) < 1_000, "what is decided ahead is no copy"
