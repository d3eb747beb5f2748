"""Doors that want keys, and take the client's certificate in the place of one where they were told of its subject."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Issuer, Pair
from tests.gateway.test_server import EVENT, HEAD, Running, answer, running
from tests.gateway.tls.conftest import LIMITS

from penstock.access import state
from penstock.access.audit import AUDIT, read
from penstock.access.issuing import Issued, issue, revoke
from penstock.access.state import KeyCreated, KeyState
from penstock.clock import SystemClock
from penstock.gateway.tls.certificates import TLSFiles
from penstock.gateway.tls.client_names import client_name
from penstock.gateway.tls.renewal import Certificates
from penstock.gateway.wire.asgi import Scope

TILL = "CN=till 7,O=Shop"
LOOKED_AT = "penstock.gateway.access.client_name"


class Guarded:
    """A server whose doors want keys."""

    def __init__(self, server: Running, house: Any) -> None:
        self.server, self.house = server, house
        self.services = house.services

    def made(self, name: str, allow: str, certificate: str = "") -> Issued:
        view, clock = self.services.registry.view, self.services.clock
        return issue(self.house.log, view, clock, name, allow, days=None, by="test", certificate=certificate)

    def revoke(self, id: str) -> None:
        revoke(self.house.log, self.services.registry.view, self.services.clock, id, by="test")

    def told(self) -> list[tuple[str, str, int, str]]:
        """By the audit: who, by which key, the answer, and why."""
        self.services.audit.write()
        rows = [row for batch in self.house.stored(AUDIT) for row in read(batch.rows.column("json").to_pylist())]
        return [(row.who, row.key, row.status, row.why) for row in rows]

    def asked(self, trusts: ssl.SSLContext, topic: str = "flights", headers: str = "") -> int:
        """The status of a publishing."""
        head = HEAD.replace(b"flights", topic.encode()) + headers.encode()
        with trusts.wrap_socket(self.server.connect_in_plain(), server_hostname="127.0.0.1") as wire:
            wire.sendall(head + b"content-length: %d\r\n\r\n" % len(EVENT) + EVENT)
            return int(answer(wire).split()[1])


@pytest.fixture
def server(tmp_path: Path, issuer: Issuer, pair: Pair) -> Iterator[Guarded]:
    """It asks clients for a certificate, and serves who has none too."""
    files = TLSFiles(pair.certificate, pair.key, issuer.certificate, client_required=False)
    with running(tmp_path, LIMITS, Certificates(files, SystemClock()), issuer.client(), sas_secret=b"") as found:
        yield Guarded(found, found.house)


def check_certificates(server: Guarded, issuer: Issuer, till: Pair) -> None:
    shows, shows_another, shows_none = issuer.client(till), issuer.client(other(issuer)), issuer.client()
    assert server.asked(shows) == 401, "a certificate opens what nobody gave it the right to"
    assert server.told()[-1][3] == f"no key that is live is for the certificate {TILL}"
    given = server.made("till-7", "append:flights", TILL)
    assert given.key == "" and given.made.digest == ""
    assert server.asked(shows) == 200, "who was given the right by its certificate is refused"
    assert server.asked(shows, headers="origin: https://elsewhere.example\r\n") == 403, "a page may use a browser's"
    assert server.asked(shows, "notes") == 403, "it opens what it has no right to"
    assert server.told()[-1][:3] == ("till-7", given.made.id, 403), "the audit does not say who"
    assert server.asked(shows_another) == 401, "another certificate is taken for it"
    assert server.asked(shows_none) == 401, "who shows none is taken for it"
    for name in ("client-cert", "x-client-cert", "x-forwarded-client-cert", "ssl-client-s-dn"):
        assert server.asked(shows_none, headers=f"{name}: {TILL}\r\n") == 401, "a header is taken for a certificate"
    key = server.made("notes", "append:notes").key
    shown = f"x-api-key: {key}\r\n"
    assert server.asked(shows, "notes", shown) == 200 and server.asked(shows, headers=shown) == 403, "a key goes first"
    assert server.asked(shows, headers="x-api-key: psk_none\r\n") == 401, "a wrong key is passed over for a certificate"
    server.revoke(given.made.id)
    assert server.asked(shows) == 401, "it goes on after its end"
    again = server.made("till-7", "append:flights", TILL)
    assert server.asked(shows) == 200 and again.made.id != given.made.id


def other(issuer: Issuer) -> Pair:
    """One that looks like it, but for the commas in what it is."""
    return issuer.issue("/O=Shop,O=Others/CN=till 7", (), use="clientAuth")


def test_a_certificate_opens_what_its_subject_was_given(server: Guarded, issuer: Issuer, till: Pair) -> None:
    check_certificates(server, issuer, till)


def test_mutant_that_looks_at_the_end_of_none_is_caught(
    server: Guarded, issuer: Issuer, till: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forever(known: KeyState, subject: str, now: int) -> KeyCreated | None:
        return next(iter(known.by_certificate.get(subject, ())), None)

    monkeypatch.setattr(state.KeyState, "of_certificate", forever)
    with pytest.raises(AssertionError, match="it goes on after its end"):
        check_certificates(server, issuer, till)


def test_mutant_that_looks_at_the_common_name_alone_is_caught(
    server: Guarded, issuer: Issuer, till: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def common(scope: Scope) -> str | None:
        found = client_name(scope)
        return TILL if found is not None and "CN=till 7" in found else found

    monkeypatch.setattr(LOOKED_AT, common)
    with pytest.raises(AssertionError, match="another certificate is taken for it"):
        check_certificates(server, issuer, till)


def test_mutant_that_believes_a_header_is_caught(
    server: Guarded, issuer: Issuer, till: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def believed(scope: Scope) -> str | None:
        said = dict(scope["headers"]).get(b"x-forwarded-client-cert")
        return said.decode() if said else client_name(scope)

    monkeypatch.setattr(LOOKED_AT, believed)
    with pytest.raises(AssertionError, match="a header is taken for a certificate"):
        check_certificates(server, issuer, till)


def test_who_manages_keys_gives_one_to_a_certificate_over_http(server: Guarded, issuer: Issuer, till: Pair) -> None:
    admin = server.made("admin", "admin").key
    body = json.dumps({"name": "till-7", "allow": "append:flights", "certificate": TILL}).encode()
    head = f"POST /keys HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {admin}\r\ncontent-type: application/json\r\n"
    said = server.server.ask(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
    assert said.startswith(b"HTTP/1.1 201")
    found = json.loads(said.partition(b"\r\n\r\n")[2])
    assert found["certificate"] == TILL and "key" not in found
    assert server.asked(issuer.client(till)) == 200
