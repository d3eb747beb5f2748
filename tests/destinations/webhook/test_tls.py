"""TLS is verified, always: the name, the time, who signed it, and at least 1.2."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import pycurl
import pytest
from tests.destinations.webhook.conftest import lane_to, with_option
from tests.destinations.webhook.receivers import OK, Receiver, answering, deliver, parcel, receiving

from penstock.destinations.interface import Answer
from penstock.destinations.webhook.courier import Courier

EC_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
CERTIFICATES = {
    "good": ("IP:127.0.0.1", "-days 2"),
    "another host's": ("DNS:example.com", "-days 2"),
    "expired": ("IP:127.0.0.1", "-days -1"),
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(command: str) -> None:
        done = subprocess.run(["openssl", *command.split()], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"openssl {command}: {done.stderr}"

    openssl(f"req -x509 {EC_KEY} -days 2 -subj /CN=tests -keyout ca.key -out ca.pem")
    subject = "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    openssl(f"req -x509 {EC_KEY} -days 2 {subject} -keyout alone.key -out alone.pem")
    for name, (subject, days) in CERTIFICATES.items():
        file = name.replace(" ", "-")
        (folder / "server.ext").write_text(f"subjectAltName={subject}\n")
        openssl(f"req {EC_KEY} -subj /CN=server -keyout {file}.key -out {file}.csr")
        signed = "-CA ca.pem -CAkey ca.key -CAcreateserial -extfile server.ext"
        openssl(f"x509 -req -in {file}.csr {signed} {days} -out {file}.pem")
    return folder


def answer(
    courier: Courier, certificates: Path, name: str, authorities: str = "ca.pem", **versions: ssl.TLSVersion
) -> Answer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for which, version in versions.items():
        setattr(context, which, version)
    file = certificates / name.replace(" ", "-")
    context.load_cert_chain(f"{file}.pem", f"{file}.key")
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else the receiver itself refuses what is old
    with receiving(answering(OK), tls=context) as receiver:
        given = {"authorities": str(certificates / authorities)} if authorities else {}
        [found] = deliver(lane_to(courier, receiver, **given), [parcel()])
        assert found.ok or not receiver.requests
    return found


def test_a_certificate_of_the_authorities_that_are_given(courier: Courier, certificates: Path) -> None:
    assert answer(courier, certificates, "good").ok


@pytest.mark.parametrize(
    ("name", "authorities", "why"),
    [
        ("another host's", "ca.pem", "127.0.0.1"),
        ("expired", "ca.pem", "expired"),
        ("alone", "ca.pem", "self-signed"),
        ("good", "", "self-signed certificate in certificate chain|unable to get local issuer"),
    ],
)
def test_what_is_not_trusted(courier: Courier, certificates: Path, name: str, authorities: str, why: str) -> None:
    found = answer(courier, certificates, name, authorities)
    assert (found.ok, found.outcome, found.final) == (False, "SocketError", False)
    assert any(word in found.reason for word in why.split("|")), found.reason


def test_mutant_that_does_not_verify_is_caught(
    courier: Courier, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_option(monkeypatch, lambda handle: handle.setopt(pycurl.SSL_VERIFYHOST, 0))
    with pytest.raises(AssertionError, match="assert not True"):
        assert not answer(courier, certificates, "another host's").ok
    with_option(monkeypatch, lambda handle: handle.setopt(pycurl.SSL_VERIFYPEER, 0))
    with pytest.raises(AssertionError, match="assert not True"):
        assert not answer(courier, certificates, "alone").ok


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_of_today(courier: Courier, certificates: Path, version: ssl.TLSVersion) -> None:
    assert answer(courier, certificates, "good", minimum_version=version, maximum_version=version).ok


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_below_1_2_is_refused(courier: Courier, certificates: Path) -> None:
    old = ssl.TLSVersion.TLSv1_1
    assert answer(courier, certificates, "good", minimum_version=old, maximum_version=old).outcome == "SocketError"


def test_plain_http_where_tls_is_expected(courier: Courier) -> None:
    def behave(_receiver: Receiver, connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(OK)

    with receiving(behave) as receiver:
        [found] = deliver(lane_to(courier, f"https://127.0.0.1:{receiver.port}/"), [parcel()])
    assert found.outcome == "SocketError"
