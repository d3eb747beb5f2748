"""What an app needs, written down a second time here: by what each of its edges takes, and what the house does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from tests.deploy.plans import APPS, COPIED, HOOK, PLAN, SUBSCRIBED, plan_of, plans

from penstock.batch import TopicSpec
from penstock.deploy import house, requirements
from penstock.deploy.house import Grant
from penstock.deploy.requirements import Requirements, requirements_of
from penstock.errors import DeclarationError
from penstock.plan.codec import plan_from_bytes, plan_to_bytes
from penstock.plan.destination import DestinationSpec
from penstock.plan.edges import edges, references
from penstock.plan.plan import Edge, FunctionSpec, HandleSpec, Plan, SubscriptionSpec, Verb
from penstock.plan.references import ReferenceSpec

SYSTEM, SNAPSHOTS, DEAD, RETRY = "penstock.system", "penstock.snapshots", "penstock.dead", "penstock.retry"
Key = tuple[str, str, str, str, str]  # service, who, verb, what, group


def granted(needed: Requirements, *, app_only: bool = False) -> set[Key]:
    return {
        (identity.service, right.who, right.verb, right.what, right.group)
        for identity in needed.identities
        for right in identity.rights
        if right.reason.place or not app_only
    }


def of_edge(edge: Edge) -> set[tuple[str, str, str]]:
    """Verb, what and group."""
    load, put, tell = ("get", "artifacts", ""), ("put", "artifacts", ""), ("append", SYSTEM, "")
    return {
        "read": {("read", edge.what, edge.who)},
        "append": {("append", edge.what, "")},
        "score": {load, tell},
        "load": {load},
        "register": {put, load, tell},
        "alias": {tell},
        "subscribe": {tell},
        "secret": {("secret", edge.what, "")},
    }[edge.verb]


def of_delivery(edge: Edge) -> set[tuple[str, str, str]]:
    """Whoever subscribes from outside goes on from a place of its own, which is in no group."""
    return {(edge.verb, edge.what, "")}


def of_edges(plan: Plan) -> set[Key]:
    delivering = {subscription.name: subscription.topic is None for subscription in plan.subscriptions}
    found: set[Key] = set()
    for edge in edges(plan):
        service = "courier" if edge.who in delivering else "worker"
        rights = of_delivery(edge) if delivering.get(edge.who) else of_edge(edge)
        found |= {(service, edge.who, *right) for right in rights}
    hidden = {edge.what for edge in edges(plan) if edge.verb == "secret"}
    for who, ref, _ in references(plan):
        if ref.variable in hidden:  # whoever takes it for a setting sees it too
            found.add(("courier" if who in delivering else "worker", who, "secret", ref.variable, ""))
    return found


def of_courier(plan: Plan) -> Iterator[Key]:
    outside = [subscription for subscription in plan.subscriptions if subscription.topic is None]
    routers = {f"penstock.deliver.{subscription.source}": subscription.source for subscription in outside}
    forwards = [subscription.name for subscription in plan.subscriptions if subscription.topic is not None]
    ladder = ["penstock.ladder"] if routers else []
    for router, source in routers.items():
        yield "courier", router, "read", source, router
    for who in (*forwards, *ladder):
        yield "courier", who, "read", DEAD, f"penstock.redrive.{who}"
    for who in (*routers, *forwards, *ladder):
        yield "courier", who, "append", DEAD, ""
    for who in (*routers, *forwards, *ladder, "penstock.courier") if plan.subscriptions else ():
        yield "courier", who, "read", SYSTEM, ""
        yield "courier", who, "read", SNAPSHOTS, ""
    if plan.subscriptions:
        yield "courier", "penstock.courier", "append", SYSTEM, ""
    if routers:
        yield "courier", "penstock.ladder", "read", RETRY, "penstock.ladder"


def of_house(plan: Plan) -> Iterator[Key]:
    stages = [stage.name for stage in plan.stages]
    for who in (*stages, "penstock.registry", "penstock.start"):
        yield "worker", who, "read", SYSTEM, ""
        yield "worker", who, "read", SNAPSHOTS, ""
    for who in stages:
        yield "worker", who, "read", DEAD, f"penstock.redrive.{who}"
        yield "worker", who, "append", DEAD, ""
    yield "worker", "penstock.registry", "read", SYSTEM, "penstock.registry"
    yield "worker", "penstock.registry", "append", SYSTEM, ""
    yield "worker", "penstock.registry", "append", SNAPSHOTS, ""
    yield "worker", "penstock.registry", "get", "artifacts", ""
    yield "worker", "penstock.start", "append", SYSTEM, ""
    yield "worker", "penstock.start", "get", "artifacts", ""
    for stage in plan.stages:
        yield "scaler", "penstock.scale", "read", stage.source, stage.name
    yield from of_courier(plan)
    fed = [*(stage.to for stage in plan.stages), *(subscription.topic for subscription in plan.subscriptions)]
    for spec in plan.topics:
        if spec.encoding == "json" and spec.name not in fed:
            yield "producers", "penstock.producers", "append", spec.name, ""
    for topic in (*(topic.name for topic in plan.topics), SYSTEM, DEAD):
        yield "gateway", "penstock.gateway", "append", topic, ""
        yield "gateway", "penstock.gateway", "read", topic, ""
    yield "gateway", "penstock.gateway", "read", SNAPSHOTS, ""
    yield "gateway", "penstock.gateway", "put", "artifacts", ""
    yield "gateway", "penstock.gateway", "get", "artifacts", ""


def check_rights(plan: Plan) -> None:
    found, needed = granted(requirements_of(plan)), of_edges(plan) | set(of_house(plan))
    assert not found - needed, f"granted and not needed: {sorted(found - needed)}"
    assert not needed - found, f"needed and not granted: {sorted(needed - found)}"


@settings(max_examples=150, deadline=None)
@given(plans() | plans(subscribed=True))
def test_any_plan_has_the_rights_of_its_edges_and_of_the_house_and_no_others(plan: Plan) -> None:
    check_rights(plan)


@pytest.mark.parametrize("app", APPS)
def test_an_example_has_the_rights_of_its_edges_and_of_the_house_and_no_others(app: str) -> None:
    check_rights(plan_of(app))


def worker(who: str, verb: str, what: str, group: str = "") -> Key:
    return "worker", who, verb, what, group


FLIGHTS = {
    worker("prepare", "read", "departures", "prepare"),
    worker("prepare", "append", "features"),
    worker("delays", "read", "features", "delays"),
    worker("delays", "append", "delays"),
    worker("delays", "get", "artifacts"),
    worker("delays", "append", SYSTEM),
}
OWN = {
    "demo": FLIGHTS,
    "flights": FLIGHTS
    | {
        worker("evaluate", "read", SYSTEM, "evaluate"),
        worker("evaluate", "get", "artifacts"),
        worker("evaluate", "put", "artifacts"),
        worker("evaluate", "append", SYSTEM),
    },
    "fraud": {
        worker("prepare", "read", "payments", "prepare"),
        worker("prepare", "append", "inputs"),
        worker("scores", "read", "inputs", "scores"),
        worker("scores", "append", "scores"),
        worker("scores", "get", "artifacts"),
        worker("scores", "append", SYSTEM),
    },
    "quickstart": {
        worker("prepare", "read", "payments", "prepare"),
        worker("prepare", "append", "features"),
        worker("scores", "read", "features", "scores"),
        worker("scores", "append", "scores"),
        worker("scores", "get", "artifacts"),
        worker("scores", "append", SYSTEM),
    },
    "scalable_ingestion": {
        worker("prepare", "read", "departures", "prepare"),
        worker("prepare", "append", "features"),
        worker("rebook", "read", "departures", "rebook"),
        worker("rebook", "append", "stranded"),
    },
}


@pytest.mark.parametrize("app", APPS)
def test_what_an_example_itself_asks_for(app: str) -> None:
    """But for the files of models, which are made beside an example: see the start's rights."""
    own = {key for key in granted(requirements_of(plan_of(app)), app_only=True) if key[1] != "penstock.start"}
    assert own == OWN[app]


