from hypothesis import given
from hypothesis import strategies as st

from penstock.log.reading.fair_share import share


@given(st.dictionaries(st.integers(), st.integers(1, 500), max_size=20), st.integers(0, 1_000))
def test_shares_use_the_whole_budget_and_are_fair(available: dict[int, int], budget: int) -> None:
    shares = share(available, budget)
    assert sum(shares.values()) == min(budget, sum(available.values()))
    assert all(0 < count <= available[key] for key, count in shares.items())
    short = [count for key, count in shares.items() if count < available[key]]
    assert not short or max(shares.values()) - min(short) <= 1


def test_with_fewer_rows_than_partitions_the_first_in_turn_get_one() -> None:
    assert share({"a": 9, "b": 9, "c": 9}, 2) == {"a": 1, "b": 1}
