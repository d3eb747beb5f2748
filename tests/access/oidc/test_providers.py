"""Documents, keys and tokens in the shapes of well-known providers, as they describe them themselves."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.access.oidc.issuers import NOW, NOW_US, key, token, written

from penstock.access.oidc.claims import check_time, read_claims
from penstock.access.oidc.fetching import Discovery, check_discovered
from penstock.access.oidc.issuer import Issuer
from penstock.access.oidc.key_set import read_key_set
from penstock.access.oidc.signatures import Signatures

TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
ENTRA = f"https://login.microsoftonline.com/{TENANT}/v2.0"
KEYCLOAK = "https://id.example.org/realms/plant"
GOOGLE = "https://accounts.google.com"
ROLES = {"Events.Append": "append:tx", "operator": "append:tx", "feed@plant.iam.gserviceaccount.com": "append:tx"}


class Provider(NamedTuple):
    issuer: Issuer
    document: dict[str, Any]
    keys: list[dict[str, Any]]
    claims: dict[str, Any]


PROVIDERS = {
    "Entra ID": Provider(
        Issuer(ENTRA, ("0b1c6d3a-31f2-4b0e-a29e-9a7b35b8a1ce",), ROLES),
        {
            "issuer": ENTRA,
            "jwks_uri": f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys",
            "token_endpoint": f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token",
            "id_token_signing_alg_values_supported": ["RS256"],
            "subject_types_supported": ["pairwise"],
            "tenant_region_scope": None,
            "cloud_instance_name": "microsoftonline.com",
        },
        [written(key("one"), x5t="AQAB", x5c=["MII"], cloud_instance_name="microsoftonline.com", issuer=ENTRA)],
        {
            "iss": ENTRA, "aud": "0b1c6d3a-31f2-4b0e-a29e-9a7b35b8a1ce", "iat": NOW, "nbf": NOW, "exp": NOW + 3_900,
            "aio": "k2RgYFg", "azp": "7c1f0e2d-5f60-4b2a-8a31-a2cbb04c7a55", "azpacr": "1", "idtyp": "app",
            "oid": "f2b6c1a4-6d0e-4f5c-8a39-0a3c4f1f1d10", "rh": "0.AX", "roles": ["Events.Append"],
            "sub": "f2b6c1a4-6d0e-4f5c-8a39-0a3c4f1f1d10", "tid": TENANT, "uti": "x", "ver": "2.0",
        },
    ),
    "Keycloak": Provider(
        Issuer(KEYCLOAK, ("penstock",), ROLES, "realm_access.roles"),
        {
            "issuer": KEYCLOAK,
            "jwks_uri": f"{KEYCLOAK}/protocol/openid-connect/certs",
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "id_token_signing_alg_values_supported": ["PS384", "RS384", "EdDSA", "HS256", "RS256", "none"],
            "mtls_endpoint_aliases": {"token_endpoint": f"{KEYCLOAK}/protocol/openid-connect/token"},
            "tls_client_certificate_bound_access_tokens": True,
        },
        [
            written(key("two"), use="enc", alg="RSA-OAEP", x5c=["MII"]),
            written(key("one"), alg="RS256", x5c=["MII"], x5t="AQ", **{"x5t#S256": "AQ"}),
        ],
        {
            "exp": NOW + 300, "iat": NOW, "jti": "trrtcc:7b", "iss": KEYCLOAK, "aud": ["penstock", "account"],
            "sub": "4b1b7a8e-30a3-4a1e-9a60-7c0a8a6ed1a2", "typ": "Bearer", "azp": "feed", "acr": "1",
            "realm_access": {"roles": ["default-roles-plant", "operator"]},
            "resource_access": {"account": {"roles": ["view-profile"]}}, "scope": "profile email",
            "clientHost": "10.0.0.7", "preferred_username": "service-account-feed", "client_id": "feed",
        },
    ),
    "Google": Provider(
        Issuer(GOOGLE, ("https://events.example.org",), ROLES, "email"),
        {
            "issuer": GOOGLE,
            "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["plain", "S256"],
        },
        [written(key("two"), alg="RS256"), written(key("one"), alg="RS256")],
        {
            "aud": "https://events.example.org", "azp": "1029384756", "email": "feed@plant.iam.gserviceaccount.com",
            "email_verified": True, "exp": NOW + 3_600, "iat": NOW, "iss": GOOGLE, "sub": "102938475610293847561",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_providers_token_gives_what_its_roles_give(name: str) -> None:
    issuer, document, published, claims = PROVIDERS[name]
    found = msgspec.json.decode(json.dumps(document).encode(), type=Discovery)
    check_discovered(found, "the document", issuer)
    assert found.jwks_uri == document["jwks_uri"]
    keys, signatures = read_key_set(json.dumps({"keys": published}).encode()), Signatures(issuer.algorithms)
    shown = token(claims, key("one"))
    head = signatures.read_head(shown)
    chosen = keys.find(head.kid, head.alg)
    assert chosen is not None
    verified = read_claims(signatures.payload(shown, head, chosen), issuer)
    check_time(verified, NOW_US, issuer.leeway_s)
    assert verified.subject == claims["sub"] and verified.rights == ("append:tx",)
