"""What Event Grid's handshake asks, and what an answer means, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.destinations.interface import Invitation
from penstock.destinations.webhook.handshakes.eventgrid import judge, question
from penstock.destinations.webhook.handshakes.question import HandshakeReply

CODE = "0f2a-code"

values = st.none() | st.booleans() | st.integers() | st.sampled_from([CODE, CODE.upper(), ""]) | st.text(max_size=20)
bodies = (
    st.binary(max_size=100)
    | values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(["validationResponse", "ValidationResponse", "a"]), values).map(
        lambda given: json.dumps(given).encode()
    )
    | st.just(b"[" * 5_000)
)


def says_the_code(body: bytes) -> bool:
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("validationResponse") == CODE


@given(st.sampled_from([0, 200, 201, 202, 204, 302, 404, 500]), bodies, st.sampled_from(["", "https://a.example/x"]))
def test_it_is_granted_exactly_by_200_and_the_code(status: int, body: bytes, callback: str) -> None:
    found = judge(HandshakeReply(status, body, reason="broken"), CODE, callback)
    assert (found.verdict == "granted") == (status == 200 and says_the_code(body))
    assert found.verdict != "later" or (status == 200 and callback)
    assert (found.verdict == "unclear") == (status != 200)
    assert CODE not in found.reason and len(found.reason) < 500


def test_without_a_callback_no_url_is_in_the_event() -> None:
    asked = question(Invitation("1", "s", CODE, ""), "shop", 1_700_000_000_000_000)
    (event,) = json.loads(asked.body)
    assert event["data"] == {"validationCode": CODE}
    assert event["eventTime"] == "2023-11-14T22:13:20Z" and event["topic"] == "shop"
    assert CODE not in repr(asked)
