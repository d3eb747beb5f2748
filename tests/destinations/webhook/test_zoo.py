"""Receivers that answer slowly, endlessly, wrongly or not at all (F12): each has its outcome, and bothers nobody."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import psutil
import pycurl
import pytest
from tests.destinations.webhook.conftest import LIMITS, lane_to, with_option
from tests.destinations.webhook.receivers import (
    OK,
    Behaviour,
    Receiver,
    Settled,
    answering,
    deliver,
    early_hints_only,
    endless_head,
    garbage,
    gigabyte,
    half_close,
    hang,
    hang_after_head,
    mute,
    parcel,
    receiving,
    reset,
    slow_body,
    slow_head,
    status,
)

from penstock.destinations.webhook import courier as courier_module
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.limits import Limits
from penstock.destinations.webhook.transport import Exchange

ZOO: dict[str, tuple[Behaviour, str, int]] = {
    "hangs": (hang, "TimedOut", 0),
    "says 200 and hangs": (hang_after_head, "Delivered", 200),
    "head a byte in 0.2 s": (slow_head, "TimedOut", 0),
    "body a byte in 0.05 s": (slow_body, "Busy", 500),
    "a gigabyte": (gigabyte, "Busy", 500),
    "a head without end": (endless_head, "SocketError", 0),
    "early hints and nothing more": (early_hints_only, "TimedOut", 0),
    "resets": (reset, "SocketError", 0),
    "closes one half": (half_close, "SocketError", 0),
    "no HTTP": (garbage, "SocketError", 0),
    "accepts and says nothing": (mute, "TimedOut", 0),
}
MEMORY_BYTES = 50 << 20


@pytest.mark.parametrize("name", ZOO)
def test_a_bad_receiver_has_its_outcome_in_time(courier: Courier, name: str) -> None:
    behave, outcome, code = ZOO[name]
    began = time.monotonic()
    with receiving(behave) as receiver:
        [answer] = deliver(lane_to(courier, receiver), [parcel()])
    assert (answer.outcome, answer.status, answer.ok) == (outcome, code, outcome == "Delivered")
    assert answer.reason or answer.ok
    assert time.monotonic() - began < LIMITS.answer_s + 3
    assert not (answer.final or answer.gone)


def hanging_on_a_kept_connection(courier: Courier) -> str:
    """The outcome of a request that nobody answers, on a connection on which one was answered."""

    def behave(receiver: Receiver, connection: socket.socket) -> None:
        if receiver.read(connection):
            connection.sendall(status(200))
        hang(receiver, connection)

    with receiving(behave) as receiver:
        lane = lane_to(courier, receiver)
        [answered], [hung] = deliver(lane, [parcel()]), deliver(lane, [parcel()])
        assert answered.ok and len(receiver.requests) == 2, "another connection was opened"
    return hung.outcome


def test_who_hangs_on_a_kept_connection_is_late_and_not_unknown(courier: Courier) -> None:
    """The pause after a name that leads nowhere is thirty times as long."""
    assert hanging_on_a_kept_connection(courier) == "TimedOut"


def test_mutant_that_asks_for_the_time_of_the_look_up_alone_is_caught(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Exchange.finish

    def finish(self: Exchange, error: int, message: str) -> None:
        self._reached = False
        plain(self, error, message)

    monkeypatch.setattr(Exchange, "finish", finish)
    with pytest.raises(AssertionError, match="ResolutionError"):
        assert hanging_on_a_kept_connection(courier) == "TimedOut"


def test_a_head_without_end_is_told(courier: Courier) -> None:
    with receiving(endless_head) as receiver:
        [answer] = deliver(lane_to(courier, receiver), [parcel()])
    assert answer.reason == "the head of the answer is too long"


def test_nobody_listens(courier: Courier) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        [answer] = deliver(lane_to(courier, f"http://127.0.0.1:{bound.getsockname()[1]}/"), [parcel()])
    assert answer.outcome == "SocketError"


def test_a_name_that_does_not_exist(courier: Courier) -> None:
    [answer] = deliver(lane_to(courier, "http://no-such-name.invalid/"), [parcel()])
    assert answer.outcome == "ResolutionError"


def test_a_name_that_comes_and_goes(couriers: Callable[..., Courier]) -> None:
    there = [[], ["127.0.0.1"], [], ["127.0.0.1"]]
    courier = couriers(resolver=lambda _host: there.pop(0))
    with receiving(answering(OK.replace(b"OK", b"OK\r\nconnection: close"))) as receiver:
        lane = lane_to(courier, f"http://no-such-name.invalid:{receiver.port}/")
        outcomes = [deliver(lane, [parcel()])[0].outcome for _ in range(4)]
    assert outcomes == ["ResolutionError", "Delivered", "ResolutionError", "Delivered"]


@pytest.mark.parametrize("code", [*range(100, 200, 11), 101, 103])
def test_an_interim_status_is_no_answer(courier: Courier, code: int) -> None:
    def behave(receiver: object, connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 {code} Wait\r\n\r\n".encode())

    with receiving(behave) as receiver:
        [answer] = deliver(lane_to(courier, receiver), [parcel()])
    assert not answer.ok
    assert answer.status == 0
    assert answer.outcome in ("SocketError", "TimedOut")


def test_the_status_after_an_interim_one_counts(courier: Courier) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nretry-after: 5\r\n\r\n"
    with receiving(answering(hints + status(503, "Retry-After: 7"))) as receiver:
        [answer] = deliver(lane_to(courier, receiver), [parcel()])
    assert (answer.status, answer.retry_after_s) == (503, 7)


def test_a_healthy_lane_does_not_notice_the_zoo(couriers: Callable[..., Courier]) -> None:
    """Memory and descriptors stay bounded, and what the healthy one sends arrives within a fraction of the limit."""
    courier = couriers()
    process, settled = psutil.Process(), Settled()
    with receiving(answering(OK)) as good:
        healthy = lane_to(courier, good)
        deliver(healthy, [parcel()])
        memory, descriptors = process.memory_info().rss, process.num_fds()
        receivers = [receiving(behave) for behave, _, _ in ZOO.values()]
        bad = [receiver.__enter__() for receiver in receivers]
        lanes = [lane_to(courier, one) for one in bad]
        for lane in lanes:
            lane.send([parcel() for _ in range(20)], settled)
        slowest = 0.0
        for _ in range(100):
            began = time.monotonic()
            [answer] = deliver(healthy, [parcel()])
            slowest = max(slowest, time.monotonic() - began)
            assert answer.ok
        assert process.memory_info().rss - memory < MEMORY_BYTES
        assert process.num_fds() - descriptors < 4 * LIMITS.connections  # both ends are here
        for _ in range(20 * len(lanes)):
            settled.next()
        for receiver in receivers:
            receiver.__exit__(None, None, None)
    assert slowest < LIMITS.answer_s / 2


def answered(couriers: Callable[..., Courier], after: float) -> str:
    """29.5 and 30.5 seconds of 30, five times as fast."""
    courier = couriers(limits=Limits(answer_s=6.0))
    with receiving(answering(OK, after=after)) as receiver:
        [answer] = deliver(lane_to(courier, receiver), [parcel()])
    return answer.outcome


@pytest.mark.parametrize(("after", "outcome"), [(5.9, "Delivered"), (6.1, "TimedOut")])
def test_the_limit_is_of_the_whole_answer(couriers: Callable[..., Courier], after: float, outcome: str) -> None:
    assert answered(couriers, after) == outcome


def test_thirty_seconds_are_what_is_given() -> None:
    assert Limits().answer_s == 30.0


def test_mutant_whose_limit_is_of_the_connection_alone_is_caught(
    couriers: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_option(monkeypatch, lambda handle: handle.setopt(pycurl.TIMEOUT_MS, 0))
    with pytest.raises(AssertionError, match="assert 'Delivered' == 'TimedOut'"):
        assert answered(couriers, 6.1) == "TimedOut"


def taken_of_a_gigabyte(courier: Courier) -> int:
    """Bytes that the receiver got rid of before it was cut off."""
    sent = 0

    def counted(receiver: Receiver, connection: socket.socket) -> None:
        nonlocal sent
        receiver.read(connection)
        connection.sendall(b"HTTP/1.1 500 Oops\r\ncontent-length: 1073741824\r\n\r\n")
        for _ in range(16_384):
            connection.sendall(b"x" * 65_536)
            sent += 65_536

    with receiving(counted) as receiver:
        [answer] = deliver(lane_to(courier, receiver), [parcel()])
        assert answer.status == 500
        assert len(answer.reason) < 400
    return sent


def test_a_body_is_cut(courier: Courier) -> None:
    assert taken_of_a_gigabyte(courier) < 32 << 20  # sockets take some at once


def test_mutant_that_reads_on_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exchange, "_write", lambda *_: None)
    with pytest.raises(AssertionError, match=r"assert \d+ < \(32 << 20\)"):
        assert taken_of_a_gigabyte(courier) < (32 << 20)


def successes(courier: Courier) -> set[int]:
    found = set()
    for code in (200, 204, 205, 226, 300, 399):
        with receiving(answering(status(code))) as receiver:
            found |= {code} if deliver(lane_to(courier, receiver), [parcel()])[0].ok else set()
    return found


def test_mutant_that_takes_every_success_for_one_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    assert successes(courier) == {200, 204}
    monkeypatch.setattr(courier_module, "SUCCESS", range(200, 300))
    with pytest.raises(AssertionError, match="205"):
        assert successes(courier) == {200, 204}
