"""The doors within TLS: who is refused (S9), what is bounded before TLS is agreed upon, and endings.

What holds without TLS holds with it: tests of the server and of its protocol run here once more, on a server of this
file.
"""

from __future__ import annotations

import socket
import ssl
import time
import warnings
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.certificates import Issuer, Pair
from tests.gateway.test_server import (
    EVENT,
    HEAD,
    Running,
    answer,
    publish,
    test_a_body_announced_too_large_is_refused_before_it_comes,
    test_a_head_over_its_limit,
    test_a_head_that_trickles_is_late_all_the_same,
    test_ambiguous_framing_is_refused_and_the_connection_closed,
    test_another_host_name_is_refused,
    test_publishes,
    test_slow_heads_and_bodies_are_cut_off_while_others_are_served,
    test_two_requests_on_one_connection_and_in_one_packet,
)
from tests.gateway.tls.conftest import Open
from tests.gateway.wire.test_protocol import (
    everything,
    test_a_body_that_breaks_off_in_garbage,
    test_a_head_over_its_limit_in_any_packets,
    test_an_offer_to_upgrade_is_passed_over,
    test_what_is_valid_has_its_answer_before_what_is_not,
)

from penstock.gateway import server as serving
from penstock.gateway.app import Gateway
from penstock.gateway.tls import certificates as pairs
from penstock.gateway.tls import handshakes
from penstock.gateway.tls.certificates import TLSFiles
from penstock.gateway.tls.client_names import client_name
from penstock.gateway.tls.handshakes import FEWEST, TLSHandshakes
from penstock.gateway.tls.renewal import Certificates
from penstock.settings import Settings

__all__ = [
    "test_a_body_announced_too_large_is_refused_before_it_comes",
    "test_a_body_that_breaks_off_in_garbage",
    "test_a_head_over_its_limit",
    "test_a_head_over_its_limit_in_any_packets",
    "test_a_head_that_trickles_is_late_all_the_same",
    "test_ambiguous_framing_is_refused_and_the_connection_closed",
    "test_an_offer_to_upgrade_is_passed_over",
    "test_another_host_name_is_refused",
    "test_publishes",
    "test_slow_heads_and_bodies_are_cut_off_while_others_are_served",
    "test_two_requests_on_one_connection_and_in_one_packet",
    "test_what_is_valid_has_its_answer_before_what_is_not",
]

WHO = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"

# -- who is refused (S9) ------------------------------------------------------


def refused(server: Running, trusts: ssl.SSLContext) -> None:
    """In the handshake or after it: in TLS 1.3 the server looks at the client's certificate when the client is done."""
    try:
        with trusts.wrap_socket(server.connect_in_plain(), server_hostname="127.0.0.1") as wire:
            wire.sendall(WHO)
            assert not answer(wire), "who should be refused is answered"
    except OSError:
        pass


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is said of handshakes that failed, since last asked."""
    until = time.monotonic() + 5
    while not (found := [r.fields["last"] for r in caplog.records if "handshakes fail" in r.message]):  # type: ignore[attr-defined]
        assert time.monotonic() < until, "nothing is said of a handshake that failed"
        time.sleep(0.01)
    caplog.clear()
    return found


@pytest.fixture
def each_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "TELL_S", 0.0)


def old(issuer: Issuer, newest: ssl.TLSVersion) -> ssl.SSLContext:
    trusts = issuer.client()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        trusts.minimum_version = ssl.TLSVersion.TLSv1
        trusts.maximum_version = newest
    trusts.set_ciphers("ALL:@SECLEVEL=0")
    return trusts


@pytest.mark.usefixtures("each_told")
def test_a_version_before_1_2_is_refused(server: Running, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        refused(server, old(issuer, version))
        assert reasons(caplog) == ["unsupported protocol"], "it is not for its version that it is refused"
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        trusts = issuer.client()
        trusts.maximum_version = version
        with trusts.wrap_socket(server.connect_in_plain(), server_hostname="127.0.0.1") as wire:
            assert wire.version() == name
            wire.sendall(WHO)
            assert answer(wire).startswith(b"HTTP/1.1 200")


def test_mutant_that_speaks_what_is_old_is_caught(
    serve: Open, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = pairs.load

    def lax(files: TLSFiles) -> pairs.ServerCertificate:
        found = real(files)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found.context.minimum_version = ssl.TLSVersion.TLSv1
        found.context.set_ciphers("ALL:@SECLEVEL=0")
        return found

    monkeypatch.setattr("penstock.gateway.tls.renewal.load", lax)
    server = serve()
    with pytest.raises(AssertionError, match="who should be refused is answered"):
        test_a_version_before_1_2_is_refused(server, issuer, caplog)


def test_what_is_in_plain_is_refused(server: Running) -> None:
    with server.connect_in_plain() as wire:
        wire.sendall(WHO)
        assert b"HTTP" not in everything(wire)
    assert publish(server).startswith(b"HTTP/1.1 200")


@pytest.fixture
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The same name, of another authority of the same name."""
    return Issuer(tmp_path_factory.mktemp("stranger") / "authority").issue("/O=Shop/CN=till 7", (), use="clientAuth")


