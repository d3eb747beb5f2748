"""Handshakes from the plan to the receiver: real requests on loopback, a router, and the owner of the system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.destinations.webhook.receivers import hang, receiving, status
from tests.run.compose.handshaking import (
    IN,
    PUBLIC,
    Answers,
    Asked,
    House,
    allow,
    answers,
    check_it_ends,
    echo,
    house,
)

from penstock.batch import SYSTEM, Write
from penstock.clock import ManualClock, SystemClock
from penstock.destinations.interface import Consent
from penstock.destinations.webhook import transport
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.handshakes import cloudevents, eventgrid
from penstock.destinations.webhook.handshakes.question import HandshakeReply
from penstock.destinations.webhook.lane import WebhookLane
from penstock.destinations.webhook.limits import Limits
from penstock.log.memory import MemoryLog
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.run.compose import deliveries
from penstock.run.compose.bootstrap import all_topics
from penstock.run.compose.deliveries import CourierComposition
from penstock.settings import Settings
from penstock.stages.deliver.handshakes import asking
from penstock.stages.deliver.handshakes.asking import TRIES
from penstock.stages.deliver.handshakes.messages import GrantHandshake
from penstock.stages.deliver.subscriptions import Subscription
from penstock.system.messages import to_rows


@pytest.fixture
def courier() -> Iterator[Courier]:
    found = Courier(SystemClock(), Limits(connections=16, connect_s=5.0, answer_s=5.0))
    yield found
    found.close()
    assert not found.failed


# -- EG10: the handshake of CloudEvents ----------------------------------------

HOST = "events.example.com"
OURS, ANY = f"WebHook-Allowed-Origin: {HOST}", "webhook-allowed-origin: *"
COMBINATIONS: dict[str, tuple[Answers, str]] = {
    "ours": (allow(OURS), "granted"),
    "any": (allow(ANY), "granted"),
    "ours, 405": (allow(OURS, code=405), "granted"),
    "any, 500": (allow(ANY, code=500), "granted"),
    "ours, in capitals": (allow(OURS.upper()), "granted"),
    "ours, with a rate": (allow(OURS, "WebHook-Allowed-Rate: 120"), "granted"),
    "ours, at any rate": (allow(OURS, "WebHook-Allowed-Rate: *"), "granted"),
    "ours, at no rate": (allow(OURS, "WebHook-Allowed-Rate: 0"), "failed"),
    "another": (allow("WebHook-Allowed-Origin: other.example.com"), "failed"),
    "another that ends so": (allow(f"WebHook-Allowed-Origin: x{HOST}"), "failed"),
    "another first": (allow("WebHook-Allowed-Origin: other.example.com", OURS), "failed"),
    "200 without": (allow(), "awaiting"),
    "405 without": (allow(code=405), "awaiting"),
    "a rate alone": (allow("WebHook-Allowed-Rate: 120"), "awaiting"),
    "503 without": (allow(code=503), "failed"),
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_it_is_granted_exactly_if_the_origin_is_allowed(courier: Courier, name: str) -> None:
    given, step = COMBINATIONS[name]
    check_it_ends(courier, answers(given), step, handshake="cloudevents")


def test_without_a_callback_no_answer_is_a_refusal(courier: Courier) -> None:
    check_it_ends(courier, answers(allow()), "failed", handshake="cloudevents", public="")


def check_what_is_asked(courier: Courier) -> None:
    with house(courier, answers(allow(OURS)), handshake="cloudevents", rate=2.0) as here:
        here.publish(1)
        here.until(lambda: len(here.events()) == 1)
        asked, event = here.received()
        assert (asked.method, asked.body) == ("OPTIONS", b"")
        assert "content-type" not in asked.headers
        assert (asked.headers["webhook-request-origin"], asked.headers["webhook-request-rate"]) == (HOST, "120")
        assert asked.headers["webhook-request-callback"].startswith(f"{PUBLIC}/handshakes/")
        assert event.method == "POST"
        assert event.headers.get("webhook-request-origin") == HOST, "a delivery without the origin"


def test_it_is_asked_by_options_and_deliveries_carry_the_origin(courier: Courier) -> None:
    check_what_is_asked(courier)


def test_mutant_that_sends_no_origin_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = WebhookLane.__init__

    def without(lane: WebhookLane, *given: Any) -> None:
        plain(lane, *given)
        lane.lines = [line for line in lane.lines if "origin" not in line]

    monkeypatch.setattr(WebhookLane, "__init__", without)
    with pytest.raises(AssertionError, match="a delivery without the origin"):
        check_what_is_asked(courier)


def test_mutant_that_takes_any_200_for_a_grant_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = cloudevents.judge

    def judge(reply: HandshakeReply, *given: str) -> Consent:
        return Consent("granted") if reply.status == 200 else plain(reply, *given)

    monkeypatch.setattr(cloudevents, "judge", judge)
    with pytest.raises(AssertionError, match="granted:"):
        check_it_ends(courier, answers(allow()), "awaiting", handshake="cloudevents")


def test_mutant_that_sends_before_it_is_granted_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subscription, "halted", property(lambda s: s.paused or s.ended_at > 0))
    with pytest.raises(AssertionError, match="an event came"):
        check_it_ends(courier, answers(allow(code=503)), "failed", handshake="cloudevents")


# -- EG8: the handshake of Event Grid -------------------------------------------


def answered(body: str, code: int = 200) -> Answers:
    return lambda _: status(code, body=body.encode())


ENDINGS: dict[str, tuple[Answers, str]] = {
    "echoes": (echo, "granted"),
    "another code": (answered('{"validationResponse": "another"}'), "failed"),
    "no code": (answered("{}"), "awaiting"),
    "an empty body": (answered(""), "awaiting"),
    "an array": (answered('[{"validationResponse": "x"}]'), "awaiting"),
    "no text": (answered('{"validationResponse": 7}'), "awaiting"),
    "echoes with 202": (lambda asked: echo(asked).replace(b" 200 ", b" 202 ", 1), "failed"),
    "echoes with 201": (lambda asked: echo(asked).replace(b" 200 ", b" 201 ", 1), "failed"),
    "404": (answered("", 404), "failed"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_it_is_granted_exactly_by_200_and_the_code(courier: Courier, name: str) -> None:
    given, step = ENDINGS[name]
    check_it_ends(courier, answers(given), step, handshake="eventgrid")


def test_without_a_callback_no_code_is_a_refusal(courier: Courier) -> None:
    check_it_ends(courier, answers(answered("{}")), "failed", handshake="eventgrid", public="")


def check_one_that_hangs() -> None:
    """Each try has the time of a request, which is 30 s where nothing else is said."""
    assert Limits().answer_s == 30.0, "not 30 s for a handshake"
    courier = Courier(SystemClock(), Limits(connections=16, answer_s=0.2))
    try:
        with house(courier, hang, handshake="eventgrid") as here:
            here.publish(1, 2, 3)
            assert here.until_step("granted", "awaiting", "failed") == "failed"
            assert len(here.received()) == TRIES and not here.events()
            known = here.owner.known()
            assert known is not None and "timed out" in known.reason.lower(), known
    finally:
        courier.close()


def test_one_that_hangs_fails() -> None:
    check_one_that_hangs()


def test_mutant_that_waits_longer_than_30_s_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Limits.__init__

    def patient(limits: Limits, **given: Any) -> None:
        plain(limits, **({"answer_s": 60.0} | given))

    monkeypatch.setattr(Limits, "__init__", patient)
    with pytest.raises(AssertionError, match="not 30 s"):
        check_one_that_hangs()


def test_mutant_that_takes_202_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventgrid, "GOOD", 202)
    with pytest.raises(AssertionError, match="granted:"):
        check_it_ends(courier, answers(ENDINGS["echoes with 202"][0]), "failed", handshake="eventgrid")


def test_mutant_that_takes_any_code_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventgrid, "compare_digest", lambda *_: True)
    with pytest.raises(AssertionError, match="granted:"):
        check_it_ends(courier, answers(ENDINGS["another code"][0]), "failed", handshake="eventgrid")


def test_the_event_is_event_grids(courier: Courier) -> None:
    with house(courier, answers(echo), handshake="eventgrid", secrets=()) as here:
        here.until_step("granted")
        (asked,) = here.received()
        assert asked.method == "POST" and asked.headers["aeg-event-type"] == "SubscriptionValidation"
        assert asked.headers["content-type"] == "application/json; charset=utf-8"
        (event,) = asked.events
        assert event["eventType"] == "Microsoft.EventGrid.SubscriptionValidationEvent"
        assert set(event["data"]) == {"validationCode", "validationUrl"}
        assert event["data"]["validationUrl"].startswith(f"{PUBLIC}/handshakes/")
        wanted = {"id", "topic", "subject", "eventType", "eventTime", "data", "dataVersion", "metadataVersion"}
        assert set(event) == wanted


# -- for both -------------------------------------------------------------------


def check_it_is_asked_once(courier: Courier, **second: Any) -> int:
    """Handshakes of a courier that is started again over the same log, with this of its subscription changed."""
    with receiving(answers(allow(OURS))) as receiver:
        clock = ManualClock()
        log = MemoryLog(clock)
        for given in ({}, second):
            here = House(receiver, courier, log, clock, **({"handshake": "cloudevents"} | given))
            here.publish(1)
            sent = len(here.events())
            here.until(lambda here=here, sent=sent: len(here.events()) > sent)  # type: ignore[misc]
            here.close()
        return sum(asked.is_handshake for asked in here.received())


def test_who_has_granted_it_is_not_asked_again_by_the_next_courier(courier: Courier) -> None:
    assert check_it_is_asked_once(courier) == 1, "asked again"


def test_another_format_or_origin_is_asked_for(courier: Courier) -> None:
    assert check_it_is_asked_once(courier, format="cloudevents-structured") == 2


def test_mutant_that_forgets_who_has_granted_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    count = iter(range(100))
    monkeypatch.setattr(deliveries, "endpoint_digest", lambda *_: str(next(count)))
    with pytest.raises(AssertionError, match="asked again"):
        assert check_it_is_asked_once(courier) == 1, "asked again"


def check_nothing_internal_is_asked(courier: Courier) -> None:
    """``allow_private`` lets in this machine, and no more: the address of a cloud's credentials is never asked."""
    with receiving(answers(allow(ANY))) as receiver:
        clock = ManualClock()
        here = House(receiver, courier, MemoryLog(clock), clock, handshake="cloudevents", url=receiver.url)
        lane = here.composition.asked[0].destination
        assert isinstance(lane, WebhookLane)
        object.__setattr__(lane.endpoint, "allow_private", False)  # as of a name that leads here only now
        assert here.until_step("granted", "awaiting", "failed") == "failed", "an internal address was asked"
        known = here.owner.known()
        assert known is not None and "127.0.0.1 is an internal address" in known.reason
        assert receiver.connections == 0
        here.close()


