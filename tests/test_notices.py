"""Notices: said once, standing until settled, bounded."""

import logging

import pytest

from penstock.notices import MOST, PERIOD_S, Notice, Notices, Tally


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


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_goes_on_and_on_is_told_at_once_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    now, notices = Hand(), Notices()
    tally = Tally("dead/s", "events dead-lettered", stage="s", now=now, to=notices)
    tally.flush()
    assert notices.standing() == ()
    tally.add(1, "KeyError: 'a'", place="app.py:3", mend="look")
    assert notices.standing() == (Notice("events dead-lettered: 1; the last: KeyError: 'a'", "s", "app.py:3", "look"),)
    for _ in range(1_000):
        tally.add(3, "KeyError: 'b'")
    assert len(caplog.records) == 1
    now.now += PERIOD_S
    tally.flush()
    tally.flush()
    (told,) = notices.standing()
    assert told.reason == "events dead-lettered: 3,001; the last: KeyError: 'b'" and len(caplog.records) == 2


def test_what_another_process_said_stands_and_is_not_said_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    notices = Notices()
    notices.stand("k", Notice("the file has changed"))
    assert notices.by_key() == {"k": Notice("the file has changed")} and not caplog.records
    notices.settle("k")
    assert notices.standing() == ()
