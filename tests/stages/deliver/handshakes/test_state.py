"""What is known of handshakes, as an area of the system, and what its owner decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.system.area_contract import AreaContract

from penstock.stages.deliver.handshakes.messages import (
    BeginHandshake,
    EndHandshake,
    GrantHandshake,
    HandshakeChanged,
    RepeatHandshake,
)
from penstock.stages.deliver.handshakes.state import HandshakeState
from penstock.system.messages import Command, Malformed, Message, Refused

TOKEN, MINUTE = "d1", 60_000_000


def begin(number: int = 0, subscription: str = "s", **given: Any) -> BeginHandshake:
    known: dict[str, Any] = {"id": f"b{number}", "endpoint": "e", "token": TOKEN, "patience": 300.0}
    return BeginHandshake(subscription=subscription, number=number, **(known | given))


def end(number: int, verdict: Any, **given: Any) -> EndHandshake:
    return EndHandshake(id=f"e{number}", subscription="s", number=number, verdict=verdict, **given)


def grant(at: int, token: str = TOKEN) -> GrantHandshake:
    return GrantHandshake(id=f"g{at}", token=token, at=at, per_minute=120)


REPEAT = RepeatHandshake(id="r", subscription="s")


def after(*commands: tuple[Command, int]) -> tuple[HandshakeState, list[Message]]:
    """Each asked for at a time, and answered."""
    state, said = HandshakeState(), list[Message]()
    for command, now in commands:
        for event in state.decide(command, now=now):
            state.apply(event)
            said.append(event)
    return state, said


def step(*commands: tuple[Command, int]) -> str:
    return after(*commands)[0].known["s"].step


class TestHandshakes(AreaContract):
    def new(self) -> HandshakeState:
        return HandshakeState()

    def life(self) -> Sequence[Message]:
        asked = [(begin(), 1), (end(1, "later", reason="no code"), 2), (begin(0, "t", token=""), 3), (grant(4), 4)]
        refused = Refused(kind="invalid", reason="no", causationid="x", area="handshakes")
        return [begin(), *after(*asked)[1], refused]

    def command(self) -> Command:
        return begin(0, "u", id="another")


def test_what_leads_where() -> None:
    assert step((begin(), 1)) == "asked"
    assert step((begin(), 1), (end(1, "granted"), 2)) == "granted"
    assert step((begin(), 1), (end(1, "refused"), 2)) == "failed"
    assert step((begin(), 1), (end(1, "later"), 2)) == "awaiting"
    assert step((begin(), 1), (end(1, "later"), 2), (grant(3), 3)) == "granted"
    assert step((begin(), 1), (grant(2), 2)) == "granted", "before the endpoint has answered the request"
    assert step((begin(), 1), (grant(2), 2), (end(1, "refused"), 3)) == "granted"
    assert step((begin(), 1), (end(1, "later"), 2), (end(2, "refused"), 3)) == "failed"
    assert step((begin(), 1), (end(1, "refused"), 2), (REPEAT, 3)) == "wanted"
    assert step((begin(), 1), (end(1, "later"), 2), (REPEAT, 3), (grant(4), 4)) == "wanted"
    assert step((begin(), 1), (end(1, "granted"), 2), (REPEAT, 3)) == "granted"
    assert step((begin(), 1), (REPEAT, 3)) == "asked"


def test_of_several_couriers_one_asks() -> None:
    state, said = after((begin(id="mine"), 1), (begin(id="other"), 1))
    assert len(said) == 1 and state.known["s"].causationid == "mine"


def test_what_ended_is_not_ended_by_who_comes_late() -> None:
    assert step((begin(), 1), (end(1, "refused"), 2), (begin(2), 3), (end(1, "granted"), 4)) == "asked"


def test_what_was_granted_is_known_of_that_endpoint_alone() -> None:
    state, _ = after((begin(), 1), (end(1, "granted", per_minute=7), 2))
    known = state.granted("s", "e")
    assert known is not None and known.per_minute == 7
    assert state.granted("s", "another") is None and state.granted("t", "e") is None


def check_the_callback_holds_once_and_for_its_time() -> None:
    asked = [(begin(patience=300.0), 0), (end(1, "later"), 1)]
    assert step(*asked, (grant(299_999_999), 299_999_999)) == "granted"
    assert step(*asked, (grant(300_000_000), 300_000_000)) == "awaiting", "it was opened too late"
    state, said = after(*asked, (grant(2), 2), (grant(3), 3))
    assert len(said) == 3, "it was opened twice"
    assert state.open_at(TOKEN, 4) is None
    state, _ = after(*asked, (grant(2, "another"), 2), (grant(3, ""), 3))
    assert state.known["s"].step == "awaiting", "a guess granted it"


def test_the_callback_holds_once_and_for_its_time() -> None:
    check_the_callback_holds_once_and_for_its_time()


def test_mutant_that_never_expires_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = HandshakeState.open_at
    monkeypatch.setattr(HandshakeState, "open_at", lambda state, token, at: plain(state, token, min(at, 9)))
    with pytest.raises(AssertionError, match="too late"):
        check_the_callback_holds_once_and_for_its_time()


def test_mutant_whose_callback_holds_for_ever_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = HandshakeState.apply

    def apply(state: HandshakeState, message: Message) -> None:
        if isinstance(message, HandshakeChanged) and message.step == "granted":
            again = state.known[message.subscription]
            message = msgspec.structs.replace(message, step="awaiting", token=again.token, until=again.until)
        plain(state, message)

    def check() -> None:
        asked = [(begin(), 0), (end(1, "later"), 1), (grant(2), 2), (grant(3), 3)]
        assert len(after(*asked)[1]) == 3, "it was opened twice"

    check()
    monkeypatch.setattr(HandshakeState, "apply", apply)
    with pytest.raises(AssertionError, match="opened twice"):
        check()


def test_without_a_callback_nothing_opens_it() -> None:
    state, _ = after((begin(token=""), 0), (grant(1, ""), 1))
    assert state.known["s"].step == "asked" and state.open_at("", 0) is None


def test_digests_that_are_over_are_forgotten() -> None:
    state = HandshakeState()
    for number in range(50):
        for command in (begin(2 * number, token=f"t{number}"), end(2 * number + 1, "refused")):
            for event in state.decide(command, now=1):
                state.apply(event)
    assert state.known["s"].number == 100 and not state._by_token


@pytest.mark.parametrize(
    "command", [begin(id=""), begin(patience=0.0), Malformed(id="m", reason="bad", of=begin().TYPE)]
)
def test_what_cannot_be_asked_for_is_refused(command: Command) -> None:
    (said,) = HandshakeState().decide(command, now=1)
    assert isinstance(said, Refused) and said.area == "handshakes" and said.kind == "invalid"


def test_what_comes_of_nothing_changes_nothing() -> None:
    for command in (end(1, "granted"), grant(1), REPEAT, begin(7)):
        assert after((command, 1)) == (HandshakeState(), [])
