"""What is delivered of a domain says of which topic it is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.schema.egress.delivered import batch, texts

from penstock.batch import TopicSpec
from penstock.schema import encode
from penstock.schema.egress import eventgrid
from penstock.schema.egress.render import Format, render
from penstock.schema.encode import to_dicts

TX = TopicSpec("tx", partitions=1, domain=True)
EVENTS = batch(
    texts("{}", "{}", "{}"),
    _topic=["acme", "beta", "acme"],
    _source=[None, None, "/till"],
    _extensions=[None, '{"x":"1"}', None],
)


def rendered(format: Format) -> list[Any]:
    return render(format, EVENTS, np.arange(len(EVENTS)), TX, "saas")


def test_a_cloud_event_has_its_topic_as_an_extension_and_in_its_source() -> None:
    binary = [dict(found.headers) for found in rendered("cloudevents")]
    assert [headers["ce-domaintopic"] for headers in binary] == ["acme", "beta", "acme"]
    assert [headers["ce-source"] for headers in binary] == ["/saas/tx/acme", "/saas/tx/beta", "/till"]
    assert binary[1]["ce-x"] == "1"
    events = [json.loads(found.body) for found in rendered("cloudevents-structured")]
    assert [(e["domaintopic"], e["source"]) for e in events] == [
        ("acme", "/saas/tx/acme"), ("beta", "/saas/tx/beta"), ("acme", "/till"),
    ]  # fmt: skip
    records = [dict(found.headers) for found in rendered("cloudevents-kafka")]
    assert [headers["ce_domaintopic"] for headers in records] == ["acme", "beta", "acme"]


def check_event_grid_stamps_the_topic() -> None:
    events = [json.loads(found.body)[0] for found in rendered("eventgrid")]
    topics = [event["topic"] for event in events]
    assert topics == ["/saas/tx/acme", "/saas/tx/beta", "/saas/tx/acme"], "a topic is not stamped"


def test_event_grids_schema_has_the_topic_whatever_the_source() -> None:
    check_event_grid_stamps_the_topic()


def test_mutant_a_publishers_source_in_the_place_of_the_topic_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventgrid, "domain_sources", encode.sources)
    with pytest.raises(AssertionError, match="not stamped"):
        check_event_grid_stamps_the_topic()


def test_readers_see_the_topic_and_readers_of_a_plain_one_nothing_new() -> None:
    found = to_dicts(EVENTS, TX, "saas")
    assert [row["domain_topic"] for row in found] == ["acme", "beta", "acme"]
    assert [row["source"] for row in found] == ["/saas/tx/acme", "/saas/tx/beta", "/till"]
    plain = batch(texts("{}"), _source=[None])
    assert "domain_topic" not in to_dicts(plain, TopicSpec("t"), "app")[0]
    names = {
        name for part in render("cloudevents", plain, np.arange(1), TopicSpec("t"), "app") for name, _ in part.headers
    }
    assert "ce-domaintopic" not in names
