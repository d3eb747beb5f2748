from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.destinations.webhook.answers import outcome_of_error, outcome_of_status, retry_after, said

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("7", 7), (" 120 ", 120), ("86400", 86_400), ("86401", 86_400), ("9" * 400, 86_400),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        ("Sunday, 01-Mar-26 12:01:00 GMT", 60),  # RFC 850's
        ("Sun Mar  1 12:02:00 2026", 120),  # asctime's
        (format_datetime(NOW - timedelta(days=3), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=3), usegmt=True), 86_400),
        ("-1", None), ("1.5", None), ("soon", None), ("", None), ("٣", None), ("1e3", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, NOW_US) == seconds


@given(st.text())
def test_whatever_it_says_it_is_at_most_a_day(text: str) -> None:
    found = retry_after(text, NOW_US)
    assert found is None or 0 <= found <= 86_400


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "Delivered"), (204, "Delivered"), (205, "Aborted"), (226, "Aborted"), (301, "Aborted"), (304, "Aborted"),
        (400, "BadRequest"), (401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound"), (408, "TimedOut"),
        (410, "Disabled"), (413, "PayloadTooLarge"), (415, "BadRequest"), (429, "Busy"), (500, "Busy"), (503, "Busy"),
        (504, "TimedOut"),
    ],
)  # fmt: skip
def test_the_outcome_of_a_status(status: int, outcome: str) -> None:
    assert outcome_of_status(status) == outcome


def test_the_outcome_of_an_error() -> None:
    assert [outcome_of_error(code) for code in (6, 7, 28, 35, 52, 56, 60)] == [
        "ResolutionError", "SocketError", "TimedOut", "SocketError", "SocketError", "SocketError", "SocketError",
    ]  # fmt: skip


@given(st.binary())
def test_what_is_said_is_one_line_that_a_terminal_can_show(body: bytes) -> None:
    assert all(c.isprintable() for c in said(body))


def test_what_is_said() -> None:
    assert said(b"  no\r\n\tsuch \x1b[31mhook\x07 \xff") == "no such [31mhook \ufffd"
