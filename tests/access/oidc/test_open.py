"""The environment's settings, and the library that they need."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penstock.access.oidc.issuer import Issuer
from penstock.access.oidc.open import FIELDS, PREFIX, ROLES_BYTES, checked_issuer, issuer_from_env, open_tokens
from penstock.clock import ManualClock
from penstock.errors import CannotStart, DeclarationError

GOOD = {
    "PENSTOCK_OIDC_ISSUER": "https://issuer.example",
    "PENSTOCK_OIDC_AUDIENCE": "api://penstock",
    "PENSTOCK_OIDC_ROLES": '{"operator": "append:tx"}',
}


def test_nothing_is_set() -> None:
    assert issuer_from_env({"PENSTOCK_DATA": "there", "OIDC_ISSUER": "x"}) is None


def test_what_has_to_be_set() -> None:
    assert issuer_from_env(GOOD) == Issuer("https://issuer.example", ("api://penstock",), {"operator": "append:tx"})


def test_all_that_can_be_set(tmp_path: Path) -> None:
    roles = tmp_path / "roles.json"
    roles.write_text('{"auditor": "read:*", "operator": "append:tx,read:risks"}')
    given = GOOD | {
        "PENSTOCK_OIDC_AUDIENCE": " api://penstock 7e1b ",
        "PENSTOCK_OIDC_ROLES": str(roles),
        "PENSTOCK_OIDC_ROLES_CLAIM": "realm_access.roles",
        "PENSTOCK_OIDC_ALGORITHMS": "ES256 RS256",
        "PENSTOCK_OIDC_JWKS_URI": "https://keys.example/keys",
        "PENSTOCK_OIDC_AUTHORITIES": "",
        "PENSTOCK_OIDC_LEEWAY": "12.5",
    }
    assert {name.removeprefix(PREFIX) for name in given} == set(FIELDS)
    assert issuer_from_env(given) == Issuer(
        "https://issuer.example",
        ("api://penstock", "7e1b"),
        {"auditor": "read:*", "operator": "append:tx,read:risks"},
        "realm_access.roles",
        ("ES256", "RS256"),
        "https://keys.example/keys",
        "",
        12.5,
    )


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ISSUER", None, "PENSTOCK_OIDC_ISSUER is not set"),
        ("AUDIENCE", " ", "PENSTOCK_OIDC_AUDIENCE is not set"),
        ("ROLES", None, "PENSTOCK_OIDC_ROLES is not set"),
        ("ISSUER", "http://issuer.example", "is not https"),
        ("AUDIENCES", "a", "did you mean PENSTOCK_OIDC_AUDIENCE?"),
        ("SECRET", "a", "there is no setting PENSTOCK_OIDC_SECRET"),
        ("ROLES", '{"operator": 1}', "PENSTOCK_OIDC_ROLES is not a JSON object of texts"),
        ("ROLES", "{", "PENSTOCK_OIDC_ROLES is not a JSON object of texts"),
        ("ROLES", "/nowhere/roles.json", "PENSTOCK_OIDC_ROLES=/nowhere/roles.json cannot be read"),
        ("ROLES", "/dev/zero", "is larger than"),
        ("ROLES", "{}", "no role gives a right"),
        ("LEEWAY", "long", "PENSTOCK_OIDC_LEEWAY='long' is not a number"),
        ("LEEWAY", "61", "leeway of 61 s"),
        ("ALGORITHMS", "none", "'none' are not taken"),
        ("ALGORITHMS", " ", "no algorithm"),
    ],
)
def test_a_mistake_is_said_by_name(name: str, value: str | None, why: str) -> None:
    given = {key: text for key, text in (GOOD | {PREFIX + name: value}).items() if text is not None}
    with pytest.raises(DeclarationError, match=why) as said:
        issuer_from_env(given)
    assert PREFIX in str(said.value)


def test_a_file_of_roles_has_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "roles.json"
    file.write_text('{"a": "' + "x" * ROLES_BYTES + '"}')
    with pytest.raises(DeclarationError, match="is larger than"):
        issuer_from_env(GOOD | {"PENSTOCK_OIDC_ROLES": str(file)})


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = issuer_from_env(GOOD)
    assert issuer is not None
    monkeypatch.delitem(sys.modules, "penstock.access.oidc.tokens", raising=False)
    monkeypatch.delitem(sys.modules, "penstock.access.oidc.key_set", raising=False)
    monkeypatch.delitem(sys.modules, "penstock.access.oidc.issuer_keys", raising=False)
    monkeypatch.setitem(sys.modules, "joserfc.errors", None)
    with pytest.raises(CannotStart, match=r"penstock-ml\[oidc\]"):
        open_tokens(issuer, ManualClock())
    monkeypatch.undo()
    assert open_tokens(issuer, ManualClock()).issuer is issuer


def test_rights_that_are_none_are_said_with_their_role(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    assert checked_issuer() == issuer_from_env(GOOD)
    monkeypatch.setenv("PENSTOCK_OIDC_ROLES", '{"operator": "write:tx"}')
    with pytest.raises(DeclarationError, match=r"PENSTOCK_OIDC_ROLES: role 'operator': 'write' is no verb"):
        checked_issuer()