@pytest.mark.parametrize("app", APPS)
def test_each_reason_of_the_app_is_a_line_that_says_so(app: str) -> None:
    needed, lines = requirements_of(plan_of(app)), APPS[app].read_text().splitlines()
    for reason, name in [
        *((log.reason, log.name) for log in needed.logs),
        *((model.reason, model.name) for model in needed.models),
        *((right.reason, "app.score(" if right.who in ("delays", "scores") else "@app.") for right in needed.rights),
    ]:
        if reason.place:
            file, _, line = reason.place.rpartition(":")
            assert file == "app.py"
            near = "".join(lines[int(line) - 1 : int(line) + 1])
            assert name in near or "app.model(" in near, (reason, near)


def test_what_there_must_be() -> None:
    needed = requirements_of(PLAN)
    assert [(log.name, log.partitions, log.is_internal, str(log.reason)) for log in needed.logs] == [
        (SYSTEM, 1, True, "house rule: every app has it"),
        (SNAPSHOTS, 1, True, "house rule: every app has it"),
        (DEAD, 4, True, "house rule: every app has it"),
        ("orders", 4, False, "app.py:2: the app's topic"),
        ("inputs", 4, False, "app.py:3: the app's topic"),
        ("scores", 4, False, "app.py:4: the app's topic"),
    ]
    groups = {log.name: [reader.group for reader in log.readers] for log in needed.logs}
    assert groups == {
        SYSTEM: ["evaluate", "penstock.registry"],
        SNAPSHOTS: [],
        DEAD: ["penstock.redrive.prepare", "penstock.redrive.evaluate", "penstock.redrive.score"],
        "orders": ["prepare"],
        "inputs": ["score"],
        "scores": [],
    }
    assert [(s.name, s.parts) for s in needed.services] == [
        ("gateway", ("penstock.gateway",)),
        ("worker", ("prepare", "evaluate", "score", "penstock.registry", "penstock.start")),
    ]
    assert [(m.name, m.alias, m.artifact) for m in needed.models] == [
        ("risk", "champion", "risk.onnx"),
        ("other", "champion", None),
    ]
    assert [(s.name, str(s.reason)) for s in needed.secrets] == [("API_KEY", "app.py:10: 'prepare' looks it up")]
    assert [(s.name, s.default) for s in needed.settings] == [("RISKS_URL", None)]
    assert [store.name for store in needed.stores] == ["artifacts"]


