"""Names that must differ, topics that must be there, and ways on which events would go round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ...partition import key_text
from ...plan.reachability import reached
from ...schema.rows import is_json
from ..parts import Domain, Model, Parts, StagePart, SubscriptionPart, Topic
from .findings import FindingCollector


def check_names(parts: Parts, report: FindingCollector) -> None:
    _check_unique(parts.topics, "topics", "name each topic once and pass it where it is used", report)
    _check_unique(parts.models, "models", "declare a model once and score with it as often as needed", report)
    _check_unique(parts.stages, "stages", "give one of them name=: the name is its consumer group", report)
    _check_unique(parts.subscriptions, "subscriptions", "give one of them name=: its place is kept under it", report)
    stages = {part.name: part.place for part in parts.stages}
    for part in parts.subscriptions:
        if part.name in stages:
            message = f"a stage and a subscription are called '{part.name}', the other at {stages[part.name]}"
            report.error(part.place, message, "give the subscription name=: no stage and no subscription share one")


def check_links(parts: Parts, report: FindingCollector) -> None:
    """Every stage and subscription stands between topics and models of this app, and feeds none that it reads."""
    for part in parts.readers:
        for topic in (part.source, part.to):
            if isinstance(topic, Topic) and topic not in parts.topics:
                message = f"'{part.name}' uses topic '{topic.name}', which this app does not declare"
                report.error(part.place, message, f"write: app.topic({topic.name!r}) on this app")
        if isinstance(part.to, Topic) and part.to is part.source:
            message = f"'{part.name}' feeds topic '{part.to.name}', which it reads: its events would go round for ever"
            report.error(part.place, message, "write to another topic")
        if isinstance(part.to, Domain) and part.to_topic is None and not isinstance(part.source, Domain):
            message = f"'{part.name}' feeds domain '{part.to.name}' with events that are of no domain topic"
            mend = "say which one all of them go to, such as {0}['acme'], or read a domain: its events keep their topic"
            report.error(part.place, message, mend.format(part.to.name))
    for scorer in parts.scorers:
        if scorer.model not in parts.models:
            message = f"'{scorer.name}' scores with '{scorer.model.name}', which this app does not declare"
            report.error(scorer.place, message, f"write: app.model({scorer.model.name!r}, outputs=[...]) on this app")


def check_circles(parts: Parts, report: FindingCollector) -> None:
    """A longer circle is legal, for a function may end it by returning None, or a subscription by its filter; one of
    others only never ends."""
    endless: list[StagePart | SubscriptionPart] = [*parts.scorers]
    endless += [part for part in parts.subscriptions if part.where is None and part.filter is None]
    for ways, found in ((_ways(parts.readers), "warning"), (_ways(endless), "error")):
        for topic in parts.topics:
            if topic in ways.get(topic, ()) or topic not in reached([topic], ways):
                continue
            message = f"events of topic '{topic.name}' come back to it"
            if found == "error":
                through = "scorers and subscriptions that pass every event, for ever"
                report.error(topic.place, f"{message} through {through}", "write to another topic")
            else:
                mend = "make sure that a function on the way ends it by returning None, or a subscription by a filter"
                report.warning(topic.place, message, mend)


def check_keys(topics: Mapping[Topic[Any], pa.Schema | None], report: FindingCollector) -> None:
    for topic, schema in topics.items():
        if topic.key is None or schema is None:
            continue
        index = schema.get_field_index(topic.key)
        if is_json(schema):
            message = f"topic '{topic.name}' holds JSON and has no column '{topic.key}' to be its key"
            report.error(topic.place, message, "give it a type, or leave key= away and publish each event with its key")
        elif index < 0:
            message = f"the key '{topic.key}' is not a column of topic '{topic.name}'"
            report.error(topic.place, message, f"choose of {', '.join(schema.names)}")
        else:
            _check_key_type(topic, schema.field(index).type, report)


def check_order(parts: Parts, report: FindingCollector) -> None:
    """A key is the topic's own, that of the event it was made of, or a CloudEvent's ``partitionkey``, which no file
    says."""
    keyed = [topic for topic in parts.topics if topic.key is not None]
    with_keys = {*keyed, *reached(keyed, _ways(parts.readers))}
    for part in parts.subscriptions:
        topic = part.source
        if not part.ordered or not isinstance(topic, Topic) or topic in with_keys:
            continue
        called = f"{'domain' if isinstance(topic, Domain) else 'topic'} '{topic.name}'"
        message = (
            f"'{part.name}' is ordered, and {called} has no key: all events of a partition wait for each other, and "
            "those that belong together may be in several, in no order"
        )
        mend = f"write key= at {called} ({topic.place}), publish each event with a partitionkey, or leave ordered= away"
        report.warning(part.place, message, mend)


def _check_key_type(topic: Topic[Any], kind: pa.DataType, report: FindingCollector) -> None:
    try:
        key_text(pa.nulls(0, kind))
    except TypeError as error:
        report.error(topic.place, f"the key '{topic.key}' of topic '{topic.name}': {error}", "choose another column")


def _check_unique(
    parts: Sequence[Topic[Any] | Model | StagePart | SubscriptionPart], what: str, mend: str, report: FindingCollector
) -> None:
    first: dict[str, str] = {}
    for part in parts:
        if part.name in first:
            report.error(part.place, f"two {what} are called '{part.name}', the other at {first[part.name]}", mend)
        first.setdefault(part.name, part.place)


def _ways(stages: Iterable[StagePart | SubscriptionPart]) -> Mapping[Any, set[Any]]:
    ways: dict[Any, set[Any]] = defaultdict(set)
    for stage in stages:
        if isinstance(stage.to, Topic):
            ways[stage.source].add(stage.to)
    return ways
