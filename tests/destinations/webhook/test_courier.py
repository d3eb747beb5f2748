"""The courier against real receivers: what is sent, and what each answer means."""

from __future__ import annotations

import pytest
from standardwebhooks import Webhook
from tests.destinations.webhook.conftest import lane_to
from tests.destinations.webhook.receivers import OK, SECRET, answering, deliver, parcel, receiving, status

from penstock.destinations.webhook import courier as courier_module
from penstock.destinations.webhook.answers import SUCCESS
from penstock.destinations.webhook.courier import Courier


def test_a_parcel_is_delivered_with_its_headers(courier: Courier) -> None:
    with receiving(answering(OK)) as receiver:
        lane = lane_to(
            courier, receiver, secrets=[SECRET], headers=[("authorization", "Bearer t0ken"), ("x-empty", "")]
        )
        [answer] = deliver(lane, [parcel("orders/0/1.7", b'{"b" :  2}', attempt=3)])
    assert (answer.ok, answer.outcome, answer.status, answer.reason) == (True, "Delivered", 200, "ok")
    [request] = receiver.requests
    assert request.line == "POST /hook HTTP/1.1"
    assert request.body == b'{"b" :  2}'
    assert (
        request.headers.items()
        >= {
            "content-type": "application/json",
            "webhook-id": "orders/0/1%2E7",
            "idempotency-key": "orders/0/1%2E7",
            "penstock-attempt": "3",
            "authorization": "Bearer t0ken",
            "x-empty": "",
        }.items()
    )
    assert len(request.names) == len(set(request.names))
    assert not request.headers.keys() & {"accept-encoding", "cookie", "expect"}
    assert int(request.headers["webhook-timestamp"]) == answer.began // 1_000_000
    assert Webhook(SECRET).verify(request.body, request.headers) == {"b": 2}


@pytest.mark.parametrize("code", range(200, 600))
def test_every_status_has_its_meaning(courier: Courier, code: int) -> None:
    with receiving(answering(status(code, "location: /elsewhere", body=b"said"))) as receiver:
        [answer] = deliver(lane_to(courier, receiver), [parcel()])
    assert answer.status == code
    assert answer.ok == (code in (200, 201, 202, 203, 204))
    assert answer.final == (code in (400, 401, 403, 413))
    assert answer.blameless == (code in (400, 413))
    assert answer.gone == (code == 410)
    assert (answer.outcome == "Delivered") == (code in SUCCESS)
    assert len(receiver.requests) == 1  # no redirect is followed


@pytest.mark.parametrize(("name", "value", "code"), [("FINAL", {401, 403, 413}, 400), ("GONE", 404, 410)])
def test_mutant_that_tries_again_in_vain_is_caught(
    courier: Courier, monkeypatch: pytest.MonkeyPatch, name: str, value: object, code: int
) -> None:
    monkeypatch.setattr(courier_module, name, value)
    with pytest.raises(AssertionError, match="assert False == "):
        test_every_status_has_its_meaning(courier, code)