def test_what_subscriptions_need() -> None:
    needed = requirements_of(SUBSCRIBED)
    retry = next(log for log in needed.logs if log.name == RETRY)
    assert (retry.partitions, retry.retain_us, retry.is_internal) == (11, None, True)
    assert str(retry.reason) == "house rule: every app with subscriptions has it"
    assert RETRY not in {log.name for log in requirements_of(PLAN).logs}
    assert [(s.name, str(s.reason)) for s in needed.secrets if s.name != "API_KEY"] == [
        ("HOOK_KEY", "app.py:11: 'cases' looks it up"),
        ("HOOK_URL", "app.py:12: 'named' looks it up"),
    ]
    assert [(s.name, s.default) for s in needed.settings if s.name == "TEAM"] == [("TEAM", "risk")]
    check_rights(SUBSCRIBED)


def test_each_group_in_which_a_courier_reads_is_listed_by_its_real_name() -> None:
    """As ``run.compose.deliveries`` joins them: what is known is read in none."""
    groups = {log.name: [reader.group for reader in log.readers] for log in requirements_of(SUBSCRIBED).logs}
    assert groups["scores"] == ["penstock.deliver.scores"], "one for both"
    assert groups[RETRY] == ["penstock.ladder"]
    assert groups[SYSTEM] == ["evaluate", "copied", "penstock.registry"], "who passes on to a topic is a stage"
    assert [group for group in groups[DEAD] if group.rpartition(".")[2] in ("ladder", "copied", "scores")] == [
        "penstock.redrive.penstock.ladder",
        "penstock.redrive.copied",
    ], "a router puts nothing back"


