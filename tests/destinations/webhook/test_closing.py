"""How a courier ends, what it does not tell, and what it needs to begin."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest
from tests.destinations.webhook.conftest import lane_to
from tests.destinations.webhook.receivers import (
    OK,
    SECRET,
    Receiver,
    Settled,
    answering,
    deliver,
    hang,
    parcel,
    receiving,
    status,
)

from penstock.destinations.interface import Parcel
from penstock.destinations.webhook import courier as courier_module
from penstock.destinations.webhook.courier import CLOSE_S, Courier

TOKEN = "t0k3n-of-nobody"
PATH = "/hooks/s3cr3t-part-of-the-path"


def test_closing_ends_what_hangs_and_tells_nothing_of_it(couriers: Callable[..., Courier]) -> None:
    settled = Settled()
    courier = couriers()
    descriptors = psutil.Process().num_fds()
    with receiving(hang) as receiver:
        lane = lane_to(courier, receiver)
        lane.send([parcel(str(n)) for n in range(100)], settled)
        time.sleep(0.2)
        began = time.monotonic()
        courier.close()
        assert time.monotonic() - began < CLOSE_S
        assert settled.nothing()
        assert lane.room() == 0
        lane.send([parcel()], settled)
        assert settled.nothing()
    assert psutil.Process().num_fds() <= descriptors
    assert not courier.thread.is_alive()
    assert not courier.failed
    courier.close()


def test_who_is_told_may_be_wrong(courier: Courier) -> None:
    def raises(_parcel: Parcel) -> None:
        raise RuntimeError("a fault of the stage")

    with receiving(answering(OK)) as receiver:
        lane = lane_to(courier, receiver)
        lane.send([parcel()], raises)
        assert deliver(lane, [parcel()])[0].ok


@pytest.mark.parametrize("header", [("x-a", "b\r\nx-b: c"), ("x-a", "b\n"), ("x-a", "é"), ("x\r\na", "b")])
def test_a_header_that_would_be_two_is_not_sent(courier: Courier, header: tuple[str, str]) -> None:
    with receiving(answering(OK)) as receiver:
        lane = lane_to(courier, receiver)
        [answer] = deliver(lane, [parcel(headers=[header])])
        assert (answer.ok, answer.final, answer.outcome) == (False, True, "BadRequest")
        assert answer.blameless, "nothing was asked of the endpoint"
        assert deliver(lane, [parcel()])[0].ok
        assert len(receiver.requests) == 1


def told(courier: Courier, caplog: pytest.LogCaptureFixture) -> str:
    """Everything that is said of an endpoint that repeats what it was sent, and of one that cannot be reached."""

    def echo(receiver: Receiver, connection: object) -> None:
        request = receiver.read(connection)  # type: ignore[arg-type]
        assert request is not None
        text = f"{request.line} {request.headers} {SECRET} {SECRET[6:]}".encode()
        connection.sendall(status(400, body=text))  # type: ignore[attr-defined]

    headers = [("authorization", f"Bearer {TOKEN}"), ("x-key", TOKEN)]
    caplog.set_level(logging.DEBUG)
    said = ""
    with receiving(echo) as receiver:
        for url in (f"http://127.0.0.1:{receiver.port}{PATH}?key={TOKEN}", f"http://no-such.invalid{PATH}"):
            lane = lane_to(courier, url, secrets=[SECRET], headers=headers)
            [answer] = deliver(lane, [parcel()])
            said += f"{answer!r} {lane.status()!r} {lane.endpoint!r} {lane!r} {lane.signer!r}"
    return said + caplog.text


def test_secrets_are_told_nobody(courier: Courier, caplog: pytest.LogCaptureFixture) -> None:
    said = told(courier, caplog)
    assert "HTTP 400: POST" in said
    for secret in (TOKEN, SECRET, SECRET[6:], PATH.rpartition("/")[2]):
        assert secret not in said


def test_mutant_that_repeats_what_is_said_is_caught(
    courier: Courier, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "redact", lambda text, _hidden: text)
    with pytest.raises(AssertionError, match=TOKEN):
        test_secrets_are_told_nobody(courier, caplog)


def test_without_libcurl_it_says_what_to_install() -> None:
    """And the modules can be imported without it."""
    done = subprocess.run(
        [
            sys.executable, "-c",
            "import sys; sys.modules['pycurl'] = None\n"
            "from penstock.clock import SystemClock\n"
            "from penstock.destinations.webhook.courier import Courier\n"
            "Courier(SystemClock())",
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "CannotStart: webhooks need pycurl: pip install 'penstock-ml[webhooks]'" in done.stderr
