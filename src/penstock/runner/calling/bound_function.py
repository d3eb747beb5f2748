"""A declared function with all that calling it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...batch import TopicSpec
from ...declare.app import App
from ...declare.parts import FunctionPart
from ...declare.planning.functions import shape_of
from ...declare.values import Ref
from ...errors import DeclarationError
from ...plan.plan import FunctionSpec, Plan
from ...schema.ingress.values import MadeValues


@dataclass(frozen=True, slots=True)
class Callee:
    """``event`` is the class of its events (None: frames); ``target`` the columns it writes (None: it writes nothing),
    and ``values`` what those columns may hold.

    ``types`` names the parameters that are injected by type, ``refs`` those that the environment gives.
    """

    app: str
    spec: FunctionSpec
    function: Callable[..., Any]
    event: Any
    source: TopicSpec
    target: pa.Schema | None
    values: MadeValues
    types: Mapping[str, Any]
    refs: Mapping[str, Ref]


def callees(app: App, plan: Plan) -> dict[str, Callee]:
    """By stage. Raises ``DeclarationError`` when the file is no longer the one that the plan was made of."""
    parts = {part.name: part for part in app.parts.functions}
    specs = plan.of_kind(FunctionSpec)
    missing = [spec.name for spec in specs if spec.name not in parts]
    if missing:
        raise DeclarationError(f"{plan.target} no longer declares {', '.join(missing)}; run penstock check again")
    return {spec.name: _callee(parts[spec.name], spec, plan) for spec in specs}


def _callee(part: FunctionPart, spec: FunctionSpec, plan: Plan) -> Callee:
    shape = shape_of(part)
    target = None if spec.to is None else plan.topic(spec.to).schema
    return Callee(
        plan.app,
        spec,
        part.function,
        shape.event,
        plan.topic(spec.source) if spec.event is None else TopicSpec(spec.source),
        target,
        MadeValues(pa.schema([]) if target is None else target),
        shape.asked.types,
        shape.asked.refs,
    )
