"""Whom the client trusts (S9): a server that it cannot be sure of gets nothing."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Issuer, Pair, issuer, pair, till
from tests.gateway.test_server import Running, running

import penstock as ps
from penstock.client import sending
from penstock.client.trust import trusting
from penstock.clock import SystemClock
from penstock.errors import TLSFailed, Uncertain, Unreachable
from penstock.gateway.tls import renewal
from penstock.gateway.tls.certificates import ServerCertificate, TLSFiles
from penstock.gateway.tls.renewal import Certificates
from penstock.settings import Settings

__all__ = ["issuer", "pair", "till"]

ENVIRONMENT = (
    "PENSTOCK_CA_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PENSTOCK_CLIENT_CERTIFICATE",
    "PENSTOCK_CLIENT_KEY",
)

Open = Callable[..., Running]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A server that shows such a certificate, which no other server would."""
    with ExitStack() as stack:

        def opened(shown: Pair = pair, **files: Any) -> Running:
            certificates = Certificates(replace(TLSFiles(pair.certificate, pair.key), **files), SystemClock())
            if shown is not pair:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(shown.certificate, shown.key)
                certificates._certificate = ServerCertificate(context, 0.0, 0.0, ())
            return stack.enter_context(running(tmp_path, Settings(), certificates))

        yield opened


def asked(server: Running, name: str = "127.0.0.1", **trust: Any) -> int:
    with ps.connect(f"https://{name}:{server.port}", **trust) as client:
        client.publish("flights", {"flight": 1, "tail": "N1"})
        return client.read("flights").height


def stored(server: Running) -> int:
    return server.house.count()  # type: ignore[attr-defined,no-any-return]


def test_a_server_of_an_authority_that_is_given(serve: Open, issuer: Issuer) -> None:
    server = serve()
    assert asked(server, ca_file=issuer.certificate) == 1
    assert asked(server, "localhost", ca_file=str(issuer.certificate)) == 2


@pytest.mark.parametrize("name", ["PENSTOCK_CA_FILE", "SSL_CERT_FILE"])
def test_or_that_the_environment_names(serve: Open, issuer: Issuer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, str(issuer.certificate))
    assert asked(serve()) == 1


