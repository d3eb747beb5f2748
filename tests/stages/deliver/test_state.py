"""What is known of deliveries, as an area of the system."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from tests.system.area_contract import AreaContract

from penstock.stages.deliver.state import (
    TOKENS,
    Behind,
    DeliveryState,
    Failing,
    Following,
    PartitionTaken,
    Position,
    Recovered,
    SubscriptionChanged,
)
from penstock.system.messages import Disabled, Message

GONE = Disabled(subscription="b", source="t", endpoint="https://b.example", outcome="Disabled", reason="410", at=3)


class TestDeliveries(AreaContract):
    decides = False

    def new(self) -> DeliveryState:
        return DeliveryState()

    def life(self) -> Sequence[Message]:
        return [
            Following(topic="t", partition=0, subscriptions=("a", "b"), since=4),
            Behind(topic="t", partition=0, subscription="b", through=9),
            Behind(topic="t", partition=1, subscription="a", through=-1),
            SubscriptionChanged(subscription="a", paused=True, at=2),
            GONE,
            Failing(subscription="a", since=4),
            Failing(subscription="b", since=4),
            Failing(subscription="c", since=4),
            Recovered(subscription="c", at=6),
            SubscriptionChanged(subscription="a", paused=False, at=5),
        ]


def test_positions_and_halts_are_what_was_said_last() -> None:
    state = DeliveryState()
    for message in TestDeliveries().life():
        state.apply(message)
    assert state.of("t", 0) == {"a": Position(4, False), "b": Position(9, True)}
    assert state.of("t", 1) == {"a": Position(-1, True)} and not state.of("u", 0)
    assert [(name, halt.state, halt.reason) for name, halt in state.halted.items()] == [("b", "disabled", "410")]


def test_what_failed_before_it_recovered_or_was_resumed_counts_no_more() -> None:
    state = DeliveryState()
    for message in TestDeliveries().life():
        state.apply(message)
    assert state.failing == {"b": 4} and state.recovered == {"a": 5, "c": 6}
    state.apply(Failing(subscription="c", since=6))
    assert "c" not in state.failing, "told by who did not know of it yet"
    state.apply(Failing(subscription="c", since=7))
    state.apply(Failing(subscription="c", since=9))
    assert state.failing["c"] == 7
    state.apply(Recovered(subscription="c", at=3))
    assert state.failing["c"] == 7 and state.recovered["c"] == 6
    state.apply(SubscriptionChanged(subscription="c", paused=False, at=10))
    assert "c" not in state.failing


def test_what_was_saved_by_a_version_before_is_restored() -> None:
    state = DeliveryState()
    state.restore(msgspec.msgpack.encode({"positions": [], "halted": {}}))
    assert state == DeliveryState()


def test_only_the_last_tokens_are_remembered() -> None:
    state = DeliveryState()
    for n in range(TOKENS + 1):
        state.apply(PartitionTaken(token=str(n)))
    assert not state.has_seen("0") and state.has_seen("1") and state.has_seen(str(TOKENS))


def test_what_was_not_saved_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        DeliveryState().restore(msgspec.msgpack.encode({"positions": 1, "halted": {}}))
