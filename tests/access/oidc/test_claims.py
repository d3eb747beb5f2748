"""From a token's claims to rights. What is refused is in ``bad_tokens``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.access.oidc.claims import Verified, check_time, read_claims
from penstock.access.oidc.faults import TokenFault
from penstock.access.oidc.issuer import Issuer
from penstock.errors import TokenRefused

ISSUER = Issuer("https://issuer.example", ("api://a", "api://b"), {"operator": "append:tx", "auditor": "read:*"})
CLAIMS = {"iss": ISSUER.url, "sub": "s", "aud": "api://b", "exp": 100}


def read(claims: dict[str, Any], issuer: Issuer = ISSUER) -> Verified:
    return read_claims(json.dumps(CLAIMS | claims).encode(), issuer)


def of(claim: str) -> Issuer:
    return Issuer(ISSUER.url, ISSUER.audiences, ISSUER.roles, claim)


@pytest.mark.parametrize(
    ("claims", "claim", "roles"),
    [
        ({}, "roles", ()),
        ({"roles": None}, "roles", ()),
        ({"roles": []}, "roles", ()),
        ({"roles": ["auditor"]}, "roles", ("auditor",)),
        ({"roles": ["auditor", "other", "operator", "auditor"]}, "roles", ("auditor", "operator")),
        ({"scope": "openid operator  auditor"}, "scope", ("operator", "auditor")),
        ({"realm_access": {"roles": ["operator"]}, "roles": ["auditor"]}, "realm_access.roles", ("operator",)),
        ({"realm_access": {}}, "realm_access.roles", ()),
        ({"resource_access": {"penstock": {"roles": ["operator"]}}}, "resource_access.penstock.roles", ("operator",)),
        ({"https://issuer.example/roles": ["auditor"]}, "https://issuer.example/roles", ("auditor",)),
        ({"realm_access.roles": ["operator"]}, "realm_access.roles", ()),
    ],
)
def test_roles_are_read_where_they_are(claims: dict[str, Any], claim: str, roles: tuple[str, ...]) -> None:
    found = read(claims, of(claim))
    assert found.roles == roles and found.rights == tuple(ISSUER.roles[role] for role in roles)


@pytest.mark.parametrize("claims", [{"realm_access": ["roles"]}, {"realm_access": {"roles": {"operator": 1}}}])
def test_roles_of_another_form_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused) as refused:
        read(claims, of("realm_access.roles"))
    assert refused.value.reason == TokenFault.CLAIMS and "realm_access.roles" in refused.value.detail


@pytest.mark.parametrize("aud", ["api://a", ["api://b"], ["account", "api://a"]])
def test_one_audience_is_enough(aud: Any) -> None:
    assert read({"aud": aud}).subject == "s"


def test_times_may_have_fractions() -> None:
    found = read({"exp": 100.25, "nbf": 99.5})
    assert (found.not_before, found.expires) == (99_500_000, 100_250_000)
    check_time(found, 100_249_999, 0)
    with pytest.raises(TokenRefused, match="not admitted") as refused:
        check_time(found, 99_499_999, 0)
    assert refused.value.reason == TokenFault.EARLY
