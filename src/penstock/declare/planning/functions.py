"""What a function's annotations say: how it is called, what it is given, what comes of it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin, get_type_hints

import polars as pl
import pyarrow as pa

from ...plan.plan import Takes
from ..events import Event
from ..parts import FunctionPart, Parts, ResourcePart
from ..values import Ref
from .findings import FindingCollector

UNKNOWN: Any = inspect.Parameter.empty
"""Stands for a return annotation that is not there."""

_NOT_ONE = {"LazyFrame": "pl.DataFrame", "Table": "pa.RecordBatch", "Series": "pl.DataFrame"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters beside the first: those given by type, and those whose default is a reference."""

    types: Mapping[str, Any] = field(default_factory=dict)
    refs: Mapping[str, Ref] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FunctionShape:
    """``event`` is the class of the events it takes, None for frames; ``made`` the classes of what it returns."""

    takes: Takes
    event: Any
    asked: Asked
    is_async: bool
    returns: Any
    made: tuple[Any, ...]  # without None, unpacked of lists and iterators; UNKNOWN where nothing is said


@dataclass(frozen=True, slots=True)
class ResourceShape:
    provides: Any
    asked: Asked


def function_shapes(parts: Parts, report: FindingCollector) -> dict[FunctionPart, FunctionShape]:
    """The functions whose annotations say enough."""
    found = {part: _function_shape(part, report) for part in parts.functions}
    return {part: shape for part, shape in found.items() if shape is not None}


def resource_shapes(parts: Parts, report: FindingCollector) -> dict[ResourcePart, ResourceShape]:
    found = {part: _resource_shape(part, report) for part in parts.resources}
    return {part: shape for part, shape in found.items() if shape is not None}


def shape_of(part: FunctionPart) -> FunctionShape:
    """Raises ``DeclarationError`` when the annotations do not say enough."""
    report = FindingCollector()
    shape = _function_shape(part, report)
    report.raise_errors()
    assert shape is not None  # an absent shape has been reported
    return shape


def resource_shape_of(part: ResourcePart) -> ResourceShape:
    """Raises ``DeclarationError`` when the annotations do not say enough."""
    report = FindingCollector()
    shape = _resource_shape(part, report)
    report.raise_errors()
    assert shape is not None  # an absent shape has been reported
    return shape


def shown(kind: Any) -> str:
    """A type as the user would write it."""
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")


def _function_shape(part: FunctionPart, report: FindingCollector) -> FunctionShape | None:
    hints = _hints(part, report)
    parameters = _parameters(part, report)
    if hints is None or parameters is None:
        return None
    if not parameters:
        report.error(part.place, f"{part.name} takes nothing", f"write: def {part.name}(event: ...): ...")
        return None
    first = parameters[0]
    if first.name not in hints:
        mend = f"write {first.name}: pl.DataFrame (called per batch) or the event's class (called per event)"
        report.error(part.place, f"the first parameter of {part.name} has no annotation", mend)
        return None
    if inspect.isasyncgenfunction(part.function):
        report.error(part.place, f"{part.name} is an async generator", "return a list of events instead")
        return None
    takes, event = _taken(hints[first.name])
    if takes is None:
        wrong = shown(hints[first.name])
        mend = f"write {first.name}: {_NOT_ONE.get(wrong.rpartition('.')[2], 'pl.DataFrame')}"
        report.error(part.place, f"{part.name} cannot be called with {wrong}", mend)
        return None
    returns = hints.get("return", UNKNOWN)
    asked = _asked(part, parameters[1:], hints, report)
    is_async = inspect.iscoroutinefunction(part.function)
    return FunctionShape(takes, event, asked, is_async, returns, _made(returns))


def _resource_shape(part: ResourcePart, report: FindingCollector) -> ResourceShape | None:
    hints = _hints(part, report)
    parameters = _parameters(part, report)
    if hints is None or parameters is None:
        return None
    returns = hints.get("return", UNKNOWN)
    arguments = get_args(returns)
    if not arguments or not _is_a(returns, Iterable) or arguments[0] is Any:
        message = f"the resource {part.function.__name__} does not say what it provides"
        report.error(part.place, message, "annotate what it yields: def ...(...) -> Iterator[Risks]")
        return None
    return ResourceShape(arguments[0], _asked(part, parameters, hints, report))


def _hints(part: FunctionPart | ResourcePart, report: FindingCollector) -> dict[str, Any] | None:
    if part.hints is not None:
        return part.hints
    try:
        return get_type_hints(part.function)
    except Exception as error:  # whatever evaluating the user's annotations raises
        mend = "import the name where it is also there at run time, not under TYPE_CHECKING"
        message = f"the annotations of {part.function.__name__} cannot be resolved: {error}"
        report.error(part.place, message, mend)
        return None


def _parameters(part: FunctionPart | ResourcePart, report: FindingCollector) -> list[inspect.Parameter] | None:
    parameters = list(inspect.signature(part.function).parameters.values())
    loose = [p for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if loose:
        report.error(
            part.place, f"{part.function.__name__} takes {loose[0]}", "name each parameter: its type says what it gets"
        )
        return None
    events = 1 if isinstance(part, FunctionPart) else 0
    wrong = [p for p in parameters[:events] if p.kind is p.KEYWORD_ONLY]
    wrong += [p for p in parameters[events:] if p.kind is p.POSITIONAL_ONLY]
    if wrong:
        mend = "remove '*' and '/' from its parameters: the event is given by position, all else by name"
        report.error(part.place, f"{part.function.__name__} cannot be given {wrong[0].name}", mend)
        return None
    return parameters


def _asked(
    part: FunctionPart | ResourcePart,
    parameters: Collection[inspect.Parameter],
    hints: dict[str, Any],
    report: FindingCollector,
) -> Asked:
    """A parameter with a plain default keeps it: what is injected has none."""
    kinds, refs = {}, {}
    for parameter in parameters:
        if isinstance(parameter.default, Ref):
            refs[parameter.name] = parameter.default
        elif parameter.default is not parameter.empty:
            continue
        elif parameter.name in hints:
            kinds[parameter.name] = hints[parameter.name]
        else:
            message = f"the parameter {parameter.name} of {part.function.__name__} has no annotation"
            report.error(part.place, message, f"annotate it: {parameter.name} is given by its type")
    return Asked(kinds, refs)


def _taken(kind: Any) -> tuple[Takes | None, Any]:
    if kind is pl.DataFrame:
        return "frame", None
    if kind is pa.RecordBatch:
        return "arrow", None
    if getattr(kind, "__module__", "").partition(".")[0] in ("polars", "pyarrow", "pandas"):
        return None, None
    arguments = get_args(kind)
    if get_origin(kind) is Event:
        return "envelope", arguments[0]
    if get_origin(kind) is list:
        return "list", arguments[0]
    return ("envelope", Any) if kind is Event else ("event", kind)


def _made(returns: Any) -> tuple[Any, ...]:
    if returns is UNKNOWN or returns is Any:
        return (UNKNOWN,)
    if returns is None or returns is type(None):
        return ()
    if get_origin(returns) in (Union, types.UnionType):
        return tuple(made for member in get_args(returns) for made in _made(member))
    if _is_a(returns, Iterable) and get_args(returns) and not _is_a(returns, Mapping):
        return _made(get_args(returns)[0])
    return (returns,)


def _is_a(kind: Any, base: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, base)
