"""The keys that an issuer publishes (RFC 7517), as far as they can check a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import base64_to_int

from ...errors import IssuerUnusable
from .issuer import SIGNED_WITH

KEYS_LIMIT = 100
KID_CHARS = 256  # characters of a key's name
RSA_BITS = (2_048, 8_192)  # less is weak (RFC 7518 §3.3), more takes long to check
EXPONENT_BITS = 64
KINDS = {"RSA": ("RSA",), "EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",)}

PublicKey = RSAKey | ECKey | OKPKey


class WrittenKey(msgspec.Struct, frozen=True):
    """One key as it is written. What belongs to a private key, and certificates, are not read."""

    kty: str
    kid: str
    use: str = "sig"
    key_ops: tuple[str, ...] = ("verify",)
    alg: str = ""
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""

    @property
    def kind(self) -> str:
        """As ``SIGNED_WITH`` names it; empty for one that checks nothing."""
        named = self.kty if self.kty == "RSA" else self.crv
        return named if named in KINDS.get(self.kty, ()) else ""


class _Written(msgspec.Struct):
    keys: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """By name and kind: a token's algorithm meets no key that is not of its kind."""

    written: Mapping[tuple[str, str], WrittenKey] = field(default_factory=dict)
    keys: Mapping[tuple[str, str], PublicKey] = field(default_factory=dict, repr=False)
    names: frozenset[str] = frozenset()

    def find(self, kid: str, algorithm: str) -> PublicKey | None:
        """The key of that name that an algorithm of ``SIGNED_WITH`` takes."""
        found = (kid, SIGNED_WITH[algorithm])
        written = self.written.get(found)
        return None if written is None or written.alg not in ("", algorithm) else self.keys[found]


def read_key_set(body: bytes) -> PublicKeys:
    """Passes over keys of kinds that are not known here, and over damaged ones (RFC 7517 §5). Raises ``IssuerUnusable``
    where no key is left, or far too many are there."""
    try:
        written = msgspec.json.decode(body, type=_Written).keys
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise IssuerUnusable(f"its key set is no JSON Web Key Set ({error})") from None
    if len(written) > KEYS_LIMIT:
        raise IssuerUnusable(f"its key set has {len(written)} keys, more than {KEYS_LIMIT}")
    described: dict[tuple[str, str], WrittenKey] = {}
    keys: dict[tuple[str, str], PublicKey] = {}
    for raw in written:
        try:
            one = msgspec.json.decode(raw, type=WrittenKey)
            if one.use != "sig" or "verify" not in one.key_ops or not 0 < len(one.kid) <= KID_CHARS:
                continue
            if (key := _import(one)) is not None:
                described[one.kid, one.kind], keys[one.kid, one.kind] = one, key
        except (msgspec.DecodeError, ValueError, RecursionError, JoseError, UnsupportedAlgorithm):
            continue
    if not keys:
        raise IssuerUnusable("its key set has no key with a name (kid) that a token could be checked with")
    return PublicKeys(described, keys, frozenset(kid for kid, _ in keys))


def _import(one: WrittenKey) -> PublicKey | None:
    """None: no algorithm of ours takes it. Raises ``JoseError`` or ``ValueError`` for a damaged or an unsafe one, and
    ``UnsupportedAlgorithm`` where this machine's OpenSSL does not know its kind."""
    if not one.kind:
        return None
    if one.kty == "RSA":
        low, high = RSA_BITS
        if not low <= base64_to_int(one.n).bit_length() <= high or base64_to_int(one.e).bit_length() > EXPONENT_BITS:
            raise ValueError(f"an RSA key is not of {low} to {high} bits")
        return RSAKey.import_key({"kty": one.kty, "n": one.n, "e": one.e})
    if one.kty == "EC":
        return ECKey.import_key({"kty": one.kty, "crv": one.crv, "x": one.x, "y": one.y})
    return OKPKey.import_key({"kty": one.kty, "crv": one.crv, "x": one.x})
