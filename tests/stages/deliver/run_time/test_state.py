"""Which subscriptions were put at run time, as an area of the system, and what its owner decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from tests.system.area_contract import AreaContract

from penstock.batch import TopicSpec
from penstock.clock import ManualClock
from penstock.errors import NotFound
from penstock.log.memory import MemoryLog
from penstock.plan.plan import Plan, ScoreSpec, SubscriptionSpec
from penstock.plan.references import ReferenceSpec
from penstock.plan.run_time import PrivateParts, RunTimeSubscription, decoded, encoded
from penstock.settings import Settings
from penstock.stages.deliver.handshakes.messages import HandshakeForgotten
from penstock.stages.deliver.run_time import state as area
from penstock.stages.deliver.run_time.messages import (
    DeleteSubscription,
    PauseSubscription,
    PutSubscription,
    SubscriptionDeleted,
    SubscriptionPut,
)
from penstock.stages.deliver.run_time.rules import put_rules
from penstock.stages.deliver.run_time.state import PlacedSource, PutRules, RunTimeState
from penstock.stages.deliver.state import Began, Behind, DeliveryState, Failing, Forgotten, SubscriptionChanged
from penstock.system.messages import Command, Message, Refused
from penstock.system.snapshots import pack

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENDS = {0: 5, 1: 9}
FILES = {"cases": "a subscription of the app's file, which is read-only here"}


def find(source: str) -> PlacedSource:
    if source not in ("scores", "orders"):
        raise NotFound(f"there is no topic {source!r}")
    return PlacedSource(source, ENDS)


RULES = PutRules(lambda name: FILES.get(name, ""), find, per_source=3, most=4)


def wanted(name: str = "acme", source: str = "scores", **more: Any) -> RunTimeSubscription:
    private = PrivateParts("https://hooks.example.com/hush", (SECRET,), (("x-key", "quiet"),))
    return RunTimeSubscription(name=name, source=source, private=more.pop("private", private), **more)


def put(id: str, name: str = "acme", source: str = "scores", **more: Any) -> PutSubscription:
    return PutSubscription(id=id, put=wanted(name, source, **more), by="test")


def delete(id: str, name: str = "acme") -> DeleteSubscription:
    return DeleteSubscription(id=id, subscription=name, by="test")


def after(*commands: Command) -> tuple[RunTimeState, list[Message]]:
    """Each asked for a microsecond after the one before, and answered."""
    state, said = RunTimeState(RULES), list[Message]()
    for now, command in enumerate(commands):
        for event in state.decide(command, now=now):
            state.apply(event)
            said.append(event)
    return state, said


def refusals(*commands: Command) -> list[tuple[str, str]]:
    return [(each.kind, each.reason) for each in after(*commands)[1] if isinstance(each, Refused)]


class TestRunTimeSubscriptions(AreaContract):
    def new(self) -> RunTimeState:
        return RunTimeState(RULES)

    def life(self) -> Sequence[Message]:
        first = put("1"), put("2", "other", "orders"), put("3", where="n > 1"), delete("4", "other"), put("5", "third")
        own = self.new().messages
        return [each for each in after(*first)[1] if type(each) in own]

    def command(self) -> Command:
        return put("new", "fourth")


def kinds(messages: Sequence[Message]) -> list[type[Message]]:
    return [type(each) for each in messages]


def twice() -> list[type[Message]]:
    return kinds(after(put("1"), put("2"))[1])


def test_put_twice_is_one() -> None:
    assert twice() == [Began, SubscriptionPut]


def test_mutant_that_replaces_what_is_the_same_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter(range(100))
    monkeypatch.setattr(area, "encoded", lambda each: encoded(each) + bytes([next(found)]))
    with pytest.raises(AssertionError, match="SubscriptionPut"):
        assert twice() == [Began, SubscriptionPut]


def test_one_that_is_put_begins_behind_what_there_was_and_another_of_its_name_goes_on_from_there() -> None:
    state, said = after(put("1"), put("2", where="n > 7"), put("3", "early", start="earliest"))
    assert said[0] == Began(subscription="acme", topic="scores", through=(4, 8))
    assert isinstance(said[1], SubscriptionPut) and isinstance(said[2], SubscriptionPut)
    assert (said[1].begun, said[2].begun, said[2].at) == (0, 0, 1)
    assert said[3] == Began(subscription="early", topic="scores", through=(-1, -1))
    stored = state.get("acme")
    assert stored is not None and stored.subscription.where == "n > 7" and len(state) == 2


def test_of_another_source_it_begins_anew() -> None:
    state, said = after(put("1"), put("2", source="orders"))
    assert kinds(said[2:]) == [Forgotten, HandshakeForgotten, Began, SubscriptionPut]
    assert said[2] == Forgotten(subscription="acme", topic="scores", partitions=2)
    stored = state.get("acme")
    assert stored is not None and stored.begun == 1


def test_what_is_deleted_is_forgotten_in_all_areas() -> None:
    state, said = after(put("1"), delete("2"))
    assert kinds(said[2:]) == [Forgotten, HandshakeForgotten, SubscriptionDeleted]
    assert state.get("acme") is None and not len(state) and not state.stored()
    deliveries = DeliveryState()
    lived: list[Message] = [
        Behind(topic="scores", partition=1, subscription="acme", through=7),
        Failing(subscription="acme", since=3),
        SubscriptionChanged(subscription="acme", paused=True, at=4),
    ]
    for message in (*said[:1], *lived, said[2]):
        deliveries.apply(message)
    assert not deliveries.of("scores", 0) and not deliveries.of("scores", 1)
    assert not deliveries.failing and not deliveries.halted


def of_the_file() -> list[tuple[str, str]]:
    return refusals(put("1", "cases"), delete("2", "cases"))


def test_those_of_the_file_are_read_only() -> None:
    assert of_the_file() == [
        ("conflict", "'cases' is a subscription of the app's file, which is read-only here: choose another name"),
        ("conflict", "'cases' is a subscription of the app's file, which is read-only here: take it out there"),
    ]


def test_mutant_that_puts_over_the_files_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.stages.deliver.run_time.test_state.FILES", {})
    with pytest.raises(AssertionError, match="read-only here: choose another"):
        test_those_of_the_file_are_read_only()


def test_there_are_no_more_than_may_be() -> None:
    scores = [put(str(n), f"s{n}") for n in range(4)]
    ((kind, reason),) = refusals(*scores)
    assert kind == "conflict" and "'scores' has 3 subscriptions put at run time, as many as may be" in reason
    ((_, reason),) = refusals(*scores[:3], put("o", "o1", "orders"), put("p", "o2", "orders"))
    assert "there are 4 subscriptions put at run time" in reason
    assert not refusals(*scores[:3], delete("d", "s1"), put("e", "s9")), "one that is gone makes room"
    assert not refusals(*scores[:3], put("e", "s1", where="n > 1")), "and so does the one that is replaced"


def test_what_is_not_there_is_told() -> None:
    found = refusals(
        put("1", source="nothing"), delete("2"), PauseSubscription(id="3", subscription="x", paused=True, by="t")
    )
    assert [kind for kind, _ in found] == ["not-found"] * 3


def test_one_can_be_paused_by_who_puts_it() -> None:
    command = PauseSubscription(id="2", subscription="acme", paused=True, by="f")
    assert after(put("1"), command)[1][-1] == SubscriptionChanged(subscription="acme", paused=True, at=1)


def test_no_secret_is_in_any_repr() -> None:
    state, said = after(put("1"))
    stored = state.get("acme")
    assert stored is not None
    shown = repr((put("1"), said, state, stored, stored.subscription, stored.subscription.spec("scores", None, None)))
    assert not any(secret in shown for secret in (SECRET, "hush", "quiet"))
    assert SECRET in repr(stored.subscription.private.secrets), "it is there all the same"


def test_what_is_stored_is_read_again() -> None:
    reference = PrivateParts(ReferenceSpec("env", "URL"), (ReferenceSpec("secret", "KEY"),))
    for each in (wanted(), wanted(private=reference), wanted(where="n > 1", rate=2.0, start="earliest")):
        assert decoded(encoded(each)) == each
    assert wanted(private=reference).receiver == "ps.env('URL')" and wanted().receiver == "hooks.example.com"


def test_a_long_history_leaves_little_to_begin_with() -> None:
    """What a start reads is what there is, not what there was."""
    state = RunTimeState(PutRules(lambda _: "", find, 100_000, 100_000))
    for n in range(2_000):
        for command in (put(f"p{n}", f"t{n % 50}", where=f"n > {n}"), delete(f"d{n}", f"t{n % 50}")):
            for event in state.decide(command, now=n):
                state.apply(event)
    assert len(state.save()) < 100 and len(state) == 0
    for n in range(1_000):
        for event in state.decide(put(f"q{n}", f"t{n}"), now=n):
            state.apply(event)
    assert len(pack(state.save())) < 40_000, "bytes of a thousand that there are"
    again = RunTimeState(RULES)
    again.restore(state.save())
    assert again == state and len(again) == 1_000


def test_what_was_not_saved_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        RunTimeState().restore(msgspec.msgpack.encode({"a": 1}))


def test_the_rules_are_those_of_the_plan() -> None:
    log = MemoryLog(ManualClock())
    topic = TopicSpec("scores", pa.schema([("n", pa.int64())]), partitions=2)
    log.create(topic)
    plan = Plan(
        "app",
        "",
        "",
        (topic,),
        stages=(ScoreSpec("scorer", "scores", "out", "m"),),
        subscriptions=(SubscriptionSpec("cases", "scores", "https://hooks.example.com"),),
    )
    rules = put_rules(plan, log, Settings())
    assert "file" in rules.reserved("cases") and "stage" in rules.reserved("scorer") and not rules.reserved("acme")
    assert rules.find("scores") == PlacedSource("scores", {0: 0, 1: 0})
    with pytest.raises(NotFound, match="did you mean scores"):
        rules.find("score")