@pytest.mark.usefixtures("each_told")
def test_without_a_certificate_where_one_is_required(
    serve: Open, issuer: Issuer, till: Pair, strangers: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(client_ca=issuer.certificate)
    late = issuer.issue("/CN=till 7", (), use="clientAuth", begins=timedelta(days=-9), ends=timedelta(days=-1))
    for shown, why in (
        (None, "peer did not return a certificate"),
        (strangers, "unable to get local issuer certificate"),
        (late, "certificate has expired"),
        (issuer.issue("/CN=till 7"), "unsuitable certificate purpose"),  # a server's
    ):
        refused(server, issuer.client(shown))
        assert reasons(caplog) == [why]
    server.trusts = issuer.client(till)
    assert publish(server).startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("each_told")
def test_who_need_not_show_one_may_not_show_anybodys(serve: Open, issuer: Issuer, strangers: Pair) -> None:
    server = serve(client_ca=issuer.certificate, client_required=False)
    refused(server, issuer.client(strangers))
    assert publish(server).startswith(b"HTTP/1.1 200")


def test_mutant_that_asks_and_takes_no_certificate_is_caught(
    serve: Open, issuer: Issuer, till: Pair, strangers: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    def optional(*given: Any, **files: Any) -> Running:
        return serve(*given, **files, client_required=False)

    with pytest.raises(AssertionError, match="who should be refused is answered"):
        test_without_a_certificate_where_one_is_required(optional, issuer, till, strangers, caplog)


# -- who asks -----------------------------------------------------------------


def asked_by(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What admission is given of each request."""
    found: list[Any] = []
    real = Gateway.__call__

    async def spying(self: Gateway, scope: Any, receive: Any, send: Any) -> None:
        found.append(dict(scope))
        await real(self, scope, receive, send)

    monkeypatch.setattr(Gateway, "__call__", spying)
    return found


def test_the_name_of_a_client_is_in_the_scope(
    serve: Open, issuer: Issuer, till: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = asked_by(monkeypatch)
    server = serve(client_ca=issuer.certificate, client_required=False)
    assert server.ask(WHO).startswith(b"HTTP/1.1 200")
    server.trusts = issuer.client(till)
    with server.connect() as wire:
        for _ in range(2):
            wire.sendall(WHO)
            assert answer(wire).startswith(b"HTTP/1.1 200")
    said = [scope["extensions"]["tls"] for scope in found]
    assert [each["client_cert_name"] for each in said] == [None, *["CN=till 7,O=Shop"] * 2]
    assert [len(each["client_cert_chain"]) for each in said] == [0, 1, 1]
    assert said[1]["client_cert_chain"] == [till.certificate.read_text()]
    assert {each["tls_version"] for each in said} == {0x0304}
    assert {scope["scheme"] for scope in found} == {"https"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_that_is_resumed_keeps_the_name(
    serve: Open, issuer: Issuer, till: Pair, monkeypatch: pytest.MonkeyPatch, version: ssl.TLSVersion
) -> None:
    found = asked_by(monkeypatch)
    server = serve(client_ca=issuer.certificate)
    trusts, session = issuer.client(till), None
    trusts.maximum_version = version
    for resumed in (False, True):
        wire = trusts.wrap_socket(server.connect_in_plain(), server_hostname="127.0.0.1", session=session)
        with wire:
            wire.sendall(WHO)
            assert answer(wire).startswith(b"HTTP/1.1 200")
            assert wire.session_reused is resumed
            session = wire.session
    assert [client_name(scope) for scope in found] == ["CN=till 7,O=Shop"] * 2


# -- before TLS is agreed upon ------------------------------------------------


def test_who_says_nothing_in_the_handshake_is_cut_off(server: Running, patience: float = 10.0) -> None:
    with ExitStack() as connections:
        silent = [connections.enter_context(server.connect_in_plain()) for _ in range(20)]
        for place, wire in enumerate(silent):
            wire.sendall(b"\x16\x03\x01\x02\x00"[: place % 6])
        assert publish(server).startswith(b"HTTP/1.1 200")
        for wire in silent:
            wire.settimeout(patience)
            try:
                assert everything(wire) == b""
            except TimeoutError:
                raise AssertionError("who says nothing keeps its connection") from None
            except ConnectionError:
                pass


def test_mutant_that_waits_for_the_handshake_for_ever_is_caught(serve: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    class Patient(TLSHandshakes):
        def __init__(self, certificates: Certificates, limits: Settings, make: Any) -> None:
            super().__init__(certificates, replace(limits, header_timeout=60.0), make)

    monkeypatch.setattr(serving, "TLSHandshakes", Patient)
    with pytest.raises(AssertionError, match="who says nothing keeps its connection"):
        test_who_says_nothing_in_the_handshake_is_cut_off(serve(), patience=2.0)


def held(server: Running, stack: ExitStack, count: int) -> list[socket.socket]:
    """Connections that say nothing."""
    return [stack.enter_context(server.connect_in_plain()) for _ in range(count)]


def waiting(time: str) -> bytes:
    """A request that is answered so late."""
    head = HEAD.replace(b"/events", b"/events?wait=delays&timeout=" + time.encode())
    return head + b"content-length: %d\r\n\r\n" % len(EVENT) + EVENT


def still_open(connections: list[socket.socket]) -> int:
    left = 0
    for wire in connections:
        wire.setblocking(False)
        try:
            left += wire.recv(1) != b""
        except BlockingIOError:
            left += 1
        except OSError:
            pass
    return left


def test_connections_without_tls_are_bounded_and_give_way(serve: Open, patience: float = 10.0) -> None:
    server = serve(Settings(header_timeout=60, connection_limit=50))
    server.patience = patience
    with ExitStack() as stack:
        silent = held(server, stack, 120)
        until = time.monotonic() + server.patience
        while (there := still_open(silent)) != 50 and time.monotonic() < until:
            time.sleep(0.1)
        assert there == 50, "as many as come are held before TLS"
        until = time.monotonic() + server.patience
        while True:
            try:
                said = publish(server)
                break
            except OSError:
                assert time.monotonic() < until, "those who say nothing shut the others out"
                time.sleep(0.1)
        assert said.startswith(b"HTTP/1.1 200")


def test_mutant_that_counts_nobody_before_tls_is_caught(serve: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def admit(self: TLSHandshakes, new: Any, now: float, connections: int) -> bool:
        self.under_way[new] = now
        return True

    monkeypatch.setattr(TLSHandshakes, "admit", admit)
    with pytest.raises(AssertionError, match="as many as come are held before TLS"):
        test_connections_without_tls_are_bounded_and_give_way(serve, patience=2.0)


def test_mutant_where_nobody_gives_way_is_caught(serve: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "GRACE_S", 1e9)
    with pytest.raises(AssertionError, match="those who say nothing shut the others out"):
        test_connections_without_tls_are_bounded_and_give_way(serve, patience=3.0)


@pytest.mark.parametrize(
    ("limit", "connections", "room"),
    [
        (2_048, 0, 2_048),
        (2_048, 2_000, 48),
        (2_048, 2_040, FEWEST),
        (2_048, 2_048, FEWEST),
        (20, 0, FEWEST),
        (20, 40, 12),
    ],
)
def test_there_are_never_more_than_a_few_over_the_limit(limit: int, connections: int, room: int) -> None:
    doorway = TLSHandshakes(None, Settings(connection_limit=limit), None)  # type: ignore[arg-type]
    assert [doorway.admit(object(), 1.0, connections) for _ in range(room + 1)] == [True] * room + [False]  # type: ignore[arg-type]
    assert not TLSHandshakes(None, Settings(connection_limit=20), None).admit(object(), 9.0, 20 + FEWEST)  # type: ignore[arg-type]


def test_where_all_connections_are_taken_a_few_may_still_ask(serve: Open) -> None:
    server = serve(Settings(connection_limit=20))
    with ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(20)]
        for wire in busy:
            wire.sendall(waiting("4s"))
        held(server, stack, FEWEST - 1)
        time.sleep(0.2)
        assert publish(server).startswith(b"HTTP/1.1 503"), "who comes too late is sent away without a word"
        for wire in busy:
            assert answer(wire).startswith(b"HTTP/1.1 200")


# -- pages --------------------------------------------------------------------


def test_our_own_pages_are_those_of_https(server: Running, issuer: Issuer) -> None:
    own = f"https://127.0.0.1:{server.port}"
    with httpx.Client(base_url=own, verify=issuer.client()) as http:
        for origin, status in ((own, 200), ("https://evil.example", 403), ("https://127.0.0.1:1", 403), ("null", 403)):
            kind = {"content-type": "application/json", "origin": origin}
            assert http.post("/topics/flights/events", content=EVENT, headers=kind).status_code == status
        said = http.get("/docs")
        assert said.status_code == 200 and f"curl {own}/topics" in said.text
        assert "strict-transport-security" not in said.headers
