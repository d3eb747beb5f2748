from __future__ import annotations

import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.declare.values import microseconds
from penstock.errors import DeclarationError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200ms", 200_000),
        ("1h30m", 5_400_000_000),
        ("7d", 604_800_000_000),
        ("0.5s", 500_000),
        ("2w", 2 * 604_800_000_000),
        ("10us", 10),
        (timedelta(minutes=5), 300_000_000),
    ],
)
def test_durations(text: ps.Duration, expected: int) -> None:
    assert microseconds(text, "retain") == expected


@given(st.integers(1, 10**15))
def test_a_timedelta_is_kept_to_the_microsecond(count: int) -> None:
    assert microseconds(timedelta(microseconds=count), "retain") == count


@pytest.mark.parametrize(
    "text", ["", "7", "7 days", "-1s", "0s", "1x", "d", "1e3s", "99999999w", 5, None, "0.0000001s"]
)
def test_a_duration_that_is_none_says_what_to_write(text: object) -> None:
    with pytest.raises(DeclarationError, match=r"test_values\.py:\d+: retain="):
        microseconds(text, "retain")  # type: ignore[arg-type]


def test_references_have_no_value_before_the_start() -> None:
    url, key = ps.env("URL", "http://x"), ps.secret("KEY")
    assert (str(url), repr(url), str(key), repr(key)) == ("env:URL", "ps.env('URL')", "secret:KEY", "ps.secret('KEY')")
    assert url.resolve({}) == "http://x"
    assert url.resolve({"URL": "http://y"}) == "http://y"
    assert key.resolve({"KEY": "hush"}) == "hush"
    assert "hush" not in repr(key)
    with pytest.raises(DeclarationError, match="set the environment variable KEY"):
        key.resolve({})
    again = pickle.loads(pickle.dumps(url))
    assert (again, again.variable, again.default) == (url, "URL", "http://x")


@pytest.mark.parametrize("name", ["", "A B", "1A", "A=B", 3])
def test_a_variable_needs_a_name(name: str) -> None:
    with pytest.raises(DeclarationError, match="cannot be the name of an environment variable"):
        ps.env(name)


def test_retry_is_checked() -> None:
    assert ps.Retry(ttl="24h").ttl_seconds == 86_400
    for wrong in ({"attempts": 0}, {"attempts": True}, {"ttl": "soon"}):
        with pytest.raises(DeclarationError, match=r"test_values\.py"):
            ps.Retry(**wrong)