def test_nothing_internal_is_asked(courier: Courier) -> None:
    check_nothing_internal_is_asked(courier)


def test_mutant_that_looks_at_no_address_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "refusal", lambda *_: "")
    with pytest.raises(AssertionError, match="an internal address was asked"):
        check_nothing_internal_is_asked(courier)


def check_no_secret_is_told(courier: Courier) -> None:
    """Of the callback and the code nothing but digests is stored, also where an endpoint echoes them."""

    def echoing(asked: Asked) -> bytes:
        return status(200, f"WebHook-Allowed-Origin: {asked.headers['webhook-request-callback']}")

    with house(courier, answers(echoing), handshake="cloudevents") as here:
        assert here.until_step("granted", "awaiting", "failed") == "failed"
        token = here.received()[0].headers["webhook-request-callback"].rpartition("/")[2]
        assert len(token) >= 43, "too short to be no guess"
        stored = str([row for batch in here.log.reader(None, ["penstock.system"], "test").read(1_000, 0.0)
                      for row in batch.rows.to_pylist()])  # fmt: skip
        assert token not in stored, "the token is in the log"
        assert asking.token_digest(token) in stored
        assert token not in repr(here.composition.asked) and token not in repr(here.handshakes)


def test_no_secret_is_told_or_stored(courier: Courier) -> None:
    check_no_secret_is_told(courier)


