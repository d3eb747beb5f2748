from __future__ import annotations

from penstock.plan.reachability import reached


def test_the_nearest_come_first() -> None:
    assert reached(["a"], {"a": ["b", "c"], "b": ["d"], "c": ["d", "e"]}) == ["b", "c", "d", "e"]


def test_a_start_is_reached_by_a_circle_only() -> None:
    assert reached(["a"], {"a": ["b"]}) == ["b"]
    assert reached(["a"], {"a": ["b"], "b": ["a"]}) == ["b", "a"]
    assert reached(["a", "b"], {"a": ["b"]}) == ["b"]
