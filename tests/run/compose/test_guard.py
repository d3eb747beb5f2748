"""Beside the doors: keys are kept up, what was noted is written, and what the log does not answer is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from threading import Event

import pytest

from penstock.access import keys
from penstock.access.admin import ADMIN_KEY
from penstock.access.audit import AUDIT, Act
from penstock.access.issuing import issue, revoke
from penstock.access.state import KeyState
from penstock.batch import SYSTEM, TopicSpec
from penstock.clock import ManualClock
from penstock.errors import LogUnreachable
from penstock.log.memory import MemoryLog
from penstock.notices import notices
from penstock.run.compose.bootstrap import open_registry
from penstock.run.compose.guard import Guard, opened_audit
from penstock.system.snapshots import SNAPSHOT_TOPIC


class Post:
    def __init__(self) -> None:
        self.log, self.clock = MemoryLog(), ManualClock()
        for topic in (TopicSpec(SYSTEM, partitions=1), SNAPSHOT_TOPIC):
            self.log.create(topic)
        self.registry = open_registry(self.log, self.clock, "gateway")
        self.audit = opened_audit(self.log, self.clock, "gateway-1")
        self.guard = Guard(self.registry, self.audit, self.clock)
        self.keys = self.registry.view.areas.only(KeyState)

    def written(self) -> int:
        return sum(state.events for state in self.log.partitions(AUDIT))


@pytest.fixture
def post() -> Iterator[Post]:
    made = Post()
    with closing(made.registry):
        yield made


def test_what_others_make_and_revoke_is_known_after_a_look(post: Post) -> None:
    with closing(open_registry(post.log, post.clock, "elsewhere")) as other:
        made = issue(post.log, other.view, post.clock, "acme", "append:tx", days=None, by="test").made
        post.guard.look()
        assert post.keys.by_id == {made.id: made}
        revoke(post.log, other.view, post.clock, made.id, by="test")
        post.guard.look()
        assert list(post.keys.revoked) == [made.id]


def test_what_was_noted_before_the_end_is_written(post: Post) -> None:
    stop = Event()
    stop.set()
    post.audit.note(Act("acme", "k", "POST", "/keys", "10.0.0.1", 201))
    post.guard.run(stop)
    assert post.written() == 1
    assert post.audit.writer.startswith("gateway-1/") and opened_audit(post.log, post.clock, "").writer.startswith("g")


def test_a_log_that_does_not_answer_is_told_and_asked_again(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise LogUnreachable("the brokers do not answer")

    post.audit.note(Act("acme", "k", "POST", "/keys", "10.0.0.1", 201))
    with monkeypatch.context() as patched:
        patched.setattr(post.registry, "refresh", away)
        post.guard.look()
        (notice,) = notices().standing()
        assert "revoked meanwhile are not known here" in notice.reason and post.written() == 0
    post.guard.look()
    assert not notices().standing() and post.written() == 1


def test_the_first_key_is_let_in_and_noted_once(post: Post) -> None:
    key = keys.make()
    for _ in range(2):  # lives of a gateway
        guard = Guard(post.registry, post.audit, post.clock, key)
        guard.look()
        guard.look()
    assert list(post.keys.by_digest) == [keys.digest(key)] and post.written() == 1


def test_a_first_key_that_is_one_too_many_is_told_until_there_is_room(post: Post) -> None:
    first = issue(post.log, post.registry.view, post.clock, "admin", "admin", days=None, by="test").made
    issue(post.log, post.registry.view, post.clock, "admin", "admin", days=None, by="test")
    key = keys.make()
    guard = Guard(post.registry, post.audit, post.clock, key)
    guard.look()
    (notice,) = notices().standing()
    assert f"{ADMIN_KEY} is not let in" in notice.reason and key not in notice.reason
    revoke(post.log, post.registry.view, post.clock, first.id, by="test")
    guard.look()
    assert not notices().standing() and keys.digest(key) in post.keys.by_digest


def test_the_first_key_waits_for_a_log_that_does_not_answer(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise LogUnreachable("the brokers do not answer")

    guard = Guard(post.registry, post.audit, post.clock, keys.make())
    with monkeypatch.context() as patched:
        patched.setattr(post.log, "append", away)
        guard.look()
        assert len(notices().standing()) == 1 and not post.keys.by_digest
    guard.look()
    assert not notices().standing() and len(post.keys.by_digest) == 1
