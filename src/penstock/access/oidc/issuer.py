"""Which issuer is believed, and what its roles mean here."""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...errors import DeclarationError
from ...loopback import is_loopback

LEEWAY_LIMIT_S = 60.0  # seconds
ROLES_LIMIT = 1_000
SIGNED_WITH = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
    "Ed25519": "Ed25519",
}
"""The algorithms that may be allowed, each with the kind of key that it takes (RFC 7518 §3.1, RFC 8037, RFC 9864).
None of them is symmetric: what this side knows would sign as well as check."""
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")

_PRINTABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer of tokens. Raises ``DeclarationError`` for what could not work or is not allowed.

    ``url``: as the tokens' ``iss`` has it, to the letter. ``audiences``: a token is for one of them at least.
    ``roles``: what each role gives, a text of rights that is not looked into here. ``roles_claim``: where the roles of
    a token are: the name of a claim; or a path with dots, as ``realm_access.roles``; or a name with ``://`` in it,
    whose dots are its own. ``jwks_uri``: where its keys are; without it, where its discovery document says.
    ``authorities``: a PEM file with certificates to trust in place of the usual ones. ``leeway_s``: seconds by which
    its clock and this one may differ, 60 at most.
    """

    url: str
    audiences: tuple[str, ...]
    roles: Mapping[str, str]
    roles_claim: str = "roles"
    algorithms: tuple[str, ...] = ALGORITHMS
    jwks_uri: str = ""
    authorities: str = ""
    leeway_s: float = 30.0

    def __post_init__(self) -> None:
        if why := unsafe(self.url):
            raise DeclarationError(f"the issuer {_without_user(self.url)!r} {why}")
        if "?" in self.url or "#" in self.url:
            raise DeclarationError(f"the issuer {self.url!r} has a query or a fragment, which no issuer has")
        if self.jwks_uri and (why := unsafe(self.jwks_uri)):
            raise DeclarationError(f"jwks_uri {_without_user(self.jwks_uri)!r} {why}")
        if not self.audiences or not all(self.audiences):
            raise DeclarationError(
                "no audience: name what the issuer calls this API, else its tokens for any other would be admitted"
            )
        if not self.algorithms:
            raise DeclarationError(f"no algorithm is allowed; there are {', '.join(SIGNED_WITH)}")
        for name in self.algorithms:
            if name not in SIGNED_WITH:
                raise DeclarationError(f"tokens signed with {name!r} are not taken; there are {', '.join(SIGNED_WITH)}")
        if not all(self.claim_path):
            raise DeclarationError(f"{self.roles_claim!r} is no claim: a name, or several with dots between them")
        self._check_roles()
        if not (math.isfinite(self.leeway_s) and 0 <= self.leeway_s <= LEEWAY_LIMIT_S):
            raise DeclarationError(f"a leeway of {self.leeway_s:g} s is not 0 to {LEEWAY_LIMIT_S:g}: set the clocks")
        if self.authorities:
            try:
                ssl.create_default_context(cafile=self.authorities)
            except OSError as error:  # an SSLError is one
                raise DeclarationError(f"authorities={self.authorities} holds no certificates ({error})") from None

    @property
    def claim_path(self) -> tuple[str, ...]:
        """The names that lead to the roles, from the outside in."""
        return (self.roles_claim,) if "://" in self.roles_claim else tuple(self.roles_claim.split("."))

    def _check_roles(self) -> None:
        if not self.roles:
            raise DeclarationError("no role gives a right, so no token would: say what each role gives")
        if len(self.roles) > ROLES_LIMIT:
            raise DeclarationError(f"{len(self.roles)} roles are more than {ROLES_LIMIT}")
        for role, rights in self.roles.items():
            if not role or not isinstance(rights, str) or not rights.strip():
                raise DeclarationError(f"the role {role!r} gives {rights!r}; write a text of rights")


def unsafe(url: str, *, here: bool = True) -> str:
    """Why nothing that decides who comes in may be fetched there; empty: it may. ``here``: also without TLS, from this
    machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return f"is no URL ({error})"
    if not _PRINTABLE.fullmatch(url) or not host:
        return "is no URL of a host"
    if parts.username is not None or parts.password is not None:
        return "has a user or a password in it"
    if parts.scheme != "https" and not (here and parts.scheme == "http" and is_loopback(host)):
        return "is not https, so anybody on the way could give out keys of their own"
    return ""


def _without_user(url: str) -> str:
    """For an error: what stands before the ``@`` may be a password."""
    return re.sub(r"//[^/]*@", "//…@", url)
