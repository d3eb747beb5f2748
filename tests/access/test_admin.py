"""The first key of a deployment is let in once, by however many gateways, and never again once it was revoked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from penstock.access import admin, keys
from penstock.access.admin import ADMIN_KEY, admin_key_from_env, admit, checked_admin_key
from penstock.access.issuing import issue, revoke
from penstock.access.state import KeyCreated, KeyState, is_live
from penstock.batch import SYSTEM, TopicSpec
from penstock.clock import ManualClock
from penstock.errors import Conflict, DeclarationError
from penstock.log.memory import MemoryLog
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.system.view import View


class Deployed:
    def __init__(self) -> None:
        self.log, self.clock, self.key = MemoryLog(), ManualClock(), keys.make()
        for topic in (TopicSpec(SYSTEM, partitions=1), SNAPSHOT_TOPIC):
            self.log.create(topic)

    def gateway(self) -> View:
        return View(self.log, [KeyState()], self.clock, "gateway")

    def admit(self, view: View) -> KeyCreated | None:
        return admit(self.log, view, self.clock, self.key)

    def kept(self) -> str:
        with closing(self.log.reader(None, [SYSTEM], "r")) as reader:
            return "\n".join(str(batch.rows.to_pylist()) for batch in reader.read(1_000, 0.0))


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


@pytest.fixture
def view(deployed: Deployed) -> Iterator[View]:
    with closing(deployed.gateway()) as made:
        yield made


def check_let_in(deployed: Deployed, view: View) -> None:
    made = deployed.admit(view)
    assert deployed.key not in deployed.kept(), "the log tells the key"
    assert made is not None and view.areas.only(KeyState).by_digest[keys.digest(deployed.key)] == made
    assert (made.name, made.rights, made.expires, made.by) == ("admin", ("*:*",), None, ADMIN_KEY)


def test_it_is_let_in_and_the_log_does_not_tell_it(deployed: Deployed, view: View) -> None:
    check_let_in(deployed, view)


def test_mutant_that_keeps_the_first_key_in_the_clear_is_caught(
    deployed: Deployed, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "digest", lambda key: key)
    with pytest.raises(AssertionError, match="the log tells the key"):
        check_let_in(deployed, view)


def test_several_gateways_let_in_one_key(deployed: Deployed, view: View) -> None:
    with closing(deployed.gateway()) as other:
        other.refresh()
        assert deployed.admit(view) is not None
        assert deployed.admit(other) is None, "a gateway that is started later"
    assert len(view.areas.only(KeyState).live("admin", deployed.clock.now())) == 1


def test_two_gateways_at_once_let_in_one_key(deployed: Deployed, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(deployed.gateway()) as other:
        with monkeypatch.context() as patched:
            patched.setattr(type(other), "refresh", lambda _: None)  # neither has seen what the other writes
            assert deployed.admit(view) is not None and deployed.admit(other) is not None
        view.refresh()
        other.refresh()
        live = [each.areas.only(KeyState).live("admin", deployed.clock.now()) for each in (view, other)]
    assert live[0] == live[1] and len(live[0]) == 1


def check_revoked(deployed: Deployed, view: View) -> None:
    made = deployed.admit(view)
    assert made is not None
    revoke(deployed.log, view, deployed.clock, made.id, by="test")
    with closing(deployed.gateway()) as again:
        deployed.admit(again)
        state = again.areas.only(KeyState)
        found = state.by_digest[keys.digest(deployed.key)]
        assert not is_live(state, found, deployed.clock.now()), "a start lets in what was revoked"


def test_one_that_was_revoked_is_not_let_in_by_another_start(deployed: Deployed, view: View) -> None:
    check_revoked(deployed, view)


def test_mutant_that_lets_in_a_revoked_key_again_is_caught(
    deployed: Deployed, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "_is_known", lambda *_: False)
    monkeypatch.setattr(admin, "_id_of", lambda _: keys.make_id())  # as keys that are made over HTTP have
    with pytest.raises(AssertionError, match="a start lets in what was revoked"):
        check_revoked(deployed, view)


def test_an_administrator_has_two_keys_at_most(deployed: Deployed, view: View) -> None:
    for _ in range(2):
        issue(deployed.log, view, deployed.clock, "admin", "admin", days=None, by="test")
    with pytest.raises(Conflict, match=f"{ADMIN_KEY} is not let in: 'admin' has 2 keys, .* revoke one") as refusal:
        deployed.admit(view)
    assert deployed.key not in str(refusal.value)


def test_what_is_no_key_is_refused_and_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADMIN_KEY, raising=False)
    assert admin_key_from_env() == ""
    key = keys.make()
    assert checked_admin_key(key) == key
    monkeypatch.setenv(ADMIN_KEY, key)
    assert admin_key_from_env() == key
    monkeypatch.setenv(ADMIN_KEY, key[:-1])
    with pytest.raises(DeclarationError, match="PENSTOCK_ADMIN_KEY is no key: make one with") as refusal:
        admin_key_from_env()
    assert key[:-1] not in str(refusal.value)
