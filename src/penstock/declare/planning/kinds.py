"""How each kind of stage is planned: a row a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...plan.plan import FunctionSpec, HandleSpec, ScoreSpec, StageSpec
from ...plan.references import ReferenceSpec
from ..handles.table import HANDLES
from ..parts import FunctionPart, Parts, ScorePart, StagePart, Topic
from ..values import Ref
from .findings import FindingCollector
from .functions import shown
from .stages import check_function, check_scorer
from .topics import Columns


@dataclass(frozen=True, slots=True)
class Planner:
    """``check`` reports what could not run; ``columns`` are those that an untyped target gets, None where they are not
    known, which is reported; ``spec`` is what the plan holds, but for the place."""

    check: Callable[[Any, Columns, FindingCollector], None]
    columns: Callable[[Any, Topic[Any], Columns], pa.Schema | None]
    spec: Callable[[Any, Columns], StageSpec]


def in_order(parts: Parts) -> list[StagePart]:
    """As a plan lists them: by kind, and those of one kind as in the file."""
    kinds = list(PLANNERS)
    return sorted(parts.stages, key=lambda part: kinds.index(type(part)))


def fed(part: StagePart, topic: Topic[Any], columns: Columns) -> pa.Schema | None:
    return PLANNERS[type(part)].columns(part, topic, columns)


def specs(refs: Iterable[Ref]) -> tuple[ReferenceSpec, ...]:
    return tuple(ref.spec for ref in refs)


def _check_function(part: FunctionPart, columns: Columns, report: FindingCollector) -> None:
    if (shape := columns.shape(part)) is not None:
        check_function(part, shape, columns, report)


def _function(part: FunctionPart, columns: Columns) -> FunctionSpec:
    shape = columns.shape(part)
    kinds = [] if shape is None else list(shape.asked.types.values())
    return FunctionSpec(
        part.name,
        part.source.name if isinstance(part.source, Topic) else part.source.written_in,
        None if part.to is None else part.to.name,
        "event" if shape is None else shape.takes,
        is_async=shape is not None and shape.is_async,
        event=None if isinstance(part.source, Topic) else part.source.event_type,
        where=part.where,
        start=part.start,
        timeout=part.timeout,
        attempts=part.retry.attempts,
        ttl=part.retry.ttl_seconds,
        concurrency=part.concurrency,
        handles=tuple(HandleSpec(kind.__name__, kind.VERBS) for kind in kinds if kind in HANDLES),
        resources=tuple(shown(kind) for kind in kinds if kind not in HANDLES),
        references=() if shape is None else specs(shape.asked.refs.values()),
    )


def _scorer(part: ScorePart, columns: Columns) -> ScoreSpec:
    return ScoreSpec(
        part.name,
        part.source.name,
        part.to.name,
        part.model.name,
        part.keep,
        start=part.start,
        timeout=part.timeout,
        attempts=part.retry.attempts,
        ttl=part.retry.ttl_seconds,
    )


PLANNERS: dict[type[Any], Planner] = {
    FunctionPart: Planner(
        _check_function, lambda part, topic, columns: columns.fed_by_function(topic, part), _function
    ),
    ScorePart: Planner(check_scorer, lambda part, topic, columns: columns.fed_by_model(topic, part), _scorer),
}