def test_mutant_that_repeats_what_an_endpoint_echoes_is_caught(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudevents, "hidden_of", lambda _: ())
    with pytest.raises(AssertionError, match="the token is in the log"):
        check_no_secret_is_told(courier)


def test_what_is_caught_on_a_laptop_is_asked_for_nothing(courier: Courier) -> None:
    plan = Plan(
        "shop",
        "",
        "",
        (IN,),
        subscriptions=(SubscriptionSpec("s", "in", "https://x.example", handshake="cloudevents"),),
    )
    log = MemoryLog()
    for topic in all_topics(plan):
        log.create(topic)
    caught = CourierComposition(plan, log, ManualClock(), Settings(), "m", courier.open, "http://127.0.0.1:9")
    assert not caught.asked and not caught.subscriptions["s"].halted
    caught.close()


def check_the_callback(courier: Courier) -> None:
    """An endpoint that does not answer so at once consents later, and says how much it takes."""
    with house(courier, answers(allow()), handshake="cloudevents") as here:
        here.publish(1, 2)
        here.until_step("awaiting")
        callback = here.received()[0].headers["webhook-request-callback"]
        token = asking.token_digest(callback.removeprefix(f"{PUBLIC}/handshakes/"))
        opened = GrantHandshake(id="g", token=token, at=here.clock.now(), per_minute=120)
        assert not here.events()
        here.log.append([Write(SYSTEM, 0, to_rows([opened]))])
        here.until(lambda: len(here.events()) == 2)
        assert all(event.headers["webhook-request-origin"] == HOST for event in here.events())
        lane = here.composition.asked[0].destination
        assert isinstance(lane, WebhookLane)
        before = lane.due
        lane.begin()
        assert lane.due - before > 0.5, "the rate of the callback is not kept"


def test_a_callback_grants_it_and_its_rate_is_kept(courier: Courier) -> None:
    check_the_callback(courier)


def test_mutant_that_keeps_no_rate_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebhookLane, "keep_to", lambda *_: None)
    with pytest.raises(AssertionError, match="the rate of the callback is not kept"):
        check_the_callback(courier)
