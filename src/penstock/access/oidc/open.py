"""The issuer that the environment names, and the door-keeper for its tokens.

PENSTOCK_OIDC_ISSUER       as the tokens' ``iss`` has it; with it the others count
PENSTOCK_OIDC_AUDIENCE     what the issuer calls this API; several with blanks between them
PENSTOCK_OIDC_ROLES        what each role gives: a JSON object, or the path of a file with one
PENSTOCK_OIDC_ROLES_CLAIM  where a token has its roles: ``roles``, or say ``realm_access.roles``
PENSTOCK_OIDC_ALGORITHMS   what tokens may be signed with, blanks between them
PENSTOCK_OIDC_JWKS_URI     where the keys are, if not where the issuer's discovery document says
PENSTOCK_OIDC_AUTHORITIES  a PEM file, of the authorities to trust in place of the usual ones
PENSTOCK_OIDC_LEEWAY       seconds by which the clocks may differ
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ...clock import Clock
from ...errors import CannotStart, DeclarationError, install
from ..rights import Rights
from .issuer import Issuer

if TYPE_CHECKING:
    from .tokens import Tokens

PREFIX = "PENSTOCK_OIDC_"
FIELDS = {
    "ISSUER": "url",
    "AUDIENCE": "audiences",
    "ROLES": "roles",
    "ROLES_CLAIM": "roles_claim",
    "ALGORITHMS": "algorithms",
    "JWKS_URI": "jwks_uri",
    "AUTHORITIES": "authorities",
    "LEEWAY": "leeway_s",
}
ROLES_BYTES = 1 << 20  # bytes of a file of roles


def issuer_from_env(environ: Mapping[str, str] | None = None) -> Issuer | None:
    """None where no issuer is named. Raises ``DeclarationError``, which names the variable, for what could not work."""
    given = os.environ if environ is None else environ
    found = {name.removeprefix(PREFIX): text for name, text in given.items() if name.startswith(PREFIX)}
    for name in found:
        if name not in FIELDS:
            near = get_close_matches(name, FIELDS, 1) or list(FIELDS)
            raise DeclarationError(f"there is no setting {PREFIX}{name}; did you mean {PREFIX}{' or '.join(near)}?")
    if not found:
        return None
    for name in ("ISSUER", "AUDIENCE", "ROLES"):
        if not found.get(name, "").strip():
            said = ", ".join(PREFIX + other for other in found)
            raise DeclarationError(f"{PREFIX}{name} is not set, without which {said} means nothing: see docs/oidc.md")
    fields: dict[str, Any] = {FIELDS[name]: _value(name, text) for name, text in found.items()}
    try:
        return Issuer(**fields)
    except DeclarationError as error:
        raise DeclarationError(f"{PREFIX}*: {error}") from None


def checked_issuer() -> Issuer | None:
    """The same, where the rights of its roles are such. Raises ``DeclarationError`` too for one whose are none."""
    issuer = issuer_from_env()
    for role, rights in issuer.roles.items() if issuer is not None else ():
        try:
            Rights.parse(rights)
        except DeclarationError as error:
            raise DeclarationError(f"{PREFIX}ROLES: role {role!r}: {error}") from None
    return issuer


def open_tokens(issuer: Issuer, clock: Clock) -> Tokens:
    """Asks nothing of the issuer yet: ``start`` does. Raises ``CannotStart`` where the library is missing."""
    try:
        from .tokens import Tokens
    except ImportError as error:
        raise CannotStart(f"tokens of an issuer need: {install('oidc')} ({error})") from None
    return Tokens(issuer, clock)


def _value(name: str, text: str) -> object:
    if name in ("AUDIENCE", "ALGORITHMS"):
        return tuple(text.split())
    if name == "ROLES":
        return _roles(text.strip())
    if name != "LEEWAY":
        return text.strip()
    try:
        return float(text)
    except ValueError:
        raise DeclarationError(f"{PREFIX}{name}={text!r} is not a number of seconds") from None


def _roles(text: str) -> dict[str, str]:
    where = PREFIX + "ROLES"
    written: str | bytes = text
    if not text.startswith("{"):
        where += f"={text}"
        try:
            with Path(text).open("rb") as file:
                written = file.read(ROLES_BYTES + 1)
        except OSError as error:
            raise DeclarationError(
                f"{where} cannot be read ({error.strerror}); it is a JSON object, or the path of a file with one"
            ) from None
        if len(written) > ROLES_BYTES:
            raise DeclarationError(f"{where} is larger than {ROLES_BYTES} bytes")
    try:
        return msgspec.json.decode(written, type=dict[str, str])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DeclarationError(
            f'{where} is not a JSON object of texts ({error}); write, for instance, {{"operator": "RIGHTS"}}'
        ) from None
