from __future__ import annotations

import json

import numpy as np
import pytest
from tests.schema.egress.delivered import all_rendered, batch, taken_in, texts

from penstock.batch import TopicSpec
from penstock.schema.egress.render import Format, join, render

ARRAYS: tuple[Format, ...] = ("cloudevents-batch", "eventgrid")
FORMATS: tuple[Format, ...] = ("cloudevents", "cloudevents-structured", *ARRAYS)


@pytest.mark.parametrize("format", FORMATS)
def test_the_rows_that_are_asked_for_and_in_that_order(format: Format) -> None:
    events = batch(texts("0", "1", "2", "3"), _id=["a", None, "c", None], _subject=["0", "1", None, "3"])
    whole = all_rendered(format, events)
    assert render(format, events, np.array([3, 0], np.int64), TopicSpec("t"), "app") == [whole[3], whole[0]]
    assert render(format, events, np.array([3, 2, 1, 0], np.int64), TopicSpec("t"), "app") == whole[::-1]
    assert render(format, events, np.array([], np.int64), TopicSpec("t"), "app") == []


@pytest.mark.parametrize("format", FORMATS)
def test_one_is_a_request_already(format: Format) -> None:
    (part,) = all_rendered(format, batch(texts("1")))
    assert join(format, [part]) is part


@pytest.mark.parametrize("count", [0, 1, 5_000])
def test_a_batch_is_read_back_whole(count: int) -> None:
    events = batch(texts(*map(str, range(count))), _id=[f"é{n}" for n in range(count)])
    request = join("cloudevents-batch", all_rendered("cloudevents-batch", events))
    if not count:
        assert request.body == b"[]"
    found = taken_in([(request.body, request.headers)])
    assert len(found) == count
    if count:
        assert found.rows.column("json").equals(events.rows.column("json"))
        assert found.rows.column("_id").equals(events.rows.column("_id"))


@pytest.mark.parametrize("count", [0, 1, 5_000])
def test_so_is_one_for_event_grid(count: int) -> None:
    events = batch(texts(*map(str, range(count))))
    found = json.loads(join("eventgrid", all_rendered("eventgrid", events)).body)
    assert [event["data"] for event in found] == list(range(count))


@pytest.mark.parametrize("format", ["cloudevents", "cloudevents-structured"])
@pytest.mark.parametrize("count", [0, 2])
def test_nobody_gets_a_batch_who_did_not_ask_for_one(format: Format, count: int) -> None:
    with pytest.raises(ValueError, match=f"carries one event, not {count}"):
        join(format, all_rendered(format, batch(texts(*["1"] * count))))
