"""A plan as a document: JSON that says its version, and that another version of Penstock may have written."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa

from ..errors import PlanRefused
from .edges import edges
from .plan import KINDS, Plan, StageSpec

VERSION = 4
"""Raised when a reader of before would take the document for something else; members that it may pass over, and those
with a default, need none."""

MEND = "update Penstock here, or make the plan with the version that runs here: penstock check APP --plan"

Document = dict[str, Any]


def plan_to_bytes(plan: Plan) -> bytes:
    """JSON with the plan's version and edges; a schema is its Arrow IPC message in base64, so nothing of it is lost."""
    document: Document = {"version": VERSION, **_plain(plan), "edges": _plain(edges(plan))}
    document["stages"] = [{"kind": stage.kind, **_plain(stage)} for stage in plan.stages]
    return msgspec.json.encode(document)


def as_json(plan: Plan) -> str:
    """The same for people to look at, too."""
    return msgspec.json.format(plan_to_bytes(plan), indent=2).decode()


def plan_from_bytes(data: bytes) -> Plan:
    """Of this version and those of before; edges are not read, they follow from the rest.

    Raises ``PlanRefused`` for a plan of a later version, and for what is no plan.
    """
    try:
        document = msgspec.json.decode(data, type=Document)
        version = document.get("version", 1)
        if version not in range(1, VERSION + 1):
            raise PlanRefused(f"it is of version {version!r}, and this Penstock reads versions 1 to {VERSION}; {MEND}")
        for step in range(version, VERSION):
            document = _UPGRADES[step](document)
        stages = tuple(map(_stage, document.get("stages", ())))
        plan = msgspec.convert({**document, "stages": ()}, Plan, dec_hook=_schema_from_text)
    except (msgspec.MsgspecError, pa.ArrowException, ValueError, LookupError, TypeError, AttributeError) as error:
        raise PlanRefused(f"this is no plan: {error}; penstock check APP --plan makes one") from error
    return replace(plan, stages=stages)


def _stage(written: Document) -> StageSpec:
    if written["kind"] not in KINDS:
        raise PlanRefused(f"it has a stage of the kind {written['kind']!r}; here there are {', '.join(KINDS)}; {MEND}")
    return msgspec.convert(written, KINDS[written["kind"]])


def _one_list_of_stages(document: Document) -> Document:
    """Version 1 had a list a kind, and one of all that a function asks for."""
    functions = [{"kind": "function", **function, **_asked(function)} for function in document.get("functions", ())]
    scorers = [{"kind": "scorer", **scorer} for scorer in document.get("scorers", ())]
    return {**document, "stages": [*functions, *scorers]}


def _asked(function: Document) -> Document:
    injects = function.get("injects", ())
    models = [{"name": "Models", "verbs": ["load", "register", "alias"]}] if "Models" in injects else []
    return {"handles": models, "resources": [name for name in injects if name != "Models"]}


def _without_subscriptions(document: Document) -> Document:
    """Version 2 had none. A reader of it would run an app that has some, and deliver nothing."""
    return document


def _without_domains(document: Document) -> Document:
    """Version 3 had none. A reader of it would take a domain for a topic, and mix what is of several tenants."""
    return document


_UPGRADES: Mapping[int, Callable[[Document], Document]] = {
    1: _one_list_of_stages,
    2: _without_subscriptions,
    3: _without_domains,
}
"""From each version to the next."""


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value, enc_hook=_schema_to_text)


def _schema_to_text(value: object) -> str:
    if isinstance(value, pa.Schema):
        return b64encode(value.serialize()).decode()
    raise NotImplementedError(f"{type(value)} in a plan")


def _schema_from_text(kind: type, text: Any) -> pa.Schema:
    if kind is pa.Schema:
        return pa.ipc.read_schema(pa.py_buffer(b64decode(text)))
    raise NotImplementedError(f"{kind} in a plan")
