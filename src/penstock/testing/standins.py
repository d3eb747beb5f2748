"""Plain functions in the place of models: what they read and answer, and their first version in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import polars as pl
import pyarrow as pa

from ..batch import SYSTEM, Write
from ..clock import Clock
from ..declare.parts import Model
from ..errors import DeclarationError, ModelRefused
from ..log.interface import Log
from ..models.artifacts import Artifacts
from ..models.interface import Signature
from ..models.messages import Promoted, Registered
from ..models.signature import offer, to_json
from ..plan.plan import ModelSpec, Plan, ScoreSpec
from ..schema.rows import is_json
from ..system.messages import to_rows

StandIn = Callable[[pl.DataFrame], pl.DataFrame]


class StandIns:
    """``functions`` by model name. Each reads all the columns on offer, and answers as on a call with no rows."""

    def __init__(self, functions: Mapping[str, StandIn]) -> None:
        self.functions = functions

    def signature_of(self, model: Model | ModelSpec, offered: pa.Schema) -> Signature | None:
        """None for a model that has no stand-in. Raises ``ModelRefused`` for what cannot stand in."""
        if (function := self.functions.get(model.name)) is None:
            return None
        if is_json(offered) and model.inputs is None:
            raise ModelRefused(
                f"the stand-in for '{model.name}' reads a topic without a type: say inputs=[…] in app.model"
            )
        inputs = offer(None if is_json(offered) else offered, model.inputs)
        assert inputs is not None
        return Signature(inputs.remove_metadata(), _answered(model, function, inputs))

    def check_names(self, plan: Plan) -> None:
        known = [model.name for model in plan.models]
        if stray := sorted(self.functions.keys() - set(known)):
            raise DeclarationError(
                f"models={{'{stray[0]}': …}}: the app has no such model (it has: {', '.join(known)})"
            )

    def install(self, plan: Plan, log: Log, artifacts: Artifacts, clock: Clock) -> None:
        """As if each had been registered and promoted before the test began."""
        for model in plan.models:
            scorers = [scorer for scorer in plan.of_kind(ScoreSpec) if scorer.model == model.name]
            sources = [plan.topic(scorer.source).schema for scorer in scorers]
            if signature := self.signature_of(model, _common(sources)):
                digest = artifacts.put(f"stand-in for {model.name}".encode())
                log.append([Write(SYSTEM, 0, to_rows(_first_version(model, digest, signature, clock)))])

    def without_artifacts(self, plan: Plan) -> Plan:
        """A model that has a stand-in is not loaded from its file."""
        models = [replace(m, artifact=None) if m.name in self.functions else m for m in plan.models]
        return replace(plan, models=tuple(models))


def _answered(model: Model | ModelSpec, function: StandIn, inputs: pa.Schema) -> pa.Schema:
    empty = pl.DataFrame(pl.from_arrow(inputs.empty_table()))
    try:
        answer = function(empty)
        return pa.schema([(name, answer.select(name).to_arrow().schema.field(0).type) for name in model.outputs])
    except Exception as error:
        raise ModelRefused(f"the stand-in for '{model.name}', called with no rows: {error!r}") from error


def _common(sources: Sequence[pa.Schema]) -> pa.Schema:
    """The columns that every source has."""
    if not sources:
        return pa.schema([])
    return pa.schema(
        [f for f in sources[0] if all(f.name in other.names for other in sources)], metadata=sources[0].metadata
    )


def _first_version(model: ModelSpec, digest: str, signature: Signature, clock: Clock) -> tuple[Registered, Promoted]:
    cause = f"stand-in/{model.name}"
    registered = Registered(
        model=model.name,
        version=1,
        digest=digest,
        runtime="stand-in",
        signature=to_json(signature),
        created=clock.now(),
        causationid=cause,
    )
    promoted = Promoted(
        model=model.name, alias=model.alias, from_version=None, to_version=1, epoch=1, causationid=cause
    )
    return registered, promoted
