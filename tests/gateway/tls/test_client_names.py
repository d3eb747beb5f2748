"""Names of certificates as texts: no value of one can be taken for another name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.tls import client_names
from penstock.gateway.tls.client_names import client_name, distinguished_name


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ((), ""),
        (((("organizationName", "Shop"),), (("commonName", "till 7"),)), "CN=till 7,O=Shop"),
        (((("countryName", "NL"), ("userId", "u")), (("domainComponent", "shop"),)), "DC=shop,C=NL+UID=u"),
        (((("emailAddress", "a@b"),),), "emailAddress=a@b"),
        (((("commonName", "a,O=Bank"),),), "CN=a\\,O=Bank"),
        (((("commonName", 'a+b="<c>";\\'),),), 'CN=a\\+b=\\"\\<c\\>\\"\\;\\\\'),
        (((("commonName", "#1 "),),), "CN=\\#1\\ "),
        (((("commonName", " "),),), "CN=\\ "),
        (((("commonName", "a\0b"),),), "CN=a\\00b"),
    ],
)
def test_a_subject_as_rfc_4514_writes_it(subject: client_names.Subject, name: str) -> None:
    assert distinguished_name(subject) == name


TEXT = st.text(st.sampled_from('aO=,+"\\<>;# \0'), max_size=6)


@given(st.lists(TEXT, min_size=1, max_size=3))
def test_each_value_is_found_again(values: list[str]) -> None:
    name = distinguished_name([[("commonName", value)] for value in values])
    parts = re.findall(r"(?:\A|,)CN=((?:[^,\\]|\\00|\\.)*)", name)
    assert ",".join(f"CN={part}" for part in parts) == name
    found = [re.sub(r"\\(00|.)", lambda m: "\0" if m[1] == "00" else m[1], part) for part in parts]
    assert found == values[::-1], "one value is taken for another name"


def test_mutant_that_escapes_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_names, "_escaped", lambda value: value)
    with pytest.raises(AssertionError, match="one value is taken for another name"):
        test_each_value_is_found_again.hypothesis.inner_test([",CN=a"])  # type: ignore[attr-defined]


def test_the_name_in_a_scope() -> None:
    assert client_name({}) is None
    assert client_name({"extensions": {"tls": {"client_cert_name": None}}}) is None
    assert client_name({"extensions": {"tls": {"client_cert_name": "CN=till 7"}}}) == "CN=till 7"
