"""What an error is as an HTTP answer; every one says something."""

from __future__ import annotations

import errno
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidEvent, PenstockError
from penstock.gateway.wire import errors
from penstock.gateway.wire.errors import STATUS, problem

KINDS = [kind for kind, _, _ in STATUS]


def assert_says_something(error: Exception) -> None:
    status, _, body = problem(error)
    said = msgspec.json.decode(body)["error"]
    assert 400 <= status < 600 and said["code"].strip() and said["message"].strip(), f"an empty answer: {said}"


def made(kind: type[Exception], text: str) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, *([text] if text else []))
    error.__dict__ |= {"retry_after": 1.0, "row": None, "field": None, "reason": text, "error": ""}
    return error


@given(
    kind=st.sampled_from([*KINDS, ValueError, AssertionError, TimeoutError]), text=st.sampled_from(["", " ", "\n", "x"])
)
def test_no_answer_is_empty(kind: type[Exception], text: str) -> None:
    assert_says_something(made(kind, text))


@given(text=st.text())
def test_whatever_the_message(text: str) -> None:
    for error in (TimeoutError(text), PenstockError(text), InvalidEvent(text)):
        assert_says_something(error)


def test_mutant_the_bare_message_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "said", str)
    with pytest.raises(AssertionError, match="an empty answer"):
        assert_says_something(TimeoutError())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_whatever_met_it(number: int) -> None:
    status, _, body = problem(OSError(number, "No space left on device", "/data/artifacts/x"))
    said = json.loads(body)["error"]
    assert (status, said["code"]) == (507, "log_full"), f"a full disk is {status}"
    assert "no space is left" in said["message"] and "/data/artifacts/x" in said["message"]


def test_mutant_a_full_disk_that_is_a_fault_of_ours_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "NO_SPACE", ())
    with pytest.raises(AssertionError, match="a full disk is 500"):
        test_a_full_disk_is_said_whatever_met_it(errno.ENOSPC)


def test_another_fault_of_the_system_says_nothing_of_itself() -> None:
    status, _, body = problem(OSError(errno.EIO, "Input/output error", "/data/secret"))
    assert status == 500 and b"secret" not in body
