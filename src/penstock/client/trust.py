"""Whom a client trusts, and what it shows of itself: TLS 1.2 at least, and the server's certificate always looked at.

Of what is not given the environment is asked. The authorities are those of PENSTOCK_CA_FILE, or else of SSL_CERT_FILE
and SSL_CERT_DIR, as httpx and OpenSSL know them, or else Mozilla's (certifi).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from ..errors import TLSFailed

CA_FILE, CERTIFICATE, KEY = "PENSTOCK_CA_FILE", "PENSTOCK_CLIENT_CERTIFICATE", "PENSTOCK_CLIENT_KEY"
UNKNOWN = (18, 19, 20, 21)  # X509_V_ERR_… of OpenSSL for an authority that is not known here


def trusting(
    ca_file: Path | str | None = None, certificate: Path | str | None = None, key: Path | str | None = None
) -> ssl.SSLContext:
    """PEM files: the authorities to trust, and the certificate to show where a server asks for one, with its key unless
    that is in the same file. Raises ``TLSFailed`` for one that cannot be used, by its name."""
    ca_file = ca_file or os.environ.get(CA_FILE) or os.environ.get("SSL_CERT_FILE")
    folder = None if ca_file else os.environ.get("SSL_CERT_DIR")
    try:
        context = ssl.create_default_context(cafile=ca_file or (None if folder else _mozillas()), capath=folder)
    except (OSError, ValueError) as error:  # of which ``ssl.SSLError`` is one
        raise TLSFailed(f"the authorities to trust cannot be read from {ca_file or folder}: {_why(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate, key = certificate or os.environ.get(CERTIFICATE), key or os.environ.get(KEY)
    if certificate:
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")  # nobody is asked for a passphrase
        except (OSError, ValueError) as error:
            more = "" if key is None else f" with the key {key}"
            why = "it is not PEM, the key is not its own, or is encrypted" if _is_tls(error) else _why(error)
            raise TLSFailed(f"the client's certificate {certificate}{more} cannot be used: {why}") from None
    return context


def refusal(error: BaseException, url: str) -> TLSFailed | None:
    """What went wrong with TLS, if it did, and what to do; None: something else has failed."""
    found = next((each for each in _causes(error) if isinstance(each, ssl.SSLError)), None)
    if isinstance(found, ssl.SSLCertVerificationError):
        more = f"; name its authority with ca_file=, --ca-file or {CA_FILE}" if found.verify_code in UNKNOWN else ""
        return TLSFailed(f"the certificate of {url} is not trusted: {found.verify_message.rstrip('.')}{more}")
    if found is not None:
        return TLSFailed(f"{url} does not agree on TLS: {_why(found)}; does it speak https there?")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _mozillas() -> str:
    import certifi

    return certifi.where()


def _is_tls(error: Exception) -> bool:
    return isinstance(error, ssl.SSLError)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM inside").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
