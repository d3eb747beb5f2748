"""Settings that could not work, or would let the wrong ones in, are said at start."""

from __future__ import annotations

import math
from typing import Any

import pytest

from penstock.access.oidc.issuer import ALGORITHMS, ROLES_LIMIT, SIGNED_WITH, Issuer
from penstock.errors import DeclarationError

URL = "https://issuer.example/realms/tests"
GOOD: dict[str, Any] = {"url": URL, "audiences": ("api://penstock",), "roles": {"operator": "append:tx"}}


@pytest.mark.parametrize(
    "more",
    [
        {"url": "https://accounts.google.com"},
        {"url": "https://issuer.example/"},
        {"url": "http://127.0.0.1:8080/realms/a"},
        {"url": "http://[::1]:8080"},
        {"url": "http://localhost:8080/"},
        {"jwks_uri": "https://issuer.example/keys?p=policy"},
        {"leeway_s": 0},
        {"leeway_s": 60},
        {"algorithms": tuple(SIGNED_WITH)},
    ],
)
def test_what_works(more: dict[str, Any]) -> None:
    assert Issuer(**GOOD | more).url


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"url": ""}, "is no URL of a host"),
        ({"url": "issuer.example"}, "is no URL of a host"),
        ({"url": "https://"}, "is no URL of a host"),
        ({"url": "http://issuer.example"}, "is not https"),
        ({"url": "http://127.0.0.1.issuer.example"}, "is not https"),
        ({"url": "ftp://127.0.0.1/"}, "is not https"),
        ({"url": "https://user:secret@issuer.example"}, "a user or a password"),
        ({"url": "https://@issuer.example"}, "a user or a password"),
        ({"url": "https://issuer.example:port"}, "is no URL"),
        ({"url": "https://issuer.example/a b"}, "is no URL of a host"),
        ({"url": "https://issuer.example/\r\nx: y"}, "is no URL of a host"),
        ({"url": f"{URL}?a=b"}, "query or a fragment"),
        ({"url": f"{URL}#a"}, "query or a fragment"),
        ({"jwks_uri": "http://issuer.example/keys"}, "jwks_uri .* is not https"),
        ({"audiences": ()}, "no audience"),
        ({"audiences": ("a", "")}, "no audience"),
        ({"algorithms": ()}, "no algorithm"),
        ({"algorithms": ("RS256", "none")}, "'none' are not taken"),
        ({"algorithms": ("HS256",)}, "'HS256' are not taken"),
        ({"algorithms": ("rs256",)}, "'rs256' are not taken"),
        ({"roles": {}}, "no role gives a right"),
        ({"roles": {"operator": " "}}, "write a text of rights"),
        ({"roles": {"": "x"}}, "write a text of rights"),
        ({"roles": {"operator": 7}}, "write a text of rights"),
        ({"roles": {str(n): "x" for n in range(ROLES_LIMIT + 1)}}, f"more than {ROLES_LIMIT}"),
        ({"roles_claim": ""}, "is no claim"),
        ({"roles_claim": "realm_access."}, "is no claim"),
        ({"leeway_s": 60.1}, "leeway of 60.1 s"),
        ({"leeway_s": -1}, "leeway of -1 s"),
        ({"leeway_s": math.nan}, "leeway of nan s"),
    ],
)
def test_what_does_not(more: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        Issuer(**GOOD | more)


@pytest.mark.parametrize("field", ["url", "jwks_uri"])
@pytest.mark.parametrize("url", ["https://user:hunter2@issuer.example", "http://user:hunter2@x@issuer.example:port/"])
def test_a_password_is_not_repeated(field: str, url: str) -> None:
    with pytest.raises(DeclarationError, match="//…@issuer") as said:
        Issuer(**GOOD | {field: url})
    assert "hunter2" not in str(said.value)


def test_no_algorithm_is_symmetric() -> None:
    assert set(ALGORITHMS) <= set(SIGNED_WITH)
    assert not [name for name in SIGNED_WITH if name.startswith("HS") or name.lower() == "none"]


@pytest.mark.parametrize(
    ("claim", "path"),
    [
        ("roles", ("roles",)),
        ("realm_access.roles", ("realm_access", "roles")),
        ("https://issuer.example/roles", ("https://issuer.example/roles",)),
    ],
)
def test_the_way_to_the_roles(claim: str, path: tuple[str, ...]) -> None:
    assert Issuer(**GOOD | {"roles_claim": claim}).claim_path == path
