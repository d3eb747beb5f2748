from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.declare.planning.findings import FindingCollector
from penstock.deploy.names import Titled, check_unique, dashed


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("shop", "API_KEY"), "shop-api-key"),
        (("a.b", "c"), "a-b-c"),
        (("_a_",), "a"),
        (("a__b",), "a-b"),
        (("__",), ""),
    ],
)
def test_names_of_small_letters_and_dashes(parts: tuple[str, ...], name: str) -> None:
    assert dashed(*parts) == name


@given(st.text("aAbB09._-", max_size=12))
def test_a_dashed_name_stays_as_it_is(name: str) -> None:
    assert dashed(dashed(name)) == dashed(name)


def test_of_two_that_become_one_the_second_is_told() -> None:
    report = FindingCollector()
    check_unique([Titled("a", "Name", "f:1", ""), Titled("b", "x", "f:2", ""), Titled("c", "name", "f:3", "m")], report)
    assert [str(finding) for finding in report.findings] == ["f:3: c and a (f:1) would both be called 'name'\n    m"]
