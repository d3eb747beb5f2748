"""A topic's declaration as the cluster keeps it."""

from __future__ import annotations

import msgspec

from penstock.batch import TopicSpec
from penstock.log.kafka.topics.declaration import decoded, encoded

TOPIC = TopicSpec("t", partitions=2, retain_us=5, encoding="json", source="/fraud/t")


def test_a_topic_comes_back_as_it_was_declared() -> None:
    assert decoded(encoded(TOPIC)) == TOPIC


def test_one_of_before_says_no_source() -> None:
    """Its records have the one that stands in for it."""
    written = msgspec.json.decode(encoded(TOPIC))
    del written["source"]
    found = decoded(msgspec.json.encode(written))
    assert (found.source, found.default_source) == ("", "/penstock/t")
