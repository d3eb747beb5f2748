"""The issuer's answers are taken within limits, over TLS, and from nobody else."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.access.oidc.issuers import LoopbackIssuer, key, key_set, loopback_issuer

from penstock.access.oidc import fetching
from penstock.access.oidc.fetching import BODY_BYTES, fetch_key_set
from penstock.access.oidc.issuer import Issuer
from penstock.errors import DeclarationError, IssuerUnusable

DOCUMENT = "/realms/tests/.well-known/openid-configuration"
KEYS = "/realms/tests/keys"


def test_the_keys_are_where_the_discovery_document_says(issuer: LoopbackIssuer) -> None:
    assert fetch_key_set(issuer.settings()) == key_set(key("one"))
    assert issuer.asked == [DOCUMENT, KEYS]


def test_an_issuer_with_a_slash_at_its_end(issuer: LoopbackIssuer) -> None:
    issuer.discovers(issuer=f"{issuer.url}/", jwks_uri=f"{issuer.url}/keys")
    assert fetch_key_set(issuer.settings(url=f"{issuer.url}/")) == key_set(key("one"))
    assert issuer.asked == [DOCUMENT, KEYS]


def test_an_address_that_is_set_needs_no_document(issuer: LoopbackIssuer) -> None:
    del issuer.answers[DOCUMENT]
    assert fetch_key_set(issuer.settings(jwks_uri=f"{issuer.url}/keys")) == key_set(key("one"))
    assert issuer.asked == [KEYS]


def test_proxies_of_the_environment_are_not_asked(issuer: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch_key_set(issuer.settings())


# -- what is not taken --------------------------------------------------------


def elsewhere(issuer: LoopbackIssuer) -> None:
    issuer.discovers(issuer="https://issuer.example", jwks_uri=f"{issuer.url}/keys")


def redirected(issuer: LoopbackIssuer) -> None:
    issuer.answers[KEYS] = (302, {"Location": f"{issuer.url}/more"}, b"")
    issuer.answers["/realms/tests/more"] = (200, {}, key_set(key("theirs")))


def too_much(issuer: LoopbackIssuer) -> None:
    issuer.answers[KEYS] = (200, {}, b" " * (BODY_BYTES + 1))


def compressed(issuer: LoopbackIssuer) -> None:
    issuer.answers[KEYS] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 5_000_000))


def drop_by_drop(issuer: LoopbackIssuer) -> None:
    issuer.pace_s = 0.1
    issuer.answers[KEYS] = (200, {}, [b" "] * 20)


def without_tls(issuer: LoopbackIssuer) -> None:
    issuer.discovers(issuer=issuer.url, jwks_uri="http://issuer.example/keys")


def of_a_file(issuer: LoopbackIssuer) -> None:
    issuer.discovers(issuer=issuer.url, jwks_uri="file:///etc/passwd")


def no_document(issuer: LoopbackIssuer) -> None:
    issuer.answers[DOCUMENT] = (200, {}, b"<html>")


def no_such_place(issuer: LoopbackIssuer) -> None:
    issuer.discovers(issuer=issuer.url, jwks_uri="https://[::1")


def endless_levels(issuer: LoopbackIssuer) -> None:
    issuer.answers[DOCUMENT] = (200, {}, b"[" * 100_000)


def broken_off(issuer: LoopbackIssuer) -> None:
    issuer.answers[KEYS] = (200, {"Content-Length": "1000"}, b"{")


NOT_TAKEN: list[tuple[Callable[[LoopbackIssuer], None], str]] = [
    (elsewhere, "is of the issuer 'https://issuer.example': set PENSTOCK_OIDC_ISSUER"),
    (redirected, "keys redirects, which is not followed"),
    (too_much, f"more than {BODY_BYTES} bytes"),
    (compressed, "answers in 'gzip', which was not asked for"),
    (drop_by_drop, "did not answer within"),
    (without_tls, "that is not https"),
    (of_a_file, "that is no URL of a host"),
    (no_document, "is no discovery document"),
    (no_such_place, "that is no URL"),
    (endless_levels, "is no discovery document"),
    (broken_off, "cannot be read"),
    (LoopbackIssuer.goes_away, "answers 503"),
]


def check_not_taken(issuer: LoopbackIssuer, prepare: Callable[[LoopbackIssuer], None], why: str) -> None:
    prepare(issuer)
    try:
        fetch_key_set(issuer.settings())
    except IssuerUnusable as error:
        assert why in str(error)
    else:
        raise AssertionError(f"{getattr(prepare, '__name__', prepare)} was taken")


@pytest.mark.parametrize(("prepare", "why"), NOT_TAKEN, ids=[prepare.__name__ for prepare, _ in NOT_TAKEN])
def test_an_answer_is_not_taken(
    prepare: Callable[[LoopbackIssuer], None], why: str, issuer: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if prepare is drop_by_drop:
        monkeypatch.setattr(fetching, "FETCH_S", 0.5)
    check_not_taken(issuer, prepare, why)


class Following(httpx.AsyncClient):
    def __init__(self, **given: Any) -> None:
        super().__init__(**(given | {"follow_redirects": True}))


@asynccontextmanager
async def no_limit(seconds: float) -> Any:
    yield


@pytest.mark.parametrize(
    ("prepare", "place", "what", "mutant"),
    [
        (elsewhere, fetching, "check_discovered", lambda *_: None),
        (redirected, httpx, "AsyncClient", Following),
        (too_much, fetching, "BODY_BYTES", 2 * BODY_BYTES),
        (drop_by_drop, asyncio, "timeout", no_limit),
    ],
)
def test_mutant_that_takes_it_is_caught(
    prepare: Callable[[LoopbackIssuer], None], place: object, what: str, mutant: object,
    issuer: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if prepare is drop_by_drop:
        monkeypatch.setattr(fetching, "FETCH_S", 0.5)
    monkeypatch.setattr(place, what, mutant)
    with pytest.raises(AssertionError, match=f"{prepare.__name__} was taken"):
        check_not_taken(issuer, prepare, "")


def test_a_document_from_elsewhere_has_nothing_fetched_from_this_machine() -> None:
    there = Issuer("https://issuer.example", ("a",), {"r": "x"})
    found = fetching.Discovery(there.url, "http://127.0.0.1:8000/keys")
    with pytest.raises(IssuerUnusable, match="not https"):
        fetching.check_discovered(found, "the document", there)


# -- TLS ----------------------------------------------------------------------


def certificate(folder: Path, name: str) -> Path:
    """Of 127.0.0.1, signed by itself; its key is in the same file."""
    private = generate_private_key(SECP256R1())
    called, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def own(folder: Path) -> Path:
    return certificate(folder, "own")


@pytest.fixture
def secured(own: Path) -> Iterator[LoopbackIssuer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    with loopback_issuer(context) as found:
        found.publishes(key("one"))
        yield found


def check_stranger(secured: LoopbackIssuer, authorities: str) -> None:
    try:
        fetch_key_set(secured.settings(authorities=authorities))
    except IssuerUnusable as error:
        assert "certificate" in str(error).lower()
    else:
        raise AssertionError("keys were taken of whoever answered")
    assert not secured.asked


def test_the_authority_that_is_set_is_trusted(secured: LoopbackIssuer, own: Path) -> None:
    assert fetch_key_set(secured.settings(authorities=str(own))) == key_set(key("one"))


@pytest.mark.parametrize("other", [True, False])
def test_whom_no_authority_knows_is_not_believed(other: bool, secured: LoopbackIssuer, folder: Path) -> None:
    check_stranger(secured, str(certificate(folder, "other")) if other else "")


def test_mutant_that_believes_whoever_answers_is_caught(
    secured: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Believing(httpx.AsyncClient):
        def __init__(self, **given: Any) -> None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            super().__init__(**(given | {"verify": context}))

    monkeypatch.setattr(httpx, "AsyncClient", Believing)
    with pytest.raises(AssertionError, match="of whoever answered"):
        check_stranger(secured, "")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_are_none_are_said_at_start(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "authorities.pem"
    if content:
        file.write_text(content)
    with pytest.raises(DeclarationError, match=r"authorities=.*holds no certificates"):
        Issuer("https://issuer.example", ("a",), {"r": "x"}, authorities=str(file))