def test_ours_goes_before_that_of_others(serve: Open, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("PENSTOCK_CA_FILE", str(issuer.certificate))
    assert asked(serve()) == 1


def test_an_authority_that_nobody_named_is_not_trusted(serve: Open) -> None:
    server = serve()
    with pytest.raises(TLSFailed, match=r"is not trusted: unable to get local issuer.*ca_file=, --ca-file or"):
        asked(server)
    assert stored(server) == 0, "it was sent to whoever answers"


def test_another_authority_is_not_trusted(serve: Open, tmp_path: Path) -> None:
    server, other = serve(), Issuer(tmp_path / "other")
    with pytest.raises(TLSFailed, match="is not trusted"):
        asked(server, ca_file=other.certificate)
    assert stored(server) == 0


def test_what_has_expired_is_not_trusted(serve: Open, issuer: Issuer) -> None:
    server = serve(issuer.issue(begins=timedelta(days=-9), ends=timedelta(days=-1)))
    with pytest.raises(TLSFailed, match=r"https://127\.0\.0\.1:\d+ is not trusted: certificate has expired$"):
        asked(server, ca_file=issuer.certificate)
    assert stored(server) == 0


def test_another_name_is_not_trusted(serve: Open, issuer: Issuer) -> None:
    server = serve(issuer.issue(names=["DNS:shop.example"]))
    for name in ("127.0.0.1", "localhost"):
        with pytest.raises(TLSFailed, match=f"is not trusted: .* not valid for '{name}'$"):
            asked(server, name, ca_file=issuer.certificate)
    assert stored(server) == 0


def test_an_old_version_is_not_spoken(serve: Open, issuer: Issuer, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def old(files: TLSFiles) -> ServerCertificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with pytest.warns(DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(files.certificate, files.key)
        return ServerCertificate(context, 0.0, 1e12, ())

    monkeypatch.setattr(renewal, "load", old)
    with pytest.raises(Unreachable):
        asked(serve(), ca_file=issuer.certificate)


def test_mutant_that_looks_at_no_certificate_is_caught(serve: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(*files: Any) -> ssl.SSLContext:
        context = trusting(*files)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    monkeypatch.setattr(sending, "trusting", blind)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_an_authority_that_nobody_named_is_not_trusted(serve)


def test_mutant_that_looks_at_no_name_is_caught(serve: Open, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(*files: Any) -> ssl.SSLContext:
        context = trusting(*files)
        context.check_hostname = False
        return context

    monkeypatch.setattr(sending, "trusting", nameless)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_another_name_is_not_trusted(serve, issuer)


# -- what is shown ------------------------------------------------------------


def test_a_certificate_is_shown_to_who_asks_for_it(
    serve: Open, issuer: Issuer, till: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(client_ca=issuer.certificate)
    assert asked(server, ca_file=issuer.certificate, certificate=till.certificate, certificate_key=till.key) == 1
    with pytest.raises((Uncertain, Unreachable)) as found:
        asked(server, ca_file=issuer.certificate)
    if isinstance(found.value, Uncertain):  # else the end of the connection came first
        assert "asks for another certificate" in str(found.value)
    monkeypatch.setenv("PENSTOCK_CLIENT_CERTIFICATE", str(till.certificate))
    monkeypatch.setenv("PENSTOCK_CLIENT_KEY", str(till.key))
    assert asked(server, ca_file=issuer.certificate) == 2


# -- what is given ------------------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "why"),
    [
        ({"ca_file": "/nowhere"}, "authorities to trust cannot be read from /nowhere: No such file"),
        ({"ca_file": "{nonsense}"}, "authorities to trust cannot be read from .*nonsense"),
        ({"ca_file": "{ca}", "certificate": "/nowhere"}, "client's certificate /nowhere cannot be used: No such file"),
        ({"ca_file": "{ca}", "certificate": "{nonsense}"}, "client's certificate .*nonsense cannot be used: it is not"),
        (
            {"ca_file": "{ca}", "certificate": "{till}", "certificate_key": "{key}"},
            "with the key .* cannot be used: .*not its own",
        ),
        (
            {"ca_file": "{ca}", "certificate": "{till}", "certificate_key": "{locked}"},
            "with the key .* cannot be used: .*encrypted",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    issuer: Issuer, pair: Pair, till: Pair, tmp_path: Path, trust: dict[str, str], why: str
) -> None:
    (tmp_path / "nonsense").write_text("no PEM")
    places = {
        "nonsense": tmp_path / "nonsense",
        "ca": issuer.certificate,
        "till": till.certificate,
        "key": pair.key,
        "locked": issuer.encrypted(till, "open sesame").key,
    }
    given: dict[str, Any] = {name: value.format(**places) for name, value in trust.items()}
    with pytest.raises(TLSFailed, match=why):
        ps.connect("https://127.0.0.1:1", **given)
    ps.connect("http://127.0.0.1:1", **given).close()  # for which they mean nothing


def test_who_speaks_no_tls_is_told_from_who_is_not_trusted(tmp_path: Path, issuer: Issuer) -> None:
    with (
        running(tmp_path, Settings()) as server,
        pytest.raises(TLSFailed, match=r"does not agree on TLS: .*https there"),
    ):
        asked(server, ca_file=issuer.certificate)


def test_who_is_not_there_is_not_taken_for_one_who_is_not_trusted(issuer: Issuer) -> None:
    with pytest.raises(Unreachable, match="nothing answers") as found:
        ps.connect("https://127.0.0.1:1", ca_file=issuer.certificate).read("flights")
    assert not isinstance(found.value, TLSFailed)
