"""Who provides what the functions and resources ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ...plan.reachability import reached
from ..handles.table import HANDLES
from ..parts import FunctionPart, ResourcePart
from .findings import FindingCollector
from .functions import Asked, FunctionShape, ResourceShape, shown


def check_injection(
    functions: Mapping[FunctionPart, FunctionShape],
    resources: Mapping[ResourcePart, ResourceShape],
    provided: Collection[type],
    report: FindingCollector,
) -> None:
    """``provided`` are types given from outside (tests): what would make them is not among the resources."""
    makers = _makers(resources, report)
    for part, shape in functions.items():
        _check_asked(part.name, part.place, shape.asked, {*makers, *provided, *HANDLES}, report)
    for maker, made_by in resources.items():
        _check_asked(maker.function.__name__, maker.place, made_by.asked, {*makers, *provided}, report)
    _check_circles(resources, report)


def _makers(resources: Mapping[ResourcePart, ResourceShape], report: FindingCollector) -> dict[Any, ResourcePart]:
    makers: dict[Any, ResourcePart] = {}
    for part, shape in resources.items():
        first = makers.setdefault(shape.provides, part)
        if first is not part:
            message = f"{first.function.__name__} and {part.function.__name__} both provide {shown(shape.provides)}"
            report.error(part.place, message, "wrap one of them in a class of its own")
        if shape.provides in HANDLES:
            message = f"{part.function.__name__} provides {shown(shape.provides)}, which Penstock provides itself"
            report.error(part.place, message, "remove the resource")
    return makers


def _check_asked(name: str, place: str, asked: Asked, there: Collection[Any], report: FindingCollector) -> None:
    for parameter, kind in asked.types.items():
        if kind in there:
            continue
        message = f"{name} asks for {parameter}: {shown(kind)}, and nobody provides it"
        if kind in HANDLES:
            report.error(place, message + " to a resource", "ask for it in the function that uses it")
        else:
            mend = f"write: @app.resource def {parameter}() -> Iterator[{shown(kind)}]: yield ..."
            report.error(place, message, mend)


def _check_circles(resources: Mapping[ResourcePart, ResourceShape], report: FindingCollector) -> None:
    needs = {shape.provides: list(shape.asked.types.values()) for shape in resources.values()}
    for part, shape in resources.items():
        if shape.provides in reached([shape.provides], needs):
            message = f"{part.function.__name__} needs {shown(shape.provides)}, which it makes itself, by a circle"
            report.error(part.place, message, "break the circle: one of the resources must not ask for the next")
