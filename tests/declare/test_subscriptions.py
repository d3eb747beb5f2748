"""What ``app.subscribe`` refuses at its line, what it makes of what it is given, and what subscriptions are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.declare import subscriptions
from penstock.declare.parts import SubscriptionPart
from penstock.declare.source_location import declaring_place
from penstock.declare.values import refused
from penstock.errors import DeclarationError

URL = "https://hooks.example.com/scores?k=hush"
Declare = Callable[[Any, Any], Any]


@dataclass
class A:
    a: int


def declared(declare: Declare) -> SubscriptionPart:
    app = ps.App("x")
    declare(app, app.topic("scores", A))
    (part,) = app.parts.subscriptions
    return part


def test_a_webhook_with_all_its_options() -> None:
    part = declared(
        lambda app, scores: app.subscribe(
            scores, ps.env("CASE_URL"), name="cases", where="a > 1", retry=ps.Retry(attempts=3, ttl="90m"),
            batch=(100, 128), format="eventgrid", secret=[ps.secret("NEW"), ps.secret("OLD")],
            headers={"x-team": "risk", "Authorization": ps.secret("TOKEN")}, start="earliest", concurrency=4,
            rate="90/m", handshake="cloudevents", allow_http=True, allow_private=True,
        )
    )  # fmt: skip
    assert (part.name, part.to, part.where, part.attempts, part.ttl) == ("cases", "env:CASE_URL", "a > 1", 3, 5_400.0)
    assert (part.max_events, part.preferred_kb, part.format) == (100, 128, "eventgrid")
    assert [secret.variable for secret in part.secrets] == ["NEW", "OLD"]
    assert part.headers == (("x-team", "risk"), ("Authorization", "secret:TOKEN"))
    assert (part.start, part.concurrency, part.rate) == ("earliest", 4, 1.5)
    assert part.allow_http and part.allow_private and part.handshake == "cloudevents"
    assert part.place.startswith(f"{__file__}:")


def test_what_is_not_said() -> None:
    part = declared(lambda app, scores: app.subscribe(scores, URL))
    assert (part.attempts, part.ttl, part.max_events, part.preferred_kb) == (30, 86_400.0, 1, 64)
    assert (part.format, part.start, part.concurrency, part.rate) == ("cloudevents", "latest", 32, None)
    assert part.disable_after == 5 * 86_400 and part.handshake == "none"
    assert (part.where, part.secrets, part.headers) == (None, (), ())
    assert not part.allow_http and not part.allow_private


def test_ordered_is_of_what_goes_outside() -> None:
    assert declared(lambda app, scores: app.subscribe(scores, URL, ordered=True)).ordered
    kafka = ps.KafkaTopic("broker:9092", "scores")
    assert declared(lambda app, scores: app.subscribe(scores, kafka, ordered=True)).ordered
    assert not declared(lambda app, scores: app.subscribe(scores, URL)).ordered
    with pytest.raises(DeclarationError, match="topic 'copies' always gets the events of a key in their order"):
        declared(lambda app, scores: app.subscribe(scores, app.topic("copies", A), ordered=True))
    with pytest.raises(DeclarationError, match="ordered='yes' must be True or False"):
        declared(lambda app, scores: app.subscribe(scores, URL, ordered="yes"))


def test_a_retry_without_a_ttl_has_the_subscriptions() -> None:
    part = declared(lambda app, scores: app.subscribe(scores, URL, retry=ps.Retry(attempts=10)))
    assert (part.attempts, part.ttl) == (10, 86_400.0)


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("scores-to-hooks-example-com", URL),
        ("scores-to-hooks-example-com", URL.upper().replace("HTTPS", "https")),
        ("scores-to-hooks-example-com-8443", "https://hooks.example.com:8443/other"),
        ("scores-to-2001-db8-1", "https://[2001:db8::1]/"),
        ("scores-to-case-url", ps.env("CASE_URL")),
        ("scores-to-case-url", ps.secret("CASE_URL")),
    ],
)
def test_a_name_is_made_of_both_ends_and_of_nothing_else(name: str, to: str) -> None:
    assert declared(lambda app, scores: app.subscribe(scores, to)).name == name
    filtered = declared(lambda app, scores: app.subscribe(scores, to, where="a > 1", rate="1/s", start="earliest"))
    assert filtered.name == name


def test_the_names_of_topics_and_system_events() -> None:
    assert declared(lambda app, scores: app.subscribe(scores, app.topic("high_scores"))).name == "scores-to-high-scores"
    part = declared(lambda app, scores: app.subscribe(ps.ModelRegistered, URL))
    assert (part.name, part.source) == ("model-registered-to-hooks-example-com", ps.ModelRegistered)


def test_a_topic_of_kafka_gives_its_name() -> None:
    to = ps.KafkaTopic(ps.env("BROKERS"), "risk.scores")
    part = declared(lambda app, scores: app.subscribe(scores, to, format="cloudevents-structured", rate="10/s"))
    assert (part.name, part.to, part.format) == ("scores-to-risk-scores", to, "cloudevents-structured")


def test_a_polars_expression_is_kept_as_it_is() -> None:
    condition = pl.col("a") > 1
    assert declared(lambda app, scores: app.subscribe(scores, URL, where=condition)).where is condition


def test_a_filter_is_kept_as_it_is() -> None:
    filter = ps.eventgrid.Filter(["made"])
    assert declared(lambda app, scores: app.subscribe(scores, URL, filter=filter)).filter is filter


@pytest.mark.parametrize("batch", [(1, 1), (5_000, 1_024)])
@pytest.mark.parametrize("retry", [ps.Retry(1, "1m"), ps.Retry(30, "1440m")])
def test_the_ends_of_what_may_be(batch: tuple[int, int], retry: ps.Retry) -> None:
    part = declared(lambda app, scores: app.subscribe(scores, URL, batch=batch, retry=retry, format="eventgrid"))
    assert (part.max_events, part.preferred_kb) == batch and part.attempts == retry.attempts


def hook(**options: Any) -> Declare:
    return lambda app, scores: app.subscribe(scores, URL, **options)


def record(**options: Any) -> Declare:
    return lambda app, scores: app.subscribe(scores, ps.KafkaTopic("b:9092", "t"), **options)


def feed(**options: Any) -> Declare:
    return lambda app, scores: app.subscribe(scores, app.topic("t"), **options)


WRONG: list[tuple[str, Declare]] = [
    (r"app.subscribe takes a topic or a class of system event, not 'scores'; write: scores = app.topic\('scores'\)",
     lambda app, scores: app.subscribe("scores", URL)),
    ("app.subscribe takes a topic", lambda app, scores: app.subscribe(ps.SystemEvent, URL)),
    (r"sends to a URL, a ps.env\(...\), a ps.secret\(...\), a topic or a ps.KafkaTopic\(...\), not to 3",
     lambda app, scores: app.subscribe(scores, 3)),
    ("it does not begin with https://", lambda app, scores: app.subscribe(scores, "ftp://example.com/")),
    ("it does not begin with https://", lambda app, scores: app.subscribe(scores, "scores")),
    ("it has a user or a password in it", lambda app, scores: app.subscribe(scores, "https://me:hush@example.com/")),
    ("'a/b' cannot be the name of a subscription", hook(name="a/b")),
    ("Penstock's own", hook(name="penstock.x")),
    ("where=3 must be SQL text", hook(where=3)),
    ("filter='a' is not a ps.eventgrid.Filter; write a condition as where=", hook(filter="a")),
    ("where= and filter= cannot be given both", hook(where="a > 1", filter=ps.eventgrid.Filter())),
    (r"retry=3 is not a ps.Retry; write retry=ps.Retry\(attempts=30, ttl='24h'\)", hook(retry=3)),
    ("attempts=31 must be at least 1 and at most 30", hook(retry=ps.Retry(attempts=31))),
    ("ttl='59s' of a subscription must be at least 1 minute and at most 24 hours", hook(retry=ps.Retry(ttl="59s"))),
    ("ttl='1441m' of a subscription", hook(retry=ps.Retry(ttl="1441m"))),
    (r"batch=100 must be \(events, KB\); write batch=\(100, 64\)", hook(batch=100)),
    ("batch=", hook(batch=(1, 2, 3))),
    ("the events of batch=0 must be at least 1 and at most 5000", hook(batch=(0, 64))),
    ("the events of batch=5001", hook(batch=(5_001, 64))),
    ("the KB of batch=1025 must be at least 1 and at most 1024", hook(batch=(1, 1_025))),
    ("the KB of batch=0", hook(batch=(1, 0))),
    ("format='json' must be one of 'cloudevents', 'cloudevents-structured', 'cloudevents-batch', 'eventgrid'",
     hook(format="json")),
    (r"secret= is a secret's name, not the secret; write secret=ps.secret\('WEBHOOK_KEY'\)", hook(secret="hush")),
    ("secret= is a secret's name", hook(secret=ps.env("KEY"))),
    ("secret= is a secret's name", hook(secret=[ps.secret("KEY"), "hush"])),
    ("secret= is a secret's name", hook(secret={"hush"})),
    ("secret= is one", hook(secret=[])),
    ("secret= is one", hook(secret=[ps.secret("A"), ps.secret("A")])),
    ("secret= is one", hook(secret=[ps.secret("A"), ps.secret("B"), ps.secret("C")])),
    ("headers= must be a dict of at most 10", hook(headers=[("a", "b")])),
    ("headers= must be a dict of at most 10", hook(headers={f"x-{n}": "a" for n in range(11)})),
    ("headers= has a name twice", hook(headers={"X-A": "1", "x-a": "2"})),
    ("that cannot be the name of a header", hook(headers={"x a": "1"})),
    ("that cannot be the name of a header", hook(headers={3: "1"})),
    ("that header is the request's own", hook(headers={"Content-Type": "text/plain"})),
    ("that header is the request's own", hook(headers={"Webhook-Id": "1"})),
    ("that header is the request's own", hook(headers={"ce-id": "1"})),
    ("that header is the request's own", hook(headers={"aeg-event-type": "1"})),
    (r"lets somebody in: write {'Authorization': ps.secret\('...'\)}", hook(headers={"Authorization": "Bearer hush"})),
    ("a value is a text of visible ASCII, 4,096 bytes at most", hook(headers={"x-a": "a\r\nx-b: hush"})),
    ("a value is a text of visible ASCII", hook(headers={"x-a": "a" * 4_097})),
    ("a value is a text of visible ASCII", hook(headers={"x-a": "é"})),
    ("a value is a text of visible ASCII", hook(headers={"x-a": ""})),
    ("a value is a text of visible ASCII", hook(headers={"x-a": 3})),
    ("start='now' must be 'earliest' or 'latest'", hook(start="now")),
    ("concurrency=0 must be at least 1 and at most 64", hook(concurrency=0)),
    ("concurrency=65", hook(concurrency=65)),
    ("disable_after='59m' must be at least 1 hour, or None", hook(disable_after="59m")),
    ("disable_after=5 is not a duration", hook(disable_after=5)),
    ("handshake='yes' must be one of 'none', 'eventgrid', 'cloudevents'", hook(handshake="yes")),
    ("handshake=None must be one of", hook(handshake=None)),
    ("handshake= is of webhooks, and this subscription feeds a topic", feed(handshake="eventgrid")),
    ("handshake= is of webhooks, and this subscription goes to kafka", record(handshake="cloudevents")),
    ("rate=100 is no rate; write rate='100/s', '100/m' or '100/h', in requests", hook(rate=100)),
    ("rate='0/s' is no rate", hook(rate="0/s")),
    ("rate='1/d' is no rate", hook(rate="1/d")),
    ("allow_http=1 must be True or False", hook(allow_http=1)),
    ("allow_private='no' must be True or False", hook(allow_private="no")),
    ("batch= is of webhooks, and this subscription feeds a topic", feed(batch=(1, 64))),
    ("format= is of webhooks", feed(format="eventgrid")),
    ("secret= is of webhooks", feed(secret=ps.secret("KEY"))),
    ("headers= is of webhooks", feed(headers={"x-a": "1"})),
    ("allow_http= is of webhooks", feed(allow_http=True)),
    ("allow_private= is of webhooks", feed(allow_private=True)),
    ("kafka takes no format='eventgrid'; write one of 'cloudevents', 'cloudevents-structured'",
     record(format="eventgrid")),
    ("format='json' must be one of", record(format="json")),
    ("batch= is of requests with several events, and kafka takes each alone", record(batch=(1, 64))),
    ("secret= is of webhooks, and this subscription goes to kafka t at b", record(secret=ps.secret("KEY"))),
    ("headers= is of webhooks", record(headers={"x-a": "1"})),
    ("allow_http= is of webhooks", record(allow_http=True)),
    ("allow_private= is of webhooks", record(allow_private=True)),
]  # fmt: skip


@pytest.mark.parametrize(("message", "declare"), WRONG, ids=[f"{n} {m}" for n, (m, _) in enumerate(WRONG)])
def test_refused_with_its_place_and_without_a_secret(message: str, declare: Declare) -> None:
    app = ps.App("x")
    scores = app.topic("scores", A)
    with pytest.raises(DeclarationError, match=rf"test_subscriptions\.py:\d+: .*{message}") as refusal:
        declare(app, scores)
    assert "hush" not in str(refusal.value)
    assert not app.parts.subscriptions


def test_mutant_a_secret_in_a_refusal_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(secret: object) -> tuple[ps.Ref, ...]:
        raise refused(f"secret={secret!r} is a secret's name, not the secret")

    monkeypatch.setattr(subscriptions, "read_secrets", shown)
    with pytest.raises(AssertionError, match="assert 'hush' not in"):
        test_refused_with_its_place_and_without_a_secret("a secret's name, not the secret", hook(secret="hush"))


def test_mutant_a_url_in_a_refusal_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def split(text: str) -> None:
        raise ValueError(f"{text} has a user or a password in it")

    monkeypatch.setattr(subscriptions, "_split", split)
    with pytest.raises(AssertionError, match="assert 'hush' not in"):
        test_refused_with_its_place_and_without_a_secret(
            "a user or a password in it", lambda app, scores: app.subscribe(scores, "https://me:hush@example.com/")
        )


def test_mutant_a_name_of_the_whole_declaration_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place would be lost whenever the filter changes, or the file."""
    made = subscriptions.read_name

    def of_the_file(name: object, source: Any, to: Any) -> str:
        return f"{made(name, source, to)}-{declaring_place().rpartition(':')[2]}"

    monkeypatch.setattr(subscriptions, "read_name", of_the_file)
    with pytest.raises(AssertionError, match="scores-to-case-url-"):
        test_a_name_is_made_of_both_ends_and_of_nothing_else("scores-to-case-url", ps.env("CASE_URL"))
