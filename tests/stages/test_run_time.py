"""Subscriptions that a function puts are part of its commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import penstock as ps
from penstock import testing
from penstock.errors import DeclarationError
from penstock.runner import wire
from penstock.runner.calling import events
from penstock.runner.calling.event_access import EventAccess
from penstock.runner.interface import Applied, ChangeSubscription, SetAlias
from penstock.stages.deliver.run_time.state import RunTimeState

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
app = ps.App("saas")


@dataclass
class Risk:
    id: str
    risk: float


@dataclass
class Onboarded:
    tenant: str
    url: str = "https://acme.example.com/hush"
    where: str = "risk > 0.9"
    then: str = ""


risks = app.topic("risks", Risk, key="id")
onboarded = app.topic("onboarded", Onboarded, partitions=1)


@app.on(onboarded, retry=ps.Retry(attempts=1))
def subscribe(t: Onboarded, subscriptions: ps.Subscriptions) -> None:
    if t.then == "delete":
        subscriptions.delete(f"{t.tenant}-cases")
        return
    subscriptions.put(f"{t.tenant}-cases", risks, t.url, where=t.where, secret=SECRET)
    if t.then == "fail":
        raise ValueError("it fails after it has put")


def known(running: Any) -> dict[str, Any]:
    state = running._composition.registry.view.areas.only(RunTimeState)
    running._composition.registry.refresh()
    return {name: stored.subscription for name, stored in state.stored().items()}


def test_a_function_puts_and_deletes() -> None:
    with testing.run(app) as running:
        running.publish(onboarded, Onboarded("acme"), Onboarded("zeta", where="risk>0.5"))
        running.settle()
        assert known(running)["acme-cases"].source == "risks" and known(running)["zeta-cases"].where == "risk > 0.5"
        running.publish(onboarded, Onboarded("acme", then="delete"))
        running.settle()
        assert list(known(running)) == ["zeta-cases"]


def put_by_who_failed() -> list[str]:
    with testing.run(app) as running:
        running.publish(onboarded, Onboarded("acme", then="fail"), Onboarded("zeta"))
        running.settle()
        running.advance("1h")
        assert [letter.error for letter in running.dead(onboarded)] == ["ValueError"]
        return list(known(running))


def test_a_function_that_fails_puts_nothing() -> None:
    assert put_by_who_failed() == ["zeta-cases"]


def test_mutant_that_keeps_what_a_failed_call_put_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of_them(callee: Any, handled: Any) -> Any:
        applied = was(callee, handled)
        return Applied(applied.rows, applied.parents, applied.failures, [c for h in made for c in h.commands])

    def kept(self: Any, *given: Any) -> None:
        init(self, *given)
        made.append(self)

    was, init, made = events._applied, EventAccess.__init__, list[Any]()
    monkeypatch.setattr(EventAccess, "__init__", kept)
    monkeypatch.setattr(events, "_applied", all_of_them)
    with pytest.raises(AssertionError, match="acme-cases"):
        assert put_by_who_failed() == ["zeta-cases"]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"where": "nothing > 1"}, "FilterInvalid"),
        ({"url": "http://acme.example.com"}, "DeclarationError"),
        ({"url": "https://127.0.0.1/hush"}, "DeclarationError"),
        ({"url": "env:HOME"}, "DeclarationError"),
    ],
)
def test_what_cannot_be_is_the_events_own_fault(given: dict[str, str], error: str) -> None:
    with testing.run(app) as running:
        running.publish(onboarded, Onboarded("acme", **given))
        running.settle()
        running.advance("1h")
        (letter,) = running.dead(onboarded)
        assert letter.error == error and "hush" not in letter.reason
        assert not known(running)


def test_a_plain_object_records_for_a_test_of_the_function() -> None:
    subscriptions = ps.Subscriptions()
    subscribe(Onboarded("acme"), subscriptions)
    put = subscriptions.put_by_name["acme-cases"]
    assert (put.source, put.to, put.where) == ("risks", "https://acme.example.com/hush", "risk > 0.9")
    assert "hush" not in repr(subscriptions.put_by_name) and SECRET not in repr(subscriptions.put_by_name)
    subscriptions.pause("acme-cases")
    subscriptions.resume("acme-cases")
    subscribe(Onboarded("acme", then="delete"), subscriptions)
    assert (subscriptions.paused, subscriptions.resumed, subscriptions.deleted) == (["acme-cases"],) * 2 + (
        ["acme-cases"],
    )
    assert not subscriptions.put_by_name
    with pytest.raises(DeclarationError, match="without TLS"):
        subscriptions.put("acme", risks, "http://acme.example.com")
    with pytest.raises(DeclarationError, match="no option 'batsh'"):
        subscriptions.put("acme", risks, "https://acme.example.com", batsh=(1, 2))  # type: ignore[call-arg]
    with pytest.raises(DeclarationError, match="not to a Topic"):
        subscriptions.put("acme", risks, risks)  # type: ignore[arg-type]


def test_the_plan_says_who_subscribes() -> None:
    with testing.run(app) as running:
        plan = running._composition.plan
    assert plan.delivers and [h.verbs for h in plan.stages[0].handles] == [("subscribe",)]  # type: ignore[attr-defined]


def test_what_a_runner_sends_is_what_it_says() -> None:
    from penstock.declare.run_time import read_put

    put = read_put("acme", "risks", "https://acme.example.com/hush", secret=SECRET)
    for wish in (
        SetAlias("m", "champion", 2),
        ChangeSubscription("acme", "put", put),
        ChangeSubscription("a", "delete"),
    ):
        assert wire.wish_from_wire(wire.wish_to_wire(wish)) == wish
        assert "hush" not in repr(wish) and SECRET not in repr(wire.wish_to_wire(wish))
    for sent in (
        wire.SubscriptionWanted("acme", "put"),
        wire.SubscriptionWanted("acme", "delete", put),
        wire.SubscriptionWanted("zeta", "put", put),
    ):
        with pytest.raises(wire.Broken, match="not what it says"):
            wire.wish_from_wire(sent)
