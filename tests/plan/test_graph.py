from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.plan.graph import Hop, hops, way
from penstock.plan.plan import FunctionSpec, Plan, ScoreSpec, SubscriptionSpec


def plan(*hops: tuple[str, str]) -> Plan:
    return Plan("p", "", "", (), tuple(FunctionSpec(f"s{i}", a, b, "event") for i, (a, b) in enumerate(hops)))


def test_hops_are_the_stages_that_feed_a_topic() -> None:
    stages = (FunctionSpec("sink", "a", None, "event"), ScoreSpec("score", "a", "b", "m"))
    assert hops(Plan("p", "", "", (), stages)) == [Hop("score", "a", "b")]


def test_a_subscription_is_no_hop() -> None:
    """A publisher that waits is not told when what it feeds has come."""
    copied = Plan("p", "", "", (), subscriptions=(SubscriptionSpec("s", "a", topic="b"),))
    assert hops(copied) == [] and way(copied, "a", "b") == []


def test_a_way_has_parents_before_children_and_nothing_beside_it() -> None:
    found = way(plan(("b", "c"), ("a", "b"), ("a", "x"), ("y", "c"), ("c", "d")), "a", "c")
    assert [hop.stage for hop in found] == ["s1", "s0"]


def test_there_is_no_way_against_the_stream() -> None:
    assert way(plan(("a", "b")), "b", "a") == []


def test_a_circle_ends() -> None:
    assert {hop.stage for hop in way(plan(("a", "b"), ("b", "a"), ("b", "c")), "a", "c")} == {"s0", "s1", "s2"}


NODES = st.sampled_from("abcdef")


@given(st.lists(st.tuples(NODES, NODES), max_size=12), NODES, NODES)
def test_a_way_holds_exactly_the_stages_between(known: list[tuple[str, str]], source: str, target: str) -> None:
    """By walking: each hop on it is reached from the source, and reaches the target."""

    def leads(start: str, end: str) -> bool:
        seen, ahead = {start}, [start]
        while ahead:
            here = ahead.pop()
            new = {b for a, b in known if a == here} - seen
            seen, ahead = seen | new, [*ahead, *new]
        return end in seen

    expected = {f"s{i}" for i, (a, b) in enumerate(known) if leads(source, a) and leads(b, target)}
    assert {hop.stage for hop in way(plan(*known), source, target)} == expected
