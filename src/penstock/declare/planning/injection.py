"""Who provides what the functions and resources ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..parts import FunctionPart, ResourcePart
from .findings import FindingCollector
from .functions import HANDLES, Asked, FunctionShape, ResourceShape, shown


def check_injection(
    functions: Mapping[FunctionPart, FunctionShape],
    resources: Mapping[ResourcePart, ResourceShape],
    provided: Collection[type],
    environ: Mapping[str, str] | None,
    report: FindingCollector,
) -> None:
    """``provided`` are types given from outside (tests): what would make them is not looked at."""
    made = {part: shape for part, shape in resources.items() if shape.provides not in provided}
    makers = _makers(made, report)
    for part, shape in functions.items():
        _check_asked(part.name, part.place, shape.asked, {*makers, *provided, *HANDLES}, environ, report)
    opened = _opened(functions, made)
    for maker, made_by in made.items():
        looked_up = environ if made_by.provides in opened else None  # what nobody asks for is never opened
        _check_asked(maker.function.__name__, maker.place, made_by.asked, {*makers, *provided}, looked_up, report)
    _check_circles(made, report)


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


def _check_asked(
    name: str,
    place: str,
    asked: Asked,
    there: Collection[Any],
    environ: Mapping[str, str] | None,
    report: FindingCollector,
) -> None:
    for parameter, kind in asked.types.items():
        if kind in there:
            continue
        message = f"{name} asks for {parameter}: {shown(kind)}, and nobody provides it"
        if kind in HANDLES:
            report.error(place, message + " to a resource", "ask for it in the function that uses it")
        else:
            mend = f"write: @app.resource def {parameter}() -> Iterator[{shown(kind)}]: yield ..."
            report.error(place, message, mend)
    for parameter, ref in asked.refs.items():
        if environ is not None and ref.default is None and ref.variable not in environ:
            report.error(place, f"{name} needs {parameter}={ref!r}", f"set the environment variable {ref.variable}")


def _check_circles(resources: Mapping[ResourcePart, ResourceShape], report: FindingCollector) -> None:
    needs = _needs(resources)
    for part, shape in resources.items():
        if shape.provides in _reached(needs[shape.provides], needs):
            message = f"{part.function.__name__} needs {shown(shape.provides)}, which it makes itself, by a circle"
            report.error(part.place, message, "break the circle: one of the resources must not ask for the next")


def _opened(
    functions: Mapping[FunctionPart, FunctionShape], resources: Mapping[ResourcePart, ResourceShape]
) -> set[Any]:
    asked = [kind for shape in functions.values() for kind in shape.asked.types.values()]
    return _reached(asked, _needs(resources))


def _needs(resources: Mapping[ResourcePart, ResourceShape]) -> dict[Any, list[Any]]:
    return {shape.provides: list(shape.asked.types.values()) for shape in resources.values()}


def _reached(start: Collection[Any], needs: Mapping[Any, Collection[Any]]) -> set[Any]:
    seen: set[Any] = set()
    ahead = list(start)
    while ahead:
        kind = ahead.pop()
        if kind not in seen:
            seen.add(kind)
            ahead += needs.get(kind, ())
    return seen
