"""Who a client's certificate says it is, as ASGI has it: ``scope["extensions"]["tls"]``.

The keys are those of ASGI's TLS extension, 0.2. Only what was verified by the authorities that the doors were given
gets here, so a name is a name; who may do what under it is decided where it is asked who asks (``principal``).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from ..wire.asgi import Scope

EXTENSION = "tls"  # in a scope's ``extensions``
SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
"""RFC 4514 §3. Any other keeps the name that OpenSSL has for it."""
SPECIAL = ',+"\\<>;'
VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

Subject = Sequence[Sequence[tuple[str, str]]]
"""As ``ssl.SSLObject.getpeercert`` gives it: the names that go together, from the widest to the narrowest."""


def client_name(scope: Scope) -> str | None:
    """The subject of the certificate that the client has shown, such as ``CN=till 7,O=Shop`` (RFC 4514); None: it has
    shown none, or there is no TLS here."""
    said: Mapping[str, Any] = scope.get("extensions", {}).get(EXTENSION, {})
    name = said.get("client_cert_name")
    return None if name is None else str(name)


def extension(agreed: ssl.SSLObject) -> dict[str, Any]:
    """What the extension says of a connection that TLS is agreed upon for. ``client_cert_chain`` holds the client's
    own alone, in PEM."""
    shown, encoded = agreed.getpeercert(), agreed.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(encoded)] if encoded else [],
        "client_cert_name": distinguished_name(shown["subject"]) if shown else None,  # type: ignore[arg-type]
        "client_cert_error": None,  # who shows one that is refused gets no connection
        "tls_version": VERSIONS.get(agreed.version() or ""),
        "cipher_suite": None,
    }


def distinguished_name(subject: Subject) -> str:
    """RFC 4514 §2: from the narrowest to the widest, and no value can be taken for a further name."""
    parts = ("+".join(f"{SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in each) for each in subject)
    return ",".join(reversed(list(parts)))


def _escaped(value: str) -> str:
    """RFC 4514 §2.4."""
    found = "".join(f"\\{c}" if c in SPECIAL else "\\00" if c == "\0" else c for c in value)
    if found.startswith((" ", "#")):
        found = f"\\{found}"
    return f"{found[:-1]}\\ " if value.endswith(" ") and len(value) > 1 else found
