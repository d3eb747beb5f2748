"""What Penstock itself did, as events: for functions that listen to them, and as subscriptions deliver them.

Most are messages in ``penstock.system``. A dead letter is one too, ``EventDeadLettered``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..batch import DEAD, JSON_SCHEMA, Batch, Indices
from ..declare.events import SYSTEM_EVENTS, EventDeadLettered, ModelDeployed, ModelRegistered
from ..schema.egress.render import Format
from .emit import with_columns
from .failures.ledger import column_of

CLOUDEVENTS_PREFIX = "dev."
_LETTER_FIELDS = [field.name for field in fields(EventDeadLettered)]


@dataclass(frozen=True, slots=True)
class GridSpelling:
    """How Azure Machine Learning tells of an event: its type, and its data by the names and in the case of there."""

    type: str
    data: Callable[[Any], Mapping[str, object]]


def _registered(event: ModelRegistered) -> Mapping[str, object]:
    properties = {} if event.dataset_id is None else {"datasetId": event.dataset_id}
    return {
        "ModelName": event.model,
        "ModelVersion": event.version,
        "ModelTags": event.metrics,
        "ModelProperties": properties,
    }


def _deployed(event: ModelDeployed) -> Mapping[str, object]:
    return {
        "ServiceName": event.stage,
        "ServiceComputeType": "Penstock",
        "ModelIds": f"{event.model}:{event.version}",
        "ServiceTags": {"alias": event.alias},
        "ServiceProperties": {"topic": event.topic, "epoch": event.epoch},
    }


# https://learn.microsoft.com/azure/event-grid/event-schema-machine-learning. Its RunCompleted, RunStatusChanged and
# DatasetDriftDetected tell of what Penstock does not do; the other way round, it has no names for the rest of ours.
GRID_SPELLINGS: Mapping[str, GridSpelling] = {
    ModelRegistered.event_type: GridSpelling("Microsoft.MachineLearningServices.ModelRegistered", _registered),
    ModelDeployed.event_type: GridSpelling("Microsoft.MachineLearningServices.ModelDeployed", _deployed),
}


def rows_of(event: str, rows: pa.RecordBatch) -> Indices:
    """The rows that tell of an event of this type, of the topic where it is written."""
    if event == EventDeadLettered.event_type:
        own = pc.equal(rows.column("topic"), DEAD)  # whoever fails at them is not told again
        return np.flatnonzero(pc.and_not(column_of(rows, "mark").is_null(), own).to_numpy(zero_copy_only=False))
    if "_type" not in rows.schema.names:
        return np.zeros(0, np.int64)
    return np.flatnonzero(pc.equal(rows.column("_type"), event).fill_null(False).to_numpy(zero_copy_only=False))


def as_messages(event: str, rows: pa.RecordBatch) -> pa.RecordBatch:
    """These rows, which tell of an event of this type, with what they tell as JSON: as they are, but for letters."""
    if event != EventDeadLettered.event_type:
        return rows
    letters = rows.select(_LETTER_FIELDS).to_pylist()
    places = [f"{letter['topic']}/{letter['partition']}/{letter['offset']}" for letter in letters]
    envelope = {name: rows.column(name) for name in rows.schema.names if name.startswith("_")}
    return _json_rows(letters, envelope | {"_subject": pa.array(places, pa.string())})


def told(batch: Batch, event: str, format: Format, app: str, namespace: str = "") -> Batch:
    """The events of this type among a batch of the topic where it is written, as they are delivered in this format.

    As CloudEvents their type is ``dev.`` and ``event``, their data the fields of their class. In Event Grid's schema,
    those that Azure Machine Learning knows have its types and data, and all come from a workspace named after the app
    (``workspace``). What comes is of a topic without a type and without a key, whatever ``batch`` was of.
    """
    part = batch.take(rows_of(event, batch.rows))
    kind, rows = SYSTEM_EVENTS[event], as_messages(event, part.rows)
    events = [kind.read(msgspec.json.decode(text)) for text in rows.column("json").to_pylist()]
    spelling = GRID_SPELLINGS.get(event) if format == "eventgrid" else None
    data = events if spelling is None else [spelling.data(each) for each in events]
    name = CLOUDEVENTS_PREFIX + event if spelling is None else spelling.type
    envelope = {column: rows.column(column) for column in rows.schema.names if column.startswith("_")}
    envelope["_type"] = pa.array([name] * len(events), pa.string())
    if format == "eventgrid":
        envelope["_source"] = pa.array([workspace(app, namespace)] * len(events), pa.string())
    return replace(part, rows=_json_rows(data, envelope))


def workspace(app: str, namespace: str = "") -> str:
    """The Azure Machine Learning workspace that an app would be: its ``namespace``, else the app, stands for the
    resource group."""
    group = f"/subscriptions/penstock/resourceGroups/{namespace or app}"
    return f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{app}"


def _json_rows(values: Sequence[object], envelope: Mapping[str, pa.Array]) -> pa.RecordBatch:
    texts = pa.array([msgspec.json.encode(value).decode() for value in values], pa.string())
    return with_columns(pa.RecordBatch.from_arrays([texts], schema=JSON_SCHEMA), envelope)
