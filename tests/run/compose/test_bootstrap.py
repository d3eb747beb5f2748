from __future__ import annotations

from dataclasses import replace

from penstock.batch import DEAD, RETRY, SNAPSHOTS, SYSTEM, TopicSpec
from penstock.clock import ManualClock
from penstock.log.memory import MemoryLog
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.run.compose.bootstrap import all_topics, make_topics

PLAN = Plan("app", "", "", (TopicSpec("t"),))
SUBSCRIBED = replace(PLAN, subscriptions=(SubscriptionSpec("s", "t", "https://example.com/"),))


def test_what_is_tried_again_has_a_topic_where_there_are_subscriptions_alone() -> None:
    assert [topic.name for topic in all_topics(PLAN)] == [SYSTEM, SNAPSHOTS, DEAD, "t"]
    assert [topic.name for topic in all_topics(SUBSCRIBED)] == [SYSTEM, SNAPSHOTS, DEAD, RETRY, "t"]


def test_what_waits_to_be_tried_again_never_expires() -> None:
    log = MemoryLog(ManualClock())
    make_topics(SUBSCRIBED, log)
    retry = next(topic for topic in log.topics() if topic.name == RETRY)
    assert (retry.partitions, retry.retain_us, retry.retain_bytes) == (11, None, None)
    log.close()
