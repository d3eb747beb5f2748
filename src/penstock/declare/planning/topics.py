"""Which columns each topic has: its type's, or without one those of what feeds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pyarrow as pa

from ...batch import JSON_SCHEMA
from ...errors import DeclarationError, ModelRefused
from ...schema.types import schema_of
from ..parts import FunctionPart, Model, Parts, ScorePart, StagePart, SubscriptionPart, Topic
from .columns import called_with_no_rows, plain_columns, typed_columns
from .findings import FindingCollector
from .functions import UNKNOWN, FunctionShape


class ModelColumns(Protocol):
    """What a model reads and answers, as a ``models.interface.Signature`` says it."""

    @property
    def inputs(self) -> pa.Schema: ...
    @property
    def outputs(self) -> pa.Schema: ...


Made = Callable[[StagePart, Topic[Any], "Columns"], pa.Schema | None]
"""The columns that a stage brings to the topic that it feeds; None where they cannot be known, which is reported."""

Signatures = Callable[[Model, pa.Schema], ModelColumns | None]
"""A model's signature, given the columns on offer; None when its file cannot be read here. May raise ModelRefused."""


class Columns:
    """The schema of every topic, found when first asked for; what cannot be known is reported once."""

    def __init__(
        self,
        parts: Parts,
        shapes: Mapping[FunctionPart, FunctionShape],
        signatures: Signatures,
        made: Made,
        report: FindingCollector,
    ) -> None:
        self._parts, self._shapes, self._signatures, self._made = parts, shapes, signatures, made
        self._report = report
        self._topics: dict[Topic[Any], pa.Schema | None] = {}
        self._under_way: set[Topic[Any]] = set()
        self._answers: dict[FunctionPart, pa.Schema | None] = {}
        self._models: dict[ScorePart, ModelColumns | None] = {}

    def shape(self, part: FunctionPart) -> FunctionShape | None:
        """None where its annotations do not say enough; that has been reported."""
        return self._shapes.get(part)

    def of(self, topic: Topic[Any]) -> pa.Schema | None:
        """None where they cannot be known; that has been reported."""
        if topic in self._under_way:
            message = f"the columns of topic '{topic.name}' depend on themselves: it is fed from what it feeds"
            self._report.error(topic.place, message, _give_type(topic))
            return None
        if topic not in self._topics:
            self._under_way.add(topic)
            self._topics[topic] = self._declared(topic) if topic.type is not None else self._fed(topic)
            self._under_way.remove(topic)
        return self._topics[topic]

    def answered(self, part: FunctionPart) -> pa.Schema | None:
        """The columns a batch function answers with; None where they cannot be known before it runs."""
        if part not in self._answers:
            self._answers[part] = self._called(part)
        return self._answers[part]

    def of_model(self, part: ScorePart) -> ModelColumns | None:
        if part not in self._models:
            self._models[part] = self._signed(part)
        return self._models[part]

    def _declared(self, topic: Topic[Any]) -> pa.Schema | None:
        assert topic.type is not None
        try:
            return schema_of(topic.type)
        except DeclarationError as error:
            self._report.error(topic.place, f"the type of topic '{topic.name}': {error}", "change that field or type")
            return None

    def _fed(self, topic: Topic[Any]) -> pa.Schema | None:
        """Of all that feeds the topic; several must agree. Nothing feeds it: JSON."""
        found = [(part.name, self._made(part, topic, self)) for part in self._parts.stages if part.to is topic]
        found += [(part.name, self.of_source(part)) for part in self._parts.subscriptions if part.to is topic]
        if any(columns is None for _, columns in found):
            return None
        for name, columns in found[1:]:
            if columns != found[0][1]:
                message = f"{found[0][0]} and {name} feed topic '{topic.name}' with different columns"
                self._report.error(topic.place, message, _give_type(topic))
                return None
        return found[0][1] if found else JSON_SCHEMA

    def of_source(self, part: SubscriptionPart) -> pa.Schema | None:
        """What a subscription reads, and so what it feeds a topic with."""
        return self.of(part.source) if isinstance(part.source, Topic) else JSON_SCHEMA

    def fed_by_function(self, topic: Topic[Any], part: FunctionPart) -> pa.Schema | None:
        shape = self._shapes.get(part)
        if shape is None:
            return None
        try:
            if shape.takes not in ("frame", "arrow"):
                known = [kind for kind in shape.made if kind is not UNKNOWN]
                return typed_columns(known[0]) if len(known) == 1 else JSON_SCHEMA
            answer = self._call(part, shape)
            return None if answer is None else plain_columns(answer)
        except DeclarationError as error:
            message = f"the columns of topic '{topic.name}' cannot be taken from {part.name}: {error}"
            self._report.error(part.place, message, _give_type(topic))
            return None

    def fed_by_model(self, topic: Topic[Any], part: ScorePart) -> pa.Schema | None:
        source, model = self.of(part.source), self.of_model(part)
        if source is None or any(name not in source.names for name in part.keep):
            return None
        if model is None:
            message = f"the columns of topic '{topic.name}' are not known before the model '{part.model.name}' is there"
            self._report.error(part.place, message, _give_type(topic))
            return None
        return plain_columns(pa.schema([*(source.field(name) for name in part.keep), *model.outputs]))

    def _called(self, part: FunctionPart) -> pa.Schema | None:
        shape = self._shapes.get(part)
        if shape is None or shape.takes not in ("frame", "arrow") or shape.asked.types or shape.asked.refs:
            return None
        try:
            return self._call(part, shape)
        except DeclarationError as error:
            mend = "make it work on a frame without rows, so that its columns can be checked before it runs"
            self._report.warning(part.place, f"{part.name}: {error}", mend)
            return None

    def _call(self, part: FunctionPart, shape: FunctionShape) -> pa.Schema | None:
        if not isinstance(part.source, Topic):
            return None
        source = self.of(part.source)
        return None if source is None else called_with_no_rows(part, shape, source)

    def _signed(self, part: ScorePart) -> ModelColumns | None:
        source = self.of(part.source)
        if source is None:
            return None
        try:
            return self._signatures(part.model, source)
        except ModelRefused as error:
            self._report.error(part.model.place, f"the model '{part.model.name}': {error}", "register another artifact")
            return None


def _give_type(topic: Topic[Any]) -> str:
    return f"give the topic a type: app.topic({topic.name!r}, T), where T has a field for each column"
