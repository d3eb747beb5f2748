"""What CloudEvents' handshake asks, and what an answer means, whatever it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.destinations.interface import Invitation
from penstock.destinations.webhook.handshakes.cloudevents import allowed_rate, judge, question
from penstock.destinations.webhook.handshakes.question import HandshakeReply

ORIGIN = "events.example.com"
INVITATION = Invitation("1", "s", "code", "https://a.example/handshakes/token")


@pytest.mark.parametrize(
    ("per_second", "said"),
    [(0.0, None), (2.0, "120"), (1 / 60, "1"), (1 / 3600, "1"), (100 / 60, "100"), (1.001, "61")],
)
def test_the_rate_is_asked_for_in_whole_requests_a_minute(per_second: float, said: str | None) -> None:
    assert dict(question(INVITATION, ORIGIN, per_second).headers).get("webhook-request-rate") == said


def test_a_callback_is_offered_where_there_is_one() -> None:
    headers = dict(question(INVITATION, ORIGIN, 0.0).headers)
    assert headers == {"webhook-request-origin": ORIGIN, "webhook-request-callback": INVITATION.callback}
    asked = question(Invitation("1", "s", "code", ""), ORIGIN, 0.0)
    assert dict(asked.headers) == {"webhook-request-origin": ORIGIN} and asked.hidden == ("code",)
    assert all(hidden not in repr(question(INVITATION, ORIGIN, 0.0)) for hidden in ("token", "code"))


texts = (
    st.none() | st.sampled_from([ORIGIN, ORIGIN.upper(), "*", "", "120", "0", "-1", "1e3", "٣"]) | st.text(max_size=50)
)


@given(st.integers(0, 999), texts, texts, st.sampled_from(["", "https://a.example/x"]))
def test_it_is_granted_exactly_if_the_origin_is_allowed_and_the_rate_can_be_kept(
    status: int, origin: str | None, rate: str | None, callback: str
) -> None:
    found = judge(HandshakeReply(status, b"", origin, rate, "broken"), ORIGIN, callback)
    allowed = status > 0 and origin is not None and (origin == "*" or origin.lower() == ORIGIN)
    try:
        per_minute = allowed_rate(rate)
    except ValueError:
        assert found.verdict != "granted"
    else:
        assert (found.verdict == "granted") == allowed
        assert found.per_minute == (per_minute if allowed else None)
    assert found.verdict != "later" or (callback and origin is None)
    assert len(found.reason) < 500 and found.reason.isprintable()


@pytest.mark.parametrize(
    ("said", "per_minute"), [(None, None), ("*", None), ("1", 1), ("120", 120), ("999999999", 999999999)]
)
def test_a_rate_that_is_one(said: str | None, per_minute: int | None) -> None:
    assert allowed_rate(said) == per_minute


@pytest.mark.parametrize("said", ["", "0", "-1", "1.5", "01", "120/m", "1 ", "1000000000", "٣", "\x1b[1m"])
def test_a_rate_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="is neither a whole number of requests a minute nor") as refused:
        allowed_rate(said)
    assert "\x1b" not in str(refused.value)