def test_a_host_is_listed_with_its_ports_and_where_it_may_be() -> None:
    inside = replace(HOOK, name="inside", url="http://10.0.0.9/x", allow_http=True, allow_private=True)
    unknown = replace(HOOK, name="unknown", url=ReferenceSpec("env", "URL"), allow_http=True)
    hosts = requirements_of(replace(SUBSCRIBED, subscriptions=(*SUBSCRIBED.subscriptions, inside, unknown))).hosts
    assert [(host.name, host.ports, host.is_private) for host in hosts] == [
        ("hooks.example.com", (8443,), False),
        ("*", (443,), False),
        ("10.0.0.9", (80,), True),
        ("*", (80, 443), False),
    ]
    assert str(hosts[0].reason) == "app.py:11: 'cases' sends there"


def test_brokers_that_are_sent_to_are_listed_wherever_they_may_be() -> None:
    there, unknown = (
        SubscriptionSpec("out", HOOK.source, destination=DestinationSpec("kafka", hosts, "t"), place="app.py:12")
        for hosts in ("a.example:9093,b.example", ReferenceSpec("env", "BROKERS"))
    )
    for spec, expected in (
        (there, [("a.example", (9093,), True), ("b.example", (9092,), True)]),
        (unknown, [("*", (9092,), True)]),
    ):
        hosts = requirements_of(replace(SUBSCRIBED, subscriptions=(spec,))).hosts
        assert [(host.name, host.ports, host.is_private) for host in hosts] == expected


def test_what_goes_to_a_topic_alone_needs_no_ladder_and_no_host() -> None:
    needed = requirements_of(replace(PLAN, subscriptions=(COPIED,)))
    (courier,) = (service for service in needed.services if service.name == "courier")
    assert courier.parts == ("copied", "penstock.courier") and needed.hosts == ()
    check_rights(replace(PLAN, subscriptions=(COPIED,)))


def test_a_setting_is_of_whoever_looks_it_up() -> None:
    needed = requirements_of(SUBSCRIBED)
    assert {service.name: needed.settings_of(service.name) for service in needed.services} == {
        "gateway": frozenset(),
        "worker": {"RISKS_URL"},
        "courier": {"TEAM"},
    }


def test_who_takes_for_a_setting_what_a_subscription_takes_for_a_secret_sees_it_too() -> None:
    other = replace(PLAN.resources[0], references=(ReferenceSpec("env", "HOOK_KEY"),))
    needed = requirements_of(replace(SUBSCRIBED, resources=(other,)))
    assert needed.secrets_of("worker") == ["HOOK_KEY"] and "HOOK_KEY" in needed.secrets_of("courier")


def test_a_courier_is_known_where_there_are_subscriptions_alone() -> None:
    needed = requirements_of(SUBSCRIBED)
    assert [i.service for i in needed.identities] == ["gateway", "worker", "courier", "scaler", "producers"]
    assert [(s.name, s.parts) for s in needed.services if s.name == "courier"] == [
        ("courier", ("cases", "named", "copied", "penstock.deliver.scores", "penstock.ladder", "penstock.courier"))
    ]
    assert [s.name for s in requirements_of(PLAN).services] == ["gateway", "worker"]
    own = {(r.who, r.verb, r.what) for r in needed.identities[2].rights if r.reason.place and r.verb != "append"}
    assert own == {
        ("cases", "read", "scores"),
        ("cases", "deliver", "hooks.example.com"),
        ("cases", "secret", "HOOK_KEY"),
        ("named", "read", "scores"),
        ("named", "deliver", "*"),
        ("named", "secret", "HOOK_URL"),
        ("copied", "read", SYSTEM),
    }
    secrets = {
        right.what for i in needed.identities for right in i.rights if right.verb == "secret" and i.service != "courier"
    }
    assert secrets == {"API_KEY"}, "a courier's secrets are nobody else's"


