"""A plan beside what runs already: what would be refused, and what would be left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import Any

from ...batch import TopicSpec
from ...errors import SchemaChanged
from ...plan.plan import Plan, SubscriptionSpec
from ...schema.evolution import fits, left_out
from ...schema.rows import is_json
from ..planning.findings import Finding, FindingCollector


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is there: the topics, each consumer group with the topics it reads, and the subscriptions that the version
    before declares. Penstock's own topics and groups are ignored."""

    topics: Sequence[TopicSpec] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    subscriptions: Sequence[SubscriptionSpec] = ()
    shown: Sequence[Mapping[str, Any]] | None = None
    """The subscriptions as a server describes them, without what may be secret."""


OPTIONS = {
    "url": "to",
    "topic": "to",
    "destination": "to",
    "event": "source",
    "attempts": "retry",
    "ttl": "retry",
    "max_events": "batch",
    "preferred_kb": "batch",
    "secrets": "secret",
}
"""What ``app.subscribe`` calls a member of a subscription, where that is something else."""


def compare(plan: Plan, deployed: Deployed) -> list[Finding]:
    """Topics first, then stages and subscriptions; errors are what the log would refuse."""
    report = FindingCollector()
    planned = {topic.name: topic for topic in plan.topics}
    for before in deployed.topics:
        if before.name.startswith("penstock."):
            continue
        if before.name in planned:
            _compare_topic(before, planned[before.name], plan, report)
        else:
            message = f"topic '{before.name}' is deployed and no longer declared"
            report.warning(plan.target, message, "its events stay where they are; if it was renamed, keep the old name")
    _compare_stages(plan, deployed.groups, report)
    _compare_subscriptions(plan, deployed.subscriptions, report)
    if deployed.shown is not None:
        _compare_shown(plan, deployed.shown, report)
    return report.findings


def _compare_topic(before: TopicSpec, now: TopicSpec, plan: Plan, report: FindingCollector) -> None:
    place = f"{plan.target} topic '{now.name}'"
    if now.partitions < before.partitions:
        message = f"{now.partitions} partitions, and {before.partitions} are deployed"
        report.error(place, message, f"write partitions={before.partitions}: a topic cannot lose partitions")
    if now.partitions > before.partitions:
        message = f"{now.partitions} partitions, and {before.partitions} are deployed"
        report.warning(
            place, message, "keys move to other partitions, so their order starts anew; growing is asked for"
        )
    if now.domain != before.domain:
        message = f"it is {_kind(now)}, and {_kind(before)} is deployed"
        report.error(place, message, "one cannot become the other: use another name")
    if now.key != before.key:
        message = f"its key is '{now.key}', and the one deployed is '{before.key}'"
        report.warning(place, message, "old events stay in the partitions of the old key; a new topic has one order")
    if now.encoding != before.encoding:
        message = f"its records are {now.encoding}, and those deployed are {before.encoding}"
        mend = f"on Kafka a topic keeps its encoding: write encoding='{before.encoding}', or declare a new topic"
        report.warning(place, message, mend)
    try:
        fits(before.schema, now.schema)
    except SchemaChanged as error:
        report.error(place, str(error), "only optional fields may be added to a deployed type")
    else:
        _tell_unknown_fields(before, now, plan, report)


def _kind(topic: TopicSpec) -> str:
    return "a domain" if topic.domain else "a topic"


def unknown_fields(plan: Plan, topics: Sequence[TopicSpec]) -> list[Finding]:
    """The fields of deployed topics that the plan does not know: a later version of the app has added them."""
    report = FindingCollector()
    planned = {topic.name: topic for topic in plan.topics}
    for before in topics:
        if before.name in planned:
            _tell_unknown_fields(before, planned[before.name], plan, report)
    return report.findings


def _tell_unknown_fields(before: TopicSpec, now: TopicSpec, plan: Plan, report: FindingCollector) -> None:
    if is_json(before.schema) or is_json(now.schema) or not (unknown := left_out(before.schema, now.schema)):
        return
    message = f"topic '{now.name}' has {', '.join(unknown)}, which this version of the app does not know"
    mend = "they stay, and have their default or null in what this version writes"
    report.warning(f"{plan.target} topic '{now.name}'", message, mend)


