"""What a router has in hand: nothing begins before all is read that a former owner has said."""

from __future__ import annotations

from penstock.stages.deliver.shares import Shares
from penstock.stages.deliver.state import DeliveryState


def test_a_partition_begins_once_its_token_is_read_and_is_asked_of_once() -> None:
    state, asked = DeliveryState(), []

    def ends() -> dict[int, int]:
        asked.append(1)
        return {0: 9}

    shares = Shares(state, ends)
    shares.assigned(0, 4)
    shares.assigned(1, None)
    learned, told = shares.learn()
    assert learned == [] and [each.token for each in told] == [share.token for share in shares]
    assert shares.learn() == ([], []) and len(asked) == 1, "what is on its way is asked for again"
    state.apply(told[1])
    assert shares.learn() == ([shares[1]], []), "another begins, or none"
    shares[1].known = True
    assert shares.known() == [shares[1]] and shares.waiting() == [shares[0]]
    assert [share.end for share in shares] == [9, 0]


def test_one_that_was_given_back_is_asked_of_anew() -> None:
    state = DeliveryState()
    shares = Shares(state, dict)
    shares.assigned(0, 4)
    (_, (told,)) = shares.learn()
    shares.revoked(0)
    assert shares.get(0) is None and not shares.waiting()
    shares.assigned(0, 5)
    state.apply(told)  # of the time before
    learned, again = shares.learn()
    assert learned == [] and len(again) == 1 and again[0].token != told.token


def test_how_far_one_behind_has_to_come() -> None:
    shares = Shares(DeliveryState(), lambda: {0: 9, 1: 9})
    shares.assigned(0, 4)
    shares.assigned(1, None)
    shares.learn()
    assert shares[0].goal == 4, "the router reads on from there"
    assert shares[1].goal == 8, "the router began at an end that nobody knows"
