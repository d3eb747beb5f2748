import random

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.log.reading.assignment import moves, quota


@given(st.integers(1, 40), st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True), st.integers(0, 9))
def test_quotas_are_even_and_add_up(partitions: int, members: list[int], turn: int) -> None:
    shares = [quota(partitions, members, me, turn) for me in members]
    assert sum(shares) == partitions and max(shares) - min(shares) <= 1


@settings(max_examples=60)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 5), st.randoms(use_true_random=False))
def test_members_acting_one_by_one_come_to_rest_with_everything_owned(
    partitions: int, count: int, turn: int, chance: random.Random
) -> None:
    members = list(range(count))
    owners: dict[int, int | None] = {p: chance.choice([*members, None]) for p in range(partitions)}
    moved = True
    while moved:
        moved = False
        for me in chance.sample(members, count):
            give, claim = moves(owners, members, me, turn)
            owners.update(dict.fromkeys(give))
            owners.update(dict.fromkeys(claim, me))
            moved = moved or bool(give or claim)
    assert None not in owners.values()
    sizes = [list(owners.values()).count(me) for me in members]
    assert max(sizes) - min(sizes) <= 1


def test_who_is_at_its_share_keeps_what_it_has() -> None:
    owners: dict[str, str | None] = {"a": "me", "b": "me", "c": "you", "d": "you"}
    assert moves(owners, ["me", "you"], "me", 0) == ([], [])


def test_the_first_of_its_own_are_kept() -> None:
    assert moves({"kept": 1, "given": 1}, [1, 2], 1, 0) == (["given"], [])