def test_how_far_behind_a_router_is_does_not_say_how_many_workers_there_are() -> None:
    assert requirements_of(SUBSCRIBED).identities[3] == requirements_of(PLAN).identities[2]


def test_a_start_puts_what_the_app_brings_along() -> None:
    for plan, verbs in ((PLAN, {"get", "put"}), (replace(PLAN, models=()), {"get"})):
        starting = [r for r in requirements_of(plan).rights if r.who == "penstock.start" and r.what == "artifacts"]
        assert {right.verb for right in starting} == verbs
        assert {right.reason.place for right in starting if right.verb == "put"} <= {"app.py:8"}


def test_what_anybody_takes_for_a_secret_is_no_setting() -> None:
    def looking_up(*refs: ReferenceSpec) -> Requirements:
        stages = tuple(FunctionSpec(f"s{n}", "orders", None, "event", references=(ref,)) for n, ref in enumerate(refs))
        return requirements_of(replace(PLAN, stages=stages, models=(), resources=()))

    plain, secret = ReferenceSpec("env", "TOKEN", "x"), ReferenceSpec("secret", "TOKEN")
    for refs in ((plain, secret), (secret, plain)):
        needed = looking_up(*refs)
        assert ([s.name for s in needed.secrets], needed.settings) == (["TOKEN"], ())
    for refs in ((plain, replace(plain, default=None)), (replace(plain, default=None), plain)):
        assert [(s.name, s.default) for s in looking_up(*refs).settings] == [("TOKEN", None)]
    assert [(s.name, s.default) for s in looking_up(plain, plain).settings] == [("TOKEN", "x")]


def test_who_is_outside_of_the_services_has_rights_and_runs_nothing() -> None:
    json = (replace(topic, encoding="json") for topic in PLAN.topics)
    needed = requirements_of(replace(PLAN, topics=(*json, TopicSpec("beside", encoding="arrow"))))
    assert [i.service for i in needed.identities] == ["gateway", "worker", "scaler", "producers"]
    assert [s.name for s in needed.services] == ["gateway", "worker"]
    scaler, producers = (identity.rights for identity in needed.identities[2:])
    assert {(r.verb, r.what, r.group) for r in scaler} == {
        ("read", "orders", "prepare"),
        ("read", SYSTEM, "evaluate"),
        ("read", "inputs", "score"),
    }
    assert [(r.verb, r.what) for r in producers] == [("append", "orders")], "the others are fed, or no client's"


def test_a_secret_is_its_readers_alone() -> None:
    rights = [right for right in requirements_of(PLAN).rights if right.verb == "secret"]
    assert [(right.who, right.what, right.reason.place) for right in rights] == [("prepare", "API_KEY", "app.py:10")]


def test_a_plan_of_before_that_knows_no_places_of_topics_is_the_apps_still() -> None:
    before = replace(PLAN, place="", topics=tuple(replace(topic, place="") for topic in PLAN.topics))
    needed = requirements_of(before)
    assert [log.name for log in needed.logs if log.is_internal] == [SYSTEM, SNAPSHOTS, DEAD]
    assert {log.reason.place for log in needed.logs if not log.is_internal} == {"app.py:app"}
    check_rights(before)


@settings(max_examples=30, deadline=None)
@given(plans(subscribed=True))
def test_a_plan_that_travelled_needs_the_same(plan: Plan) -> None:
    assert requirements_of(plan_from_bytes(plan_to_bytes(plan))) == requirements_of(plan)


