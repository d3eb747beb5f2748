from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from penstock.batch import TopicSpec
from penstock.declare.checking.compare import Deployed, compare
from penstock.plan.plan import FunctionSpec, Plan, SubscriptionSpec
from penstock.plan.references import ReferenceSpec

SCHEMA = pa.schema([pa.field("a", pa.int64(), nullable=False)])
TOPIC = TopicSpec("t", SCHEMA, partitions=4, key="a")
FUNCTION = FunctionSpec("f", "t", None, "frame", place="app.py:7")
PLAN = Plan("app", "app.py:app", "", (TOPIC,), (FUNCTION,))


def found(plan: Plan, deployed: Deployed) -> list[tuple[str, str]]:
    return [(f.severity, f.message) for f in compare(plan, deployed)]


def test_what_did_not_change_is_no_finding() -> None:
    same = Deployed((TOPIC, TopicSpec("penstock.system")), {"f": ["t"], "penstock.registry": ["penstock.system"]})
    assert not compare(PLAN, same)
    assert not compare(PLAN, Deployed())


def test_fewer_partitions_are_refused_and_more_are_said() -> None:
    deployed = Deployed((TOPIC,))
    (error,) = compare(replace(PLAN, topics=(replace(TOPIC, partitions=3),)), deployed)
    assert (error.severity, error.place) == ("error", "app.py:app topic 't'")
    assert error.mend.startswith("write partitions=4")
    ((severity, _),) = found(replace(PLAN, topics=(replace(TOPIC, partitions=5),)), deployed)
    assert severity == "warning"


def test_a_type_may_only_gain_optional_fields() -> None:
    gained = pa.schema([*SCHEMA, pa.field("b", pa.string())])
    changed = pa.schema([pa.field("a", pa.string(), nullable=False)])
    deployed = Deployed((TOPIC,))
    assert not compare(replace(PLAN, topics=(replace(TOPIC, schema=gained),)), deployed)
    ((severity, message),) = found(replace(PLAN, topics=(replace(TOPIC, schema=changed),)), deployed)
    assert severity == "error"
    assert "'a' changed" in message


def test_a_version_from_before_a_field_was_added_may_run() -> None:
    gained = replace(TOPIC, schema=pa.schema([*SCHEMA, pa.field("b", pa.string()), pa.field("c", pa.string())]))
    assert found(PLAN, Deployed((gained,))) == [
        ("warning", "topic 't' has b, c, which this version of the app does not know")
    ]


def test_another_key_and_a_lost_topic_are_said() -> None:
    deployed = Deployed((TOPIC, TopicSpec("gone")))
    (key, gone) = found(replace(PLAN, topics=(replace(TOPIC, key=None),)), deployed)
    assert "its key is" in key[1]
    assert gone == ("warning", "topic 'gone' is deployed and no longer declared")


def test_a_topic_becomes_no_domain() -> None:
    for before, after, said in ((False, True, "a domain, and a topic"), (True, False, "a topic, and a domain")):
        plan = replace(PLAN, topics=(replace(TOPIC, domain=after),))
        ((severity, message),) = found(plan, Deployed((replace(TOPIC, domain=before),)))
        assert (severity, message) == ("error", f"it is {said} is deployed")


def test_another_encoding_is_said() -> None:
    ((severity, message),) = found(replace(PLAN, topics=(replace(TOPIC, encoding="json"),)), Deployed((TOPIC,)))
    assert severity == "warning"
    assert message == "its records are json, and those deployed are arrow"
    assert not compare(
        replace(PLAN, topics=(replace(TOPIC, encoding="json"),)), Deployed((replace(TOPIC, encoding="json"),))
    )


def test_a_renamed_stage_names_its_likely_heir() -> None:
    (finding,) = compare(PLAN, Deployed((TOPIC,), {"old": ["t"]}))
    assert finding.place == "app.py:7"
    assert "name='old'" in finding.mend
    (finding,) = compare(PLAN, Deployed((TOPIC,), {"f": ["t"], "old": ["t"]}))
    assert finding.place == "app.py:app"
    assert "the app has none of that name" in finding.message


HOOK = SubscriptionSpec("hook", "t", "https://example.com/a?key=hush", place="app.py:9")
SUBSCRIBED = replace(PLAN, subscriptions=(HOOK,))


def test_a_subscription_that_stays_or_is_new_is_no_finding() -> None:
    assert not compare(SUBSCRIBED, Deployed((TOPIC,), {}, (replace(HOOK, place="app.py:3"),)))
    assert not compare(SUBSCRIBED, Deployed((TOPIC,)))


def test_a_changed_subscription_says_what_has_changed() -> None:
    before = replace(
        HOOK, url=ReferenceSpec("env", "URL"), attempts=3, max_events=5, format="eventgrid", where="a > 1",
        secrets=(ReferenceSpec("secret", "K"),),
    )  # fmt: skip
    (told,) = compare(SUBSCRIBED, Deployed((TOPIC,), {}, (before,)))
    assert (told.severity, told.place) == ("warning", "app.py:9")
    assert told.message == "subscription 'hook' is deployed with another batch, format, retry, secret, to, where"
    assert told.mend.startswith("it goes on from where it is") and "hush" not in str(told)


def test_a_subscription_to_another_source_starts_anew() -> None:
    (told,) = compare(SUBSCRIBED, Deployed((TOPIC,), {}, (replace(HOOK, source="u"),)))
    assert "with another source" in told.message and told.mend.startswith("it starts at the latest of t")


def test_a_removed_subscription_names_its_likely_heir() -> None:
    gone = replace(HOOK, name="gone")
    (told,) = compare(PLAN, Deployed((TOPIC,), {}, (gone,)))
    assert (told.severity, told.place) == ("warning", "app.py:app")
    assert told.message == "subscription 'gone' is deployed, on t, and the app has none of that name"
    assert told.mend == "nothing more goes to example.com; declare it again if it should"
    (told,) = compare(SUBSCRIBED, Deployed((TOPIC,), {}, (gone,)))
    assert told.place == "app.py:9" and "if hook is it under a new name, write name='gone'" in told.mend
    (told,) = compare(SUBSCRIBED, Deployed((TOPIC,), {}, (gone, HOOK)))
    assert told.place == "app.py:app", "hook was there before"


def test_what_was_put_at_run_time_is_in_no_file_and_no_finding() -> None:
    shown = [{"name": "acme", "origin": "run-time", "source": "t", "target": "acme.example.com", "options": {}}]
    assert not compare(PLAN, Deployed((TOPIC,), shown=shown))
    assert len(compare(PLAN, Deployed((TOPIC,), shown=[shown[0] | {"origin": "file"}]))) == 1
