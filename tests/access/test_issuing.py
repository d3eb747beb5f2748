"""Keys come and go in the log; what is kept of one does not tell it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from penstock.access import issuing, keys
from penstock.access.issuing import issue, revoke
from penstock.access.state import KeyCreated, KeyRevoked, KeyState
from penstock.batch import SYSTEM, TopicSpec
from penstock.clock import ManualClock
from penstock.errors import BadRequest, Conflict, DeclarationError, NotFound
from penstock.log.memory import MemoryLog
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.system.view import View

HOUR_US = 3_600_000_000


class Place:
    def __init__(self) -> None:
        self.log, self.clock = MemoryLog(), ManualClock()
        for topic in (TopicSpec(SYSTEM, partitions=1), SNAPSHOT_TOPIC):
            self.log.create(topic)
        self.view = self.another()

    def another(self) -> View:
        """As another process sees it."""
        return View(self.log, [KeyState()], self.clock, "m")

    def issue(self, name: str = "acme", allow: str = "append:tx", days: float | None = None) -> issuing.Issued:
        return issue(self.log, self.view, self.clock, name, allow, days=days, by="test")

    def kept(self) -> str:
        with closing(self.log.reader(None, [SYSTEM], "r")) as reader:
            return "\n".join(str(batch.rows.to_pylist()) for batch in reader.read(1_000, 0.0))


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.view.close()


def check_that_it_is_not_kept(place: Place) -> None:
    issued = place.issue()
    secret = issued.key[len(keys.PREFIX) :]
    assert issued.key not in repr(issued) and issued.made.digest == keys.digest(issued.key)
    for text in (place.kept(), repr(place.view.areas.only(KeyState)), repr(place.view.areas.only(KeyState).save())):
        assert secret not in text and issued.key not in text, "the key is kept"


def test_what_is_kept_does_not_tell_the_key(place: Place) -> None:
    check_that_it_is_not_kept(place)


def test_mutant_that_keeps_the_key_is_caught(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "digest", lambda key: key)
    with pytest.raises(AssertionError, match="the key is kept"):
        check_that_it_is_not_kept(place)


def test_every_process_knows_it_and_knows_when_it_is_gone(place: Place) -> None:
    issued = place.issue()
    with closing(place.another()) as elsewhere:
        elsewhere.refresh()
        state = elsewhere.areas.only(KeyState)
        assert state.by_digest[keys.digest(issued.key)] == issued.made and state.revoked == {}
        place.clock.advance(1.0)
        revoke(place.log, place.view, place.clock, issued.made.id, by="test")
        elsewhere.refresh()
        assert list(state.revoked) == [issued.made.id]
    before = place.kept()
    revoke(place.log, place.view, place.clock, issued.made.id, by="test")
    assert place.kept() == before, "once is enough"


def test_a_name_has_two_live_keys(place: Place) -> None:
    first, second = place.issue(), place.issue()
    with pytest.raises(Conflict, match=f"'acme' has 2 keys, {first.made.id} and {second.made.id}: revoke the one"):
        place.issue()
    place.issue("other")
    revoke(place.log, place.view, place.clock, first.made.id, by="test")
    third = place.issue(days=1)
    with pytest.raises(Conflict):
        place.issue()
    place.clock.advance(25 * 3_600.0)
    place.issue()
    assert third.made.expires == third.made.at + 24 * HOUR_US, "and one that has expired counts no more"


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"name": ""}, BadRequest, "whose it is"),
        ({"name": " "}, BadRequest, "whose it is"),
        ({"name": "a\nb"}, BadRequest, "whose it is"),
        ({"name": "x" * 65}, BadRequest, "64 characters"),
        ({"days": 0}, BadRequest, "more than 0 days"),
        ({"days": float("nan")}, BadRequest, "more than 0 days"),
        ({"days": 1e9}, BadRequest, "at most 3,650"),
        ({"allow": "write:tx"}, DeclarationError, "'write' is no verb"),
    ],
)
def test_what_cannot_be_made_changes_nothing(
    place: Place, given: dict[str, object], kind: type[Exception], says: str
) -> None:
    before = place.kept()
    with pytest.raises(kind, match=says):
        place.issue(**given)  # type: ignore[arg-type]
    assert place.kept() == before


SUBJECT = "CN=till 7,O=Shop\\, Inc,L=Z\u00fcrich"


def certified(place: Place, subject: str = SUBJECT, name: str = "till", **given: bool) -> issuing.Issued:
    view, clock = place.view, place.clock
    return issue(place.log, view, clock, name, "append:tx", days=1, by="test", certificate=subject, **given)


def test_a_certificate_has_one_entry_that_is_live_and_no_key(place: Place) -> None:
    first, state = certified(place), place.view.areas.only(KeyState)
    assert first.key == "" and state.by_digest == {} and state.of_certificate(SUBJECT, first.made.at) == first.made
    with pytest.raises(Conflict, match=f"{first.made.id} of till is live for the certificate"):
        certified(place, name="other")
    revoke(place.log, place.view, place.clock, first.made.id, by="test")
    assert state.of_certificate(SUBJECT, first.made.at) is None
    second = certified(place)
    assert state.of_certificate(SUBJECT, second.made.at) == second.made
    place.clock.advance(25 * 3_600.0)
    assert state.of_certificate(SUBJECT, place.clock.now()) is None
    third, again = certified(place), KeyState()
    again.restore(state.save())
    assert again == state and again.of_certificate(SUBJECT, place.clock.now()) == third.made


@pytest.mark.parametrize(
    "subject", ["till 7", "CN=till 7, O=Shop", "CN=till 7,", "CN=a,b", "=a", "C\nN=a", "CN=" + "x" * 510]
)
def test_a_subject_that_no_door_writes_so_is_refused(place: Place, subject: str) -> None:
    before = place.kept()
    with pytest.raises(BadRequest, match="as RFC 4514 has it"):
        certified(place, subject)
    with pytest.raises(BadRequest, match="signs no requests"):
        certified(place, signs=True)
    assert place.kept() == before


def test_a_key_that_is_not_there_cannot_be_revoked(place: Place) -> None:
    with pytest.raises(NotFound, match="there is no key 'nobody'"):
        revoke(place.log, place.view, place.clock, "nobody", by="test")


def test_a_snapshot_knows_what_the_history_says(place: Place) -> None:
    first, _ = place.issue(), place.issue("other", "read:*", days=3)
    revoke(place.log, place.view, place.clock, first.made.id, by="test")
    state, again = place.view.areas.only(KeyState), KeyState()
    again.restore(state.save())
    assert again == state
    with pytest.raises(ValueError):
        again.restore(b"\xc1")
    assert again == state


def test_history_in_any_order_and_twice() -> None:
    made = KeyCreated(id="a", name="n", digest="d", rights=("read:tx",), expires=None, at=1, by="b")
    gone = KeyRevoked(id="a", at=2, by="b")
    one, other = KeyState(), KeyState()
    for message in (made, gone, made, gone):
        one.apply(message)
    for message in (gone, made, msgspec.structs.replace(gone, at=3)):
        other.apply(message)
    assert one == other and one.revoked == {"a": 2}
