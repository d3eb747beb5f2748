"""What the doors show of themselves in TLS, and of whom they want to see a certificate: files, looked at before use.

Protocol rules: TLS 1.2 is the oldest that may be spoken (RFC 9325 §3.1.1), nobody renegotiates (§3.4), HTTP/1.1 is
what is spoken within (ALPN, RFC 7301). The ciphers are those of ``ssl.create_default_context``.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import CannotStart

LARGEST_BYTES = 1 << 20  # bytes of a file of certificates: one of more is something else
CERTIFICATE, KEY = b"-----BEGIN CERTIFICATE-----", b"PRIVATE KEY-----"
CLIENTS = ("required", "optional")
EXPIRED, NOT_YET = 10, 9  # X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID of OpenSSL
STEPS = 4  # of a handshake with oneself, which has two


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """PEM files. ``certificate`` holds the server's own and behind it those between it and an authority that clients
    know; ``client_ca`` the authorities whose certificates clients may show, and with ``client_required`` must."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_required: bool = True

    @classmethod
    def given(cls, certificate: str = "", key: str = "", client_ca: str = "", clients: str = "") -> TLSFiles | None:
        """As options and environment say it; empty is not given, and None: no TLS. Without ``key`` the certificate's
        file holds it too. Raises ``CannotStart`` for options that mean nothing without another."""
        if not certificate:
            if extra := next((name for name, value in (("key", key), ("client-ca", client_ca)) if value), None):
                raise CannotStart(f"--tls-{extra} means nothing without --tls-certificate FILE: give both, or neither")
            return None
        if clients and clients not in CLIENTS:
            raise CannotStart(f"--tls-clients {clients}: there are {' and '.join(CLIENTS)}")
        if clients and not client_ca:
            raise CannotStart(
                f"--tls-clients {clients} needs --tls-client-ca FILE, the authority of the clients' certificates"
            )
        place = Path(certificate).absolute()  # not resolved: the link is what is changed when it is renewed
        authority = Path(client_ca).absolute() if client_ca else None
        return cls(place, Path(key).absolute() if key else place, authority, clients != "optional")

    @property
    def arguments(self) -> list[str]:
        """What ``given`` takes, for a child process."""
        clients = CLIENTS[not self.client_required] if self.client_ca else ""
        return [str(self.certificate), str(self.key), str(self.client_ca or ""), clients]

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """``context`` is ready for connections; times are seconds since the epoch; ``names`` is who it is good for."""

    context: ssl.SSLContext
    valid_from: float
    valid_until: float
    names: tuple[str, ...]


def load(files: TLSFiles) -> ServerCertificate:
    """Raises ``CannotStart``, and names the file, for what cannot be read, is not PEM or is encrypted, for a key of
    another certificate, and for a certificate that clients refuse by its dates or as no server's."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _check_holds(files.certificate, CERTIFICATE, "certificate")
    _check_holds(files.key, KEY, "private key")
    _load_pair(context, files)
    if files.client_ca is not None:
        _check_holds(files.client_ca, CERTIFICATE, "certificate")
        try:
            context.load_verify_locations(cafile=files.client_ca)
        except ssl.SSLError as error:
            raise CannotStart(f"{files.client_ca} holds a certificate that cannot be read ({_why(error)})") from None
        context.verify_mode = ssl.CERT_REQUIRED if files.client_required else ssl.CERT_OPTIONAL
    shown = _shown(context, files.certificate)
    return ServerCertificate(
        context,
        ssl.cert_time_to_seconds(str(shown["notBefore"])),
        ssl.cert_time_to_seconds(str(shown["notAfter"])),
        tuple(_names(shown)),
    )


def _check_holds(path: Path, mark: bytes, what: str) -> None:
    try:
        with path.open("rb") as file:
            found = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise CannotStart(f"the {what} {path} cannot be read: {error.strerror}") from None
    if len(found) > LARGEST_BYTES or mark not in found:
        raise CannotStart(f"{path} holds no {what} in PEM, which has a line of {mark.decode().strip('-')}")


def _load_pair(context: ssl.SSLContext, files: TLSFiles) -> None:
    asked: list[bool] = []

    def refuse() -> str:
        """In place of OpenSSL, which would ask whoever sits at the terminal."""
        asked.append(True)
        return ""

    try:
        context.load_cert_chain(files.certificate, files.key, password=refuse)
    except (ssl.SSLError, OSError, ValueError) as error:
        if asked:
            raise CannotStart(
                f"the private key {files.key} is encrypted, and nobody is there to be asked for its passphrase: write "
                "it in plain with `openssl pkey -in KEY -out PLAIN`, in a file that nobody else can read"
            ) from None
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise CannotStart(
                f"the private key {files.key} is not that of the certificate {files.certificate}; the first "
                "certificate in that file is to be the server's own"
            ) from None
        raise CannotStart(
            f"the certificate {files.certificate} and the private key {files.key} cannot be used ({_why(error)})"
        ) from None


def _why(error: Exception) -> str:
    """Of OpenSSL's words those that are for people."""
    reason = getattr(error, "reason", None) or "not PEM inside"
    return str(reason).replace("_", " ").lower()


def _shown(context: ssl.SSLContext, certificate: Path) -> dict[str, object]:
    """What a client sees that trusts this very certificate, and looks at all but the name: a handshake with ourselves,
    in memory, because ``ssl`` reads a certificate for whoever has verified it and for nobody else."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cafile=certificate)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = client.wrap_bio(back, there), context.wrap_bio(there, back, server_side=True)
    refused = ""
    for _ in range(STEPS):
        try:
            ours.do_handshake()
            return dict(ours.getpeercert() or {})
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as error:
            dates = " (`openssl x509 -noout -dates -in FILE` shows its dates)"
            more = dates if error.verify_code in (EXPIRED, NOT_YET) else ""
            raise CannotStart(f"{certificate} is refused by every client: {error.verify_message}{more}") from None
        except ssl.SSLError as error:
            refused = _why(error)
            break
        try:
            theirs.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            refused = _why(error)
            break
    raise CannotStart(f"no client can agree on TLS with the certificate {certificate}: {refused}")


def _names(shown: dict[str, object]) -> Iterator[str]:
    """RFC 6125: of the alternative names alone; a common name is looked at by nobody any more."""
    alternatives = shown.get("subjectAltName", ())
    assert isinstance(alternatives, tuple)
    for kind, name in alternatives:
        if kind in ("DNS", "IP Address"):
            yield str(name)
