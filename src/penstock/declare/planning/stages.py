"""What a function or a scorer could not do with the topics it stands between."""

from __future__ import annotations

from typing import Any, get_origin

import pyarrow as pa

from ...schema.casts import castable
from ...schema.rows import is_json
from ..parts import FunctionPart, ScorePart, Topic
from .columns import misfits
from .findings import FindingCollector
from .functions import UNKNOWN, FunctionShape, shown
from .topics import Columns, ModelColumns
from .where import check_where


def check_function(part: FunctionPart, shape: FunctionShape, columns: Columns, report: FindingCollector) -> None:
    if isinstance(part.source, Topic):
        _check_input(part, shape, part.source, report)
    else:
        _check_system(part, shape, report)
    if part.concurrency > 1 and not shape.is_async:
        mend = "make it 'async def', or leave concurrency away: we scale by partitions"
        report.error(part.place, f"{part.name} has concurrency={part.concurrency} and is not async", mend)
    if part.to is None:
        _check_no_output(part, shape, report)
    elif shape.takes in ("frame", "arrow"):
        _check_frame(part, part.to, shape, columns, report)
    else:
        _check_events(part, part.to, shape, report)


def check_scorer(part: ScorePart, columns: Columns, report: FindingCollector) -> None:
    source, target, model = columns.of(part.source), columns.of(part.to), columns.of_model(part)
    if source is None:
        return
    for name in part.keep:
        if name not in source.names:
            message = f"keep names '{name}', which topic '{part.source.name}' lacks"
            report.error(part.place, message, f"choose of {', '.join(source.names)}")
    _check_inputs(part, source, model, report)
    if model is not None and set(model.outputs.names) != set(part.model.outputs):
        message = f"the model '{part.model.name}' answers with {', '.join(model.outputs.names)}"
        report.error(part.model.place, message, f"write outputs={model.outputs.names}")
    elif target is not None and all(name in source.names for name in part.keep):
        made = [source.field(name) for name in part.keep] + _outputs(part, target, model)
        _report_misfits(part, part.to, misfits(pa.schema(made), target), report)


def _check_input(part: FunctionPart, shape: FunctionShape, source: Topic[Any], report: FindingCollector) -> None:
    if shape.event is None or shape.event is Any:
        return
    if source.type is None:
        if (get_origin(shape.event) or shape.event) is not dict:
            message = f"{part.name} takes {shown(shape.event)}, and topic '{source.name}' holds JSON"
            mend = f"write app.topic({source.name!r}, {shown(shape.event)}), or take dict[str, Any]"
            report.error(part.place, message, mend)
    elif not _is_kind(source.type, shape.event):
        message = f"{part.name} takes {shown(shape.event)}, and topic '{source.name}' holds {shown(source.type)}"
        report.error(part.place, message, f"take {shown(source.type)}, or a pl.DataFrame")


def _check_system(part: FunctionPart, shape: FunctionShape, report: FindingCollector) -> None:
    assert isinstance(part.source, type)
    kind = part.source.__name__
    if shape.takes != "event" or not _is_kind(part.source, shape.event):
        message = f"{part.name} is called with one {kind}"
        report.error(part.place, message, f"annotate its first parameter: ps.{kind}")
    if part.where is not None:
        check_where(part.where, part.source, part.place, report)


def _check_no_output(part: FunctionPart, shape: FunctionShape, report: FindingCollector) -> None:
    if shape.made and shape.made != (UNKNOWN,):
        message = f"what {part.name} returns ({shown(shape.returns)}) goes nowhere"
        report.warning(part.place, message, "name a topic with to=, or return None")


def _check_frame(
    part: FunctionPart, to: Topic[Any], shape: FunctionShape, columns: Columns, report: FindingCollector
) -> None:
    wanted = "pl.DataFrame" if shape.takes == "frame" else "pa.RecordBatch"
    if shape.made == () or not all(_is_frame(kind) for kind in shape.made):
        message = f"{part.name} feeds topic '{to.name}' and returns {shown(shape.returns)}"
        report.error(part.place, message, f"return a {wanted}, as it takes one")
        return
    if to.type is None:
        return
    answer, target = columns.answered(part), columns.of(to)
    if answer is not None and target is not None:
        _report_misfits(part, to, misfits(answer, target), report)


def _check_events(part: FunctionPart, to: Topic[Any], shape: FunctionShape, report: FindingCollector) -> None:
    if not shape.made:
        message = f"{part.name} feeds topic '{to.name}' and returns nothing"
        report.error(part.place, message, "return events, or leave to= away")
    for made in shape.made:
        if made is not UNKNOWN and (to.type is not None) and not _is_kind(made, to.type):
            message = f"{part.name} returns {shown(made)}, and topic '{to.name}' holds {shown(to.type)}"
            report.error(part.place, message, f"return {shown(to.type)}, or change the topic")


def _check_inputs(part: ScorePart, source: pa.Schema, model: ModelColumns | None, report: FindingCollector) -> None:
    if is_json(source):
        message = f"'{part.name}' scores topic '{part.source.name}', which holds JSON and has no columns"
        report.error(part.place, message, f"give the topic a type: app.topic({part.source.name!r}, T)")
        return
    wanted = [pa.field(name, pa.null()) for name in part.model.inputs or ()] if model is None else list(model.inputs)
    for field in wanted:
        index = source.get_field_index(field.name)
        if index < 0:
            message = f"the model '{part.model.name}' reads '{field.name}', which topic '{part.source.name}' lacks"
            report.error(part.place, message, f"it has {', '.join(source.names)}: add the column before scoring")
        elif model is not None and not _readable(source.field(index).type, field.type):
            given = source.field(index).type
            message = f"the model '{part.model.name}' reads '{field.name}' as {field.type}, and it is {given}"
            report.error(part.place, message, "make it that type before scoring")


def _outputs(part: ScorePart, target: pa.Schema, model: ModelColumns | None) -> list[pa.Field]:
    """What the model answers with; without its signature only the names are known, and any type may do."""
    if model is not None:
        return list(model.outputs)
    return [pa.field(name, pa.null()) for name in part.model.outputs]


def _report_misfits(part: FunctionPart | ScorePart, to: Topic[Any], wrong: list[str], report: FindingCollector) -> None:
    for reason in wrong:
        message = f"'{part.name}' does not fit topic '{to.name}': {reason}"
        kind = f"the type {shown(to.type)}" if to.type is not None else f"what else feeds '{to.name}'"
        report.error(part.place, message, f"add, drop, rename or cast the column, or change {kind}")


def _readable(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Models take any number for a number, at their own precision."""
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return castable(given, wanted) or all(any(is_one(t) for is_one in numbers) for t in (given, wanted))


def _is_kind(given: Any, wanted: Any) -> bool:
    if given is wanted or given == wanted:
        return True
    return isinstance(given, type) and isinstance(wanted, type) and wanted in given.__mro__


def _is_frame(kind: Any) -> bool:
    return kind is UNKNOWN or getattr(kind, "__name__", "") in ("DataFrame", "RecordBatch")
