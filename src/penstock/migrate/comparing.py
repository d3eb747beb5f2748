"""Whether two logs say the same, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..batch import SYSTEM, TopicSpec
from ..models.artifacts import Artifacts
from ..models.decide import RegistryState
from ..run.compose.backends import AppLog
from .inventory import Progress, Survey, group_ranks, survey
from .models import areas, missing
from .parents_first import Place


@dataclass(frozen=True, slots=True)
class Difference:
    """``what``: topic, partition, group, registry or system."""

    what: str
    name: str
    source: str
    target: str
    same: bool


@dataclass(frozen=True, slots=True)
class LogContent:
    """One log, read to its end."""

    survey: Survey
    groups: Mapping[tuple[str, Place], int]

    @classmethod
    def of(cls, log: AppLog, names: Sequence[str], progress: Progress) -> LogContent:
        surveyed = survey(log, [spec for spec in log.topics() if spec.name in names], progress)
        return cls(surveyed, group_ranks(log, surveyed.ranks))


def compare(source: LogContent, target: LogContent) -> Iterator[Difference]:
    """Events and positions."""
    for place in source.survey.ranks:
        ours, theirs = _rows(source.survey, place), _rows(target.survey, place)
        same = ours == theirs and not source.survey.undecodable[place]
        yield Difference("partition", f"{place[0]}/{place[1]}", ours, theirs, same)
    for group, place in sorted({*source.groups, *target.groups}):
        ours, theirs = (_number(side.groups.get((group, place), 0)) for side in (source, target))
        yield Difference("group", f"{group} on {place[0]}/{place[1]}", ours, theirs, ours == theirs)


def declared(source: AppLog, target: AppLog, *, expiring: bool) -> Iterator[Difference]:
    """Types, keys, partitions, encoding; retention only where the target's events are ``expiring`` by now."""
    theirs = {spec.name: spec if expiring else unlimited(spec) for spec in target.topics()}
    for spec in source.topics() if expiring else map(unlimited, source.topics()):
        other = theirs.get(spec.name)
        same = other is not None and spec == other and spec.schema.equals(other.schema, check_metadata=True)
        yield Difference("topic", spec.name, _said(spec), "missing" if other is None else _said(other), same)


def registered(source: AppLog, target: AppLog, artifacts: Artifacts) -> Iterator[Difference]:
    """The registry, and what else the system knows, as the events of each log tell it; and ``artifacts``, the
    target's."""
    if SYSTEM not in {spec.name for spec in source.topics()}:
        return
    here, there = areas(source), areas(target)
    ours, theirs = here.only(RegistryState), there.only(RegistryState)
    said = [f"{sum(map(len, s.versions.values()))} versions, {len(s.aliases)} aliases" for s in (ours, theirs)]
    yield Difference("registry", "versions, aliases, answers, activations", said[0], said[1], ours == theirs)
    for area, other in zip(here, there, strict=True):
        if area is not ours:
            same = area == other
            yield Difference("system", area.name, "known", "the same" if same else "another", same)
    for ref in missing(ours, artifacts):
        yield Difference("registry", f"artifact of {ref}", "registered", "missing", False)


def unlimited(topic: TopicSpec) -> TopicSpec:
    """Whose events never expire."""
    return replace(topic, retain_us=None, retain_bytes=None)


def _rows(survey: Survey, place: Place) -> str:
    """One digest of each row, and their number; rows that could not be read have neither."""
    if place not in survey.ranks:
        return "missing"
    left = survey.undecodable[place]
    said = f"{survey.count(place):,} events, {survey.digests[place][:16]}"
    return f"{said}, {left:,} that cannot be read" if left else said


def _number(rank: int) -> str:
    """A group without a position stands at the beginning."""
    return f"{rank:,} dealt with"


def _said(spec: TopicSpec) -> str:
    kind = "a domain, " if spec.domain else ""
    return (
        f"{kind}{len(spec.schema)} columns, {spec.partitions} partitions, key {spec.key}, {spec.encoding}, "
        f"kept {spec.retain_us} µs, {spec.retain_bytes} bytes, dedupe {spec.dedupe_us} µs"
    )
