"""What `check` says of a subscription beside its topic, its target and the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock import testing
from penstock.declare.load import load
from penstock.declare.planning import build, subscriptions
from penstock.declare.planning.build import ResolvedApp, plan_of
from penstock.filters.eventgrid import Filter
from penstock.plan.codec import plan_from_bytes, plan_to_bytes
from penstock.plan.destination import DestinationSpec
from penstock.plan.plan import SubscriptionSpec
from penstock.plan.references import ReferenceSpec

Look = Callable[..., ResolvedApp]

HOOK = '"https://hooks.example.com/"'
REFUSED = {
    "unknown source": (
        f'app.subscribe(ps.App("o").topic("other", A), {HOOK})',
        "'other-to-hooks-example-com' uses topic 'other', which this app does not declare",
    ),
    "unknown target": (
        'app.subscribe(first, ps.App("o").topic("other", A))',
        "'first-to-other' uses topic 'other', which this app does not declare",
    ),
    "two of one name": (
        f"app.subscribe(first, {HOOK})\napp.subscribe(first, {HOOK})",
        r"two subscriptions are called 'first-to-hooks-example-com', the other at .*py:\d+\n *give one of them name=",
    ),
    "the name of a stage": (
        f"@app.on(first)\ndef f(x: A) -> None: ...\napp.subscribe(first, {HOOK}, name='f')",
        r"a stage and a subscription are called 'f', the other at .*py:\d+\n *give the subscription name=",
    ),
    "its own source": (
        "app.subscribe(first, first)",
        "'first-to-first' feeds topic 'first', which it reads: its events would go round for ever",
    ),
    "a circle of subscriptions": (
        "t = app.topic('t', A)\napp.subscribe(first, t)\napp.subscribe(t, first)",
        "events of topic 'first' come back to it through scorers and subscriptions that pass every event, for ever",
    ),
    "a circle with a scorer": (
        """
        t = app.topic("t", A)
        app.score(first, app.model("m", outputs=["text"]), to=t, keep=["a"])
        app.subscribe(t, first)
        """,
        "events of topic 't' come back to it through scorers and subscriptions that pass every event, for ever",
    ),
    "a target of another type": (
        "app.subscribe(first, second)",
        "'first-to-second' does not fit topic 'second': the column 'b' is missing",
    ),
    "the handshake of another format": (
        f"app.subscribe(first, {HOOK}, handshake='eventgrid')",
        "has handshake='eventgrid', an event of that schema, and format='cloudevents'\n *write format='eventgrid', or "
        "handshake='cloudevents'",
    ),
    "a batch in binary mode": (
        f"app.subscribe(first, {HOOK}, batch=(2, 64))",
        r"batch=\(2, ...\), and format='cloudevents' takes one event a request\n *write format='cloudevents-batch' or",
    ),
    "a batch in structured mode": (
        f"app.subscribe(first, {HOOK}, batch=(2, 64), format='cloudevents-structured')",
        "and format='cloudevents-structured' takes one event a request",
    ),
    "a column that is not there": (
        f"app.subscribe(first, {HOOK}, where='a > 1 AND nope = 1')",
        r"where= of 'first-to-hooks-example-com': no column nope: .*\n +a > 1 AND nope = 1\n +\^\n +docs/where.md has",
    ),
    "a condition that does not parse": (f"app.subscribe(first, {HOOK}, where='a >')", "where= of"),
    "a condition on what is fed": (
        f"app.subscribe(first, t := app.topic('t'))\napp.subscribe(t, {HOOK}, where='b > 1')",
        "where= of 't-to-hooks-example-com': no column b",
    ),
    "a field that the system event lacks": (
        f"app.subscribe(ps.ModelRegistered, {HOOK}, where='modle = 1')",
        "where= of 'model-registered-to-hooks-example-com': no column modle: did you mean model",
    ),
    "an expression without a counterpart": (
        f"app.subscribe(first, {HOOK}, where=pl.col('a').sum() > 1)",
        r"where= of 'first-to-hooks-example-com': where has no counterpart of .*\n +docs/where.md has",
    ),
    "an expression on a column that is not there": (
        f"app.subscribe(first, {HOOK}, where=pl.col('nope') > 1)",
        "where= of 'first-to-hooks-example-com': no column nope",
    ),
    "an empty condition": (f"app.subscribe(first, {HOOK}, where='')", "where= of 'first-to-hooks-example-com'"),
    "no TLS": (
        'app.subscribe(first, "http://example.com/x?token=hush")',
        "'first-to-example-com' sends to example.com, without TLS\n *write https://, or allow_http=True",
    ),
    "an internal address": (
        'app.subscribe(first, "https://169.254.169.254/hush")',
        "sends to 169.254.169.254, and that is not on the public internet\n *write allow_private=True",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_line_and_a_mend(looked_at: Look, text: str, message: str) -> None:
    errors = [f for f in looked_at(text).findings if f.severity == "error"]
    with pytest.raises(AssertionError, match=message) as shown:
        raise AssertionError("\n".join(map(str, errors)))
    assert "hush" not in str(shown.value)
    assert all(".py:" in error.place and error.mend for error in errors)


@pytest.mark.parametrize(
    "text",
    [
        f"app.subscribe(first, {HOOK}, batch=(1, 256))",
        f"app.subscribe(first, {HOOK}, batch=(100, 64), format='cloudevents-batch')",
        f"app.subscribe(first, {HOOK}, batch=(100, 64), format='eventgrid')",
        "app.subscribe(first, 'http://example.com/', allow_http=True)",
        "app.subscribe(first, 'http://127.0.0.1:9000/', allow_http=True, allow_private=True)",
        f"app.subscribe(app.topic('j'), {HOOK})",
        f"app.subscribe(ps.ModelRegistered, {HOOK}, where=\"model = 'delay' AND version > 3\")",
        f"app.subscribe(app.topic('j'), {HOOK}, where='data.a.b > 1')",
        f"app.subscribe(first, {HOOK}, filter=ps.eventgrid.Filter(['x']))",
        "app.subscribe(first, app.topic('t', A))",
        f"app.subscribe(first, {HOOK})\napp.subscribe(first, {HOOK}, name='again')",
        f"app.subscribe(app.topic('t', A, retain='90m'), {HOOK}, retry=ps.Retry(ttl='90m'))",
        f"app.subscribe(app.topic('t', A, retain=None), {HOOK})",
    ],
)
def test_what_can_run_is_no_finding(looked_at: Look, text: str) -> None:
    assert not looked_at(text, environ={}).findings


def warned(looked_at: Look, text: str, **options: object) -> list[str]:
    found = looked_at(text, **options).findings
    assert {finding.severity for finding in found} <= {"warning"}
    return [str(finding) for finding in found]


def test_a_topic_that_keeps_less_than_the_ttl_is_told(looked_at: Look) -> None:
    (told,) = warned(looked_at, f"app.subscribe(app.topic('t', A, retain='90m'), {HOOK}, retry=ps.Retry(ttl='2h'))")
    assert "has a ttl of 2 hours, and topic 't' keeps its events for 1.5: those that wait for a slow endpoint" in told
    assert "write a longer retain= at the topic, or a shorter ttl=" in told


def test_a_circle_that_a_condition_may_end_is_told(looked_at: Look) -> None:
    text = "t = app.topic('t', A)\napp.subscribe(first, t, where='a > 1')\napp.subscribe(t, first)"
    told = warned(looked_at, text)
    assert len(told) == 2 and all("come back to it" in each and "a subscription by a filter" in each for each in told)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("first", "topic 'first' has no key"),
        ("app.topic('loose')", "topic 'loose' has no key"),
        ("app.domain('tx', A)", "domain 'tx' has no key"),
        ("app.domain('tx', A)['acme']", "domain 'tx' has no key"),
        ("app.topic('t', A, key='a')", None),
        ("app.domain('tx', A, key='a')", None),
        ("app.domain('tx', A, key='a')['acme']", None),
        ("ps.ModelPromoted", None),
    ],
)
def test_an_order_without_keys_is_a_warning_where_it_is_wanted(looked_at: Look, source: str, told: str | None) -> None:
    text = f"source = {source}\n\napp.subscribe(source, {HOOK}, name='out', ordered={{}})"
    resolved = looked_at(text.format(True))
    assert [each.severity for each in resolved.findings] == ([] if told is None else ["warning"])
    for finding in resolved.findings:
        assert f"'out' is ordered, and {told}" in finding.message and "write key= at " in finding.mend
        line = resolved.plan.subscriptions[0].place.rpartition(":")[2]
        assert finding.place.rpartition(":")[2] == line, "another line"
    assert not warned(looked_at, text.format(False))


def test_what_is_made_of_events_with_keys_has_them(looked_at: Look) -> None:
    text = """
    made = app.topic("made", A)
    @app.on(app.topic("keyed", A, key="a"), to=made)
    def f(x: A) -> A: ...
    app.subscribe(made, {0}, ordered=True)
    copied = app.topic("copied", A)
    app.subscribe(made, copied)
    app.subscribe(copied, {0}, ordered=True)
    """
    assert not warned(looked_at, text.format(HOOK))


def test_mutant_that_takes_any_topic_for_one_with_keys_is_caught(
    looked_at: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "check_order", lambda parts, report: None)
    with pytest.raises(AssertionError, match="warning"):
        test_an_order_without_keys_is_a_warning_where_it_is_wanted(looked_at, "first", "topic 'first' has no key")


NAMED = "app.subscribe(first, ps.secret('HOOK'))"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hush", "which is no URL: it does not begin with https://"),
        ("https://me:hush@example.com/", "which is no URL: it has a user or a password in it"),
        ("http://example.com/hush", "without TLS"),
        ("https://localhost/hush", "and that is not on the public internet"),
    ],
)
def test_what_the_environment_says_here_is_a_warning_without_the_value(
    looked_at: Look, value: str, message: str
) -> None:
    (told,) = warned(looked_at, NAMED, environ={"HOOK": value})
    assert f"'first-to-hook' sends to ps.secret('HOOK'), {message}" in told
    assert "hush" not in told
    assert "localhost" not in told


def test_the_environment_counts_where_it_is_given_alone(looked_at: Look) -> None:
    assert not warned(looked_at, NAMED)
    assert not warned(looked_at, NAMED, environ={"HOOK": "https://example.com/"})
    (told,) = warned(looked_at, NAMED, environ={})
    assert "ps.secret('HOOK') has no value" in told
    assert "set the environment variable HOOK: without it subscription 'first-to-hook' delivers nothing" in told


def test_an_app_can_be_tried_where_nobody_knows_its_webhooks(app_file: Callable[..., Path]) -> None:
    app = load(str(app_file(NAMED))).app
    with testing.run(app) as running:
        running.settle()
    assert [subscription.name for subscription in plan_of(app, environ={}).subscriptions] == ["first-to-hook"]


def test_a_plan_has_the_subscriptions_in_the_order_of_the_file(looked_at: Look) -> None:
    plan = looked_at(
        """
        app.subscribe(ps.ModelPromoted, ps.env("OPS_URL", "https://ops.example.com/"), secret=ps.secret("OPS_KEY"))
        app.subscribe(first, "https://hooks.example.com/", headers={"x-a": "b", "x-c": ps.env("C")}, batch=(9, 8),
                      format="eventgrid", where="a > 1", rate="30/m", start="earliest")
        app.subscribe(first, app.topic("t", A), retry=ps.Retry(attempts=3, ttl="1h"))
        """
    ).plan
    assert plan_from_bytes(plan_to_bytes(plan)) == plan
    promoted, hook, copied = plan.subscriptions
    assert [each.place.rpartition(":")[2] for each in plan.subscriptions] == ["24", "25", "27"]
    place = promoted.place
    assert promoted == SubscriptionSpec(
        "model-promoted-to-ops-url", "penstock.system", ReferenceSpec("env", "OPS_URL", "https://ops.example.com/"),
        event="penstock.model.promoted", secrets=(ReferenceSpec("secret", "OPS_KEY"),), place=place,
    )  # fmt: skip
    assert hook == SubscriptionSpec(
        "first-to-hooks-example-com", "first", "https://hooks.example.com/", where="a > 1", max_events=9,
        preferred_kb=8, format="eventgrid", headers=(("x-a", "b"), ("x-c", ReferenceSpec("env", "C"))),
        start="earliest", rate=0.5, place=hook.place,
    )  # fmt: skip
    assert copied == SubscriptionSpec("first-to-t", "first", topic="t", attempts=3, ttl=3_600.0, place=copied.place)


def test_a_topic_of_kafka_is_in_the_plan_without_its_values(looked_at: Look) -> None:
    to = "ps.KafkaTopic(ps.env('BROKERS'), 'scores', security='sasl_ssl', user='me', password=ps.secret('KEY'))"
    plan = looked_at(f"app.subscribe(first, {to}, start='earliest')").plan
    (found,) = plan.subscriptions
    assert found.destination == DestinationSpec(
        "kafka",
        ReferenceSpec("env", "BROKERS"),
        "scores",
        (("security", "sasl_ssl"), ("user", "me"), ("password", ReferenceSpec("secret", "KEY"))),
    )
    assert (found.url, found.topic, found.receiver) == (None, None, "kafka scores at ps.env('BROKERS')")
    assert plan_from_bytes(plan_to_bytes(plan)) == plan


def test_a_condition_is_in_the_plan_in_its_one_spelling(looked_at: Look) -> None:
    text = "app.subscribe(first, {}, where='a>1  and  text = \\'x\\'')\napp.subscribe(second, {}, where='nope >1')"
    plan = looked_at(text.format(HOOK, HOOK)).plan
    assert [each.where for each in plan.subscriptions] == ["a > 1 AND text = 'x'", "nope >1"]
    text = f"app.subscribe(first, {HOOK}, where=(pl.col('a') > 1) & (pl.col('text') == 'x'))"
    assert looked_at(text).plan.subscriptions[0].where == "a > 1 AND text = 'x'"


def test_a_filter_is_in_the_plan(looked_at: Look) -> None:
    text = f"app.subscribe(first, {HOOK}, filter=ps.eventgrid.Filter(['x'], subject_begins_with='/a'))"
    plan = looked_at(text).plan
    assert plan.subscriptions[0].filter == Filter(["x"], subject_begins_with="/a")
    assert plan_from_bytes(plan_to_bytes(plan)) == plan


def test_a_circle_of_a_filter_is_no_endless_one(looked_at: Look) -> None:
    text = "t = app.topic('t', A)\napp.subscribe(first, t, filter=ps.eventgrid.Filter(['x']))\napp.subscribe(t, first)"
    assert len(warned(looked_at, text)) == 2


def test_an_untyped_topic_has_the_columns_of_what_a_subscription_brings(looked_at: Look) -> None:
    plan = looked_at("app.subscribe(first, app.topic('t'))\napp.subscribe(ps.ModelRegistered, app.topic('told'))").plan
    assert plan.topic("t").schema.equals(plan.topic("first").schema, check_metadata=True)
    assert plan.topic("told").schema.names == ["json"]


def test_mutant_an_internal_address_that_is_let_through_is_caught(
    looked_at: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "is_private", lambda host: False)
    with pytest.raises(AssertionError, match="Regex pattern did not match"):
        test_refused_with_its_line_and_a_mend(looked_at, *REFUSED["an internal address"])


def test_mutant_a_url_of_the_environment_that_is_shown_is_caught(
    looked_at: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    def split(text: str) -> None:
        raise ValueError(f"{text} does not begin with https://")

    monkeypatch.setattr(subscriptions, "split_url", split)
    with pytest.raises(AssertionError, match="hush does not begin with https://"):
        test_what_the_environment_says_here_is_a_warning_without_the_value(looked_at, "hush", "which is no URL")
