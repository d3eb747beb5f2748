"""Handshakes by the courier: how they are sent, and that they cost deliveries nothing."""

from __future__ import annotations

import queue
import re
import socket
import threading
from collections.abc import Callable

import pytest
from standardwebhooks import Webhook
from tests.destinations.webhook.conftest import lane_to
from tests.destinations.webhook.receivers import (
    OK,
    SECRET,
    Receiver,
    answering,
    deliver,
    endless_head,
    garbage,
    gigabyte,
    hang,
    parcel,
    receiving,
    reset,
    slow_body,
    status,
)

from penstock.destinations.interface import AskingDestination, Consent, Invitation
from penstock.destinations.webhook import courier as courier_module
from penstock.destinations.webhook import transport
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.limits import Limits
from penstock.destinations.webhook.transport import Exchange

INVITATION = Invitation("1", "s", "the-code", "https://a.example/handshakes/the-token")
OURS = {"handshake": "cloudevents", "origin": "shop"}
WAIT_S = 20.0


def ask(lane: AskingDestination) -> Consent:
    told: queue.Queue[Consent] = queue.Queue()
    lane.ask(INVITATION, told.put)
    return told.get(timeout=WAIT_S)


@pytest.mark.parametrize(
    "behave", [hang, endless_head, garbage, reset, gigabyte], ids=lambda behave: str(behave.__name__)
)
def test_who_misbehaves_has_said_nothing(
    couriers: Callable[..., Courier], behave: Callable[[Receiver, socket.socket], None]
) -> None:
    courier = couriers(limits=Limits(connections=8, answer_s=0.3))
    with receiving(behave) as receiver:
        found = ask(lane_to(courier, receiver, **OURS))
        assert found.verdict == "unclear" and found.reason
        assert ask(lane_to(courier, receiver, handshake="eventgrid", origin="shop")).verdict == "unclear"


def test_the_head_alone_counts(couriers: Callable[..., Courier]) -> None:
    courier = couriers(limits=Limits(connections=8, answer_s=0.3))
    with receiving(slow_body) as receiver:
        assert "HTTP 500 without" in ask(lane_to(courier, receiver, **OURS)).reason


def check_an_interim_answer(courier: Courier) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nwebhook-allowed-origin: *\r\n\r\n"
    with receiving(answering(hints + OK)) as receiver:
        assert ask(lane_to(courier, receiver, **OURS)).verdict == "later", "an interim answer granted it"


def test_an_interim_answer_grants_nothing(courier: Courier) -> None:
    check_an_interim_answer(courier)


def test_mutant_that_keeps_the_headers_of_an_interim_answer_is_caught(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_STATUS", re.compile(rb"(?!)"))
    plain = Exchange._header

    def header(self: Exchange, line: bytes) -> int | None:
        if line.startswith(b"HTTP/"):
            self.status = int(line.split()[1])
            return None
        return plain(self, line)

    monkeypatch.setattr(Exchange, "_header", header)
    with pytest.raises(AssertionError, match="an interim answer granted it"):
        check_an_interim_answer(courier)


def test_a_redirect_is_not_followed(courier: Courier) -> None:
    with (
        receiving(answering(status(200, "webhook-allowed-origin: *"))) as other,
        receiving(answering(status(307, f"location: {other.url}"))) as receiver,
    ):
        assert ask(lane_to(courier, receiver, **OURS)).verdict == "later"
        assert not other.requests


def test_it_is_sent_as_an_event_is(courier: Courier) -> None:
    """Signed where it has a body, with the subscription's own headers, and a request of another kind after it."""
    headers = [("authorization", "Bearer hush")]
    with receiving(answering(status(200, "webhook-allowed-origin: *"))) as receiver:
        lane = lane_to(courier, receiver, headers=headers, secrets=[SECRET], **OURS)
        assert ask(lane).verdict == "granted" and deliver(lane, [parcel()])[0].ok and ask(lane).verdict == "granted"
        first, event, second = receiver.requests
        assert [r.line.partition(" ")[0] for r in receiver.requests] == ["OPTIONS", "POST", "OPTIONS"]
        assert first.headers["authorization"] == "Bearer hush" and "webhook-id" not in first.headers
        assert first.names.count("webhook-request-origin") == event.names.count("webhook-request-origin") == 1
        assert first.headers.get("content-length", "0") == "0" and first.body == second.body == b""
        grid = lane_to(courier, receiver, secrets=[SECRET], handshake="eventgrid", origin="shop")
        assert ask(grid).verdict == "later"
        request = receiver.requests[-1]
        assert Webhook(SECRET).verify(request.body, request.headers)


def check_deliveries_go_on(couriers: Callable[..., Courier]) -> None:
    courier = couriers(limits=Limits(connections=8, answer_s=30.0, handshakes=4))
    with receiving(hang) as hanging, receiving(answering(OK)) as good:
        told = threading.Event()
        for _ in range(20):
            lane_to(courier, hanging, **OURS).ask(INVITATION, lambda _: told.set())
        lane = lane_to(courier, good)
        settled = threading.Event()
        lane.send([parcel()], lambda _: settled.set())
        assert settled.wait(3.0), "a delivery waits for handshakes that hang"
        assert hanging.connections <= 4 and not told.is_set()


def test_handshakes_that_hang_take_no_connection_from_deliveries(couriers: Callable[..., Courier]) -> None:
    check_deliveries_go_on(couriers)


def test_mutant_that_asks_all_at_once_is_caught(
    couriers: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        courier_module.Courier, "_may_ask", lambda courier: bool(courier._questions) and courier._transport.free > 0
    )
    with pytest.raises(AssertionError, match="waits for handshakes that hang"):
        check_deliveries_go_on(couriers)


def test_a_lane_that_is_closed_is_told_nothing(courier: Courier) -> None:
    told: list[Consent] = []
    with receiving(answering(status(200, "webhook-allowed-origin: *"), after=0.2)) as receiver:
        lane, other = (lane_to(courier, receiver, **OURS) for _ in range(2))
        lane.ask(INVITATION, told.append)
        lane.close()
        ask(other)
        assert not told


def test_what_an_endpoint_echoes_is_cut_out(courier: Courier) -> None:
    echoed = "webhook-allowed-origin: the-code the-token https://a.example/handshakes/the-token Bearer-hush"
    with receiving(answering(status(200, echoed))) as receiver:
        lane = lane_to(courier, receiver, headers=[("authorization", "Bearer-hush")], **OURS)
        found = ask(lane)
        assert found.verdict == "refused"
        assert not any(secret in found.reason for secret in ("the-code", "the-token", "hush"))


def test_who_fails_to_take_the_answer_stops_nobody(courier: Courier) -> None:
    def broken(_: Consent) -> None:
        raise RuntimeError

    with receiving(answering(status(200, "webhook-allowed-origin: *"))) as receiver:
        lane = lane_to(courier, receiver, **OURS)
        lane.ask(INVITATION, broken)
        assert ask(lane).verdict == "granted"
