"""Notices: said once, standing until settled, bounded."""

import logging

import pytest

from penstock.notices import MOST, Notice, Notices


def test_one_is_said_once_and_stands_until_it_is_settled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    notices = Notices()
    for _ in range(3):
        notices.tell("k", "retention overtook it", stage="score", place="app.py:3", mend="keep events for longer")
    assert [r.message for r in caplog.records] == ["retention overtook it"]
    assert notices.standing() == (Notice("retention overtook it", "score", "app.py:3", "keep events for longer"),)
    notices.settle("k")
    notices.settle("k")
    assert notices.standing() == ()


def test_another_reason_takes_its_place(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    notices = Notices()
    notices.tell("k", "1 event")
    notices.tell("k", "2 events")
    assert [n.reason for n in notices.standing()] == ["2 events"]
    assert len(caplog.records) == 2


def test_they_are_bounded() -> None:
    notices = Notices()
    for number in range(2 * MOST):
        notices.tell(str(number), "too many")
    assert len(notices.standing()) == MOST
