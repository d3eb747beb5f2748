from __future__ import annotations

import pytest

import penstock as ps
from penstock.errors import DeclarationError
from penstock.plan.references import ReferenceSpec, value_of


def test_a_reference_is_as_the_file_writes_it() -> None:
    assert str(ps.secret("KEY").spec) == "ps.secret('KEY')"
    assert ps.env("URL", "here").spec == ReferenceSpec("env", "URL", "here")


def test_the_value_is_looked_up_where_it_is_asked_for() -> None:
    url = ReferenceSpec("env", "URL", "here")
    assert url.resolve({}) == "here" and url.resolve({"URL": "there"}) == "there"
    key = ReferenceSpec("secret", "KEY")
    assert not key.is_given({}) and key.is_given({"KEY": ""})
    with pytest.raises(DeclarationError, match=r"ps.secret\('KEY'\) has no value: set the environment variable KEY"):
        key.resolve({})


def test_what_has_no_value_is_none() -> None:
    assert value_of(None, {}) is None and value_of("text", {}) == "text"
    assert value_of(ReferenceSpec("env", "URL"), {}) is None
    assert value_of(ReferenceSpec("env", "URL"), {"URL": "x"}) == "x"