def test_what_no_right_is_known_for_is_refused() -> None:
    caller = FunctionSpec("f", "t", None, "event", handles=(HandleSpec("Http", ("call",)),), place="app.py:3")
    with pytest.raises(DeclarationError, match=r"app.py:3: 'f' does 'call' to '\*', and no deployment knows"):
        requirements_of(Plan("x", "", "", (), (caller,)))


# -- planted ------------------------------------------------------------------


@pytest.mark.parametrize("verb", house.MEANING)
def test_a_meaning_that_grants_too_much_is_found(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {**house.MEANING, verb: (*house.MEANING[verb], Grant("append", SNAPSHOTS, "why not"))}
    monkeypatch.setattr(requirements, "MEANING", more)
    third = FunctionSpec("third", "orders", None, "event", handles=(HandleSpec("Any", ("register", "subscribe")),))
    plan = replace(PLAN, stages=(*PLAN.stages, third))
    with pytest.raises(AssertionError, match="granted and not needed"):
        check_rights(plan)


@pytest.mark.parametrize("verb", ["read", "append", "alias", "secret"])
def test_an_edge_that_is_not_wired_is_found(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "MEANING", {**house.MEANING, verb: ()})
    with pytest.raises(AssertionError, match="needed and not granted"):
        check_rights(PLAN)


@pytest.mark.parametrize("rule", ["of_scale", "of_producers"])
def test_a_rule_of_who_is_outside_that_is_forgotten_is_found(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, rule, lambda plan: ())
    json = tuple(replace(topic, encoding="json") for topic in PLAN.topics)
    with pytest.raises(AssertionError, match=r"needed and not granted: \[\('(scaler|producers)'"):
        check_rights(replace(PLAN, topics=json))


@pytest.mark.parametrize("rule", ["OWNER", "STARTING"])
@pytest.mark.parametrize("place", range(3))
def test_a_rule_of_the_house_that_is_forgotten_is_found(rule: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grants = list(getattr(house, rule))
    del grants[place]
    monkeypatch.setattr(requirements, rule, tuple(grants))
    with pytest.raises(AssertionError, match="needed and not granted"):
        check_rights(replace(PLAN, stages=(), models=()))


@pytest.mark.parametrize("verb", ["read", "append", "secret", "deliver"])
def test_an_edge_of_a_subscription_that_is_not_wired_is_found(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "MEANING_OF_DELIVERY", {**house.MEANING_OF_DELIVERY, verb: ()})
    with pytest.raises(AssertionError, match=r"needed and not granted: \[\('courier'"):
        check_rights(SUBSCRIBED)


@pytest.mark.parametrize("who", house.DELIVERING)
def test_a_rule_of_the_courier_that_is_forgotten_is_found(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "DELIVERING", {**house.DELIVERING, who: house.DELIVERING[who][:-1]})
    with pytest.raises(AssertionError, match=rf"needed and not granted: \[\('courier', '{who}'"):
        check_rights(SUBSCRIBED)


def test_a_subscriptions_secret_that_a_worker_gets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "COURIER", "worker")
    with pytest.raises(AssertionError, match=r"granted and not needed: .*'worker', 'cases', 'secret', 'HOOK_KEY'"):
        check_rights(SUBSCRIBED)


def test_a_right_given_to_the_wrong_service_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(requirements.HOUSE, "penstock.registry", "gateway")
    with pytest.raises(AssertionError, match=r"granted and not needed: .*'gateway', 'penstock.registry'"):
        check_rights(PLAN)


def test_an_app_that_takes_subscriptions_at_run_time_has_a_courier_that_may_read_all_and_send_anywhere() -> None:
    needed = requirements_of(replace(PLAN, subscriptions=(), open_to_subscriptions=True))
    reads = {right.what for right in needed.rights_of(requirements.COURIER) if right.verb == "read"}
    assert {topic.name for topic in PLAN.topics} <= reads
    assert [(host.name, host.ports, host.is_private) for host in needed.hosts] == [("*", (443,), False)]
    assert not requirements_of(replace(PLAN, subscriptions=())).hosts