def renamed_stages(plan: Plan, groups: Mapping[str, Sequence[str]]) -> list[Finding]:
    """New stages that may be deployed ones under another name, and would read everything again."""
    report = FindingCollector()
    new = [stage for stage in plan.stages if stage.name not in groups]
    for group, topics in _unknown_groups(plan, groups).items():
        heirs = [stage for stage in new if stage.source in topics]
        if heirs:
            heir = heirs[0]
            mend = f"if {heir.name} is it under a new name, write name='{group}': else it starts at the {heir.start}"
            report.warning(heir.place, _gone(group, topics), mend)
    return report.findings


def _compare_stages(plan: Plan, groups: Mapping[str, Sequence[str]], report: FindingCollector) -> None:
    renamed = renamed_stages(plan, groups)
    report.findings += renamed
    for group, topics in _unknown_groups(plan, groups).items():
        if _gone(group, topics) not in {finding.message for finding in renamed}:
            mend = "its position stays; delete the group once nothing needs it"
            report.warning(plan.target, _gone(group, topics), mend)


def _compare_subscriptions(plan: Plan, deployed: Sequence[SubscriptionSpec], report: FindingCollector) -> None:
    declared = {each.name: each for each in plan.subscriptions}
    for before in deployed:
        if (now := declared.get(before.name)) is not None:
            then = asdict(before)
            changed = {OPTIONS.get(name, name) for name, value in asdict(now).items() if value != then[name]}
            _tell_changes(changed - {"place"}, now, report)
        else:
            _tell_gone(before.name, before.source, before.receiver, plan, {each.name for each in deployed}, report)


def _compare_shown(plan: Plan, shown: Sequence[Mapping[str, Any]], report: FindingCollector) -> None:
    """Also those that are new. A header's own text and the rest of a URL are not compared: a server shows neither.
    What was put at run time is in no file."""
    shown = [each for each in shown if each.get("origin") != "run-time"]
    declared, known = {each.name: each for each in plan.subscriptions}, {each["name"] for each in shown}
    for before in shown:
        if (now := declared.get(before["name"])) is not None:
            then = before["options"]
            changed = {name for name, value in now.options.items() if name in then and value != then[name]}
            _tell_changes(changed, now, report)
        else:
            _tell_gone(before["name"], before["source"], before["target"], plan, known, report)
    for new in plan.subscriptions:
        if new.name not in known:
            report.warning(
                new.place, f"subscription '{new.name}' is new", f"it starts at the {new.start} of {new.source}"
            )


def _tell_gone(name: str, source: str, receiver: str, plan: Plan, known: Set[str], report: FindingCollector) -> None:
    """``known``: the names of all that are deployed."""
    message = f"subscription '{name}' is deployed, on {source}, and the app has none of that name"
    heirs = [each for each in plan.subscriptions if each.name not in known and each.source == source]
    if heirs:
        mend = f"if {heirs[0].name} is it under a new name, write name='{name}': else it starts at the {heirs[0].start}"
        report.warning(heirs[0].place, message, mend)
    else:
        report.warning(plan.target, message, f"nothing more goes to {receiver}; declare it again if it should")


def _tell_changes(changed: Set[str], now: SubscriptionSpec, report: FindingCollector) -> None:
    if not changed:
        return
    message = f"subscription '{now.name}' is deployed with another {', '.join(sorted(changed))}"
    mend = "it goes on from where it is; what it has not delivered yet goes by what is declared now"
    if "source" in changed:
        mend = f"it starts at the {now.start} of {now.source}; give it another name if both are to be delivered"
    report.warning(now.place, message, mend)


def _unknown_groups(plan: Plan, groups: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    names = {stage.name for stage in plan.stages}
    return {g: topics for g, topics in groups.items() if g not in names and not g.startswith("penstock.")}


def _gone(group: str, topics: Sequence[str]) -> str:
    return f"stage '{group}' is deployed, reading {', '.join(topics)}, and the app has none of that name"
