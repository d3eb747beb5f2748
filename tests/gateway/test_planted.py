"""Faults planted in the doors: each must turn the check that guards against it red."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.gateway.doors.test_models import test_code_is_taken_with_the_secret_only as code_needs_the_secret
from tests.gateway.doors.test_publish import test_limits_on_size_and_count as limits_hold
from tests.gateway.doors.test_publish import (
    test_no_more_of_a_compressed_body_is_read_than_shows_that_it_holds_too_much as unpacking_is_counted,
)
from tests.gateway.doors.test_publish import (
    test_waiting_is_over_when_the_last_stage_has_dealt_with_all as waiting_lasts,
)
from tests.gateway.test_pages import FOREIGN
from tests.gateway.test_pages import test_no_door_that_changes_something_opens_for_a_foreign_page as pages_are_refused
from tests.gateway.test_pages import (
    test_no_door_that_changes_something_takes_what_is_sent_unasked as unasked_is_refused,
)
from tests.gateway.test_server import ELSEWHERE, running
from tests.gateway.test_server import test_a_socket_that_others_reach_is_not_served as others_are_not_served
from tests.gateway.test_server import test_ambiguous_framing_is_refused_and_the_connection_closed as framing_is_strict
from tests.gateway.test_server import test_only_loopback_may_be_bound as only_loopback
from tests.gateway.test_server import (
    test_slow_heads_and_bodies_are_cut_off_while_others_are_served as the_slow_are_cut_off,
)
from tests.gateway.wire.test_protocol import test_what_keeps_a_connection_for_nothing_gives_way as the_idle_give_way
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock import tokens
from penstock.gateway import hosts, incoming, pages, server
from penstock.gateway.wait.lineage import Waiter
from penstock.gateway.wire import body, protocol
from penstock.settings import Settings


def test_a_parser_that_is_lenient_about_framing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = HttpToolsProtocol.__init__

    def lenient(self: Any, *given: Any, **named: Any) -> None:
        made(self, *given, **named)
        self.parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_chunked_length=True, lenient_transfer_encoding=True
        )

    monkeypatch.setattr(HttpToolsProtocol, "__init__", lenient)
    framing = b"content-length: 27\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    said = r"what comes after it is answered too|timed out"  # it waits for what comes next
    with running(tmp_path, Settings()) as served, pytest.raises((AssertionError, TimeoutError), match=said):
        served.patience = 1.0
        framing_is_strict(served, framing)


def test_a_server_that_waits_for_slow_heads_is_found(tmp_path: Path) -> None:
    with (
        running(tmp_path, Settings(header_timeout=60, body_timeout=60)) as served,
        pytest.raises(TimeoutError, match="timed out"),
    ):
        served.patience = 1.0
        the_slow_are_cut_off(served)


def test_decompression_without_an_end_is_found(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "PART_BYTES", 1 << 30)
    with pytest.raises(AssertionError, match="more is unpacked at once"):
        limits_hold(house)


def test_a_body_that_is_unpacked_before_it_is_counted_is_found(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_a_whole(forms: Any, intake: Any, headers: Any, given: Any, limits: Any) -> Any:
        return in_pieces(forms, intake, headers, body.Body([b"".join(given.parts)]), limits)

    in_pieces = incoming.decoded_in_pieces
    monkeypatch.setattr(incoming, "decoded_in_pieces", as_a_whole)
    with pytest.raises(AssertionError, match="unpacked as a whole"):
        unpacking_is_counted(house, "lines")


def test_waiting_that_says_complete_too_early_is_found(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Waiter, "_open", lambda self, hop, groups: False)
    with pytest.raises(AssertionError, match="before any stage"):
        waiting_lasts(house)


def test_waiting_that_looks_at_the_first_stage_only_is_found(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Waiter._open
    monkeypatch.setattr(Waiter, "_open", lambda self, hop, groups: hop.stage == "prepare" and asked(self, hop, groups))
    with pytest.raises(AssertionError, match="after the first of two"):
        waiting_lasts(house)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_an_address_that_is_not_looked_at_is_found(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(hosts, "is_loopback", lambda host: True)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        only_loopback(host)


def test_a_look_at_the_wildcards_only_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "is_loopback", lambda host: host not in ("0.0.0.0", "::"))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        only_loopback("192.168.1.1")


def test_a_server_that_takes_any_socket_is_found(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "check_bind", lambda host, access: None)
    monkeypatch.setattr(uvloop, "run", lambda serving: serving.close())  # as if it had served
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        others_are_not_served(house)


@pytest.mark.parametrize("marks", FOREIGN)
def test_a_door_that_looks_at_no_page_is_found(
    house: Any, monkeypatch: pytest.MonkeyPatch, marks: dict[str, str]
) -> None:
    monkeypatch.setattr(pages, "check", lambda method, headers: None)
    with pytest.raises(AssertionError, match="opens for a foreign page"):
        pages_are_refused(house, marks)


def test_a_door_that_takes_what_is_sent_unasked_is_found(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "check", lambda method, headers: None)
    with pytest.raises(AssertionError, match="takes text/plain"):
        unasked_is_refused(house, "text/plain")


def test_code_taken_of_anybody_is_found(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "is_shown", lambda authorization, path: True)
    with pytest.raises(AssertionError, match="showed no secret"):
        code_needs_the_secret(house, None)


def test_a_connection_that_nobody_gives_up_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "GRACE_S", 60.0)
    with pytest.raises(AssertionError, match="idle connections shut the others out"):
        the_idle_give_way(tmp_path)
