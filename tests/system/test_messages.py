"""The wire format: what versions before areas wrote is read, and written alike."""

from __future__ import annotations

import json

import pyarrow as pa

from penstock.batch import SYSTEM, Write
from penstock.clock import ManualClock
from penstock.log.memory import MemoryLog
from penstock.models.messages import MESSAGES
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, open_registry
from penstock.system.messages import COMMAND_SCHEMA, SHARED, by_type, from_rows, to_rows

SIGNATURE = (
    '{"inputs":[{"name":"x","type":"float","nullable":true}],"outputs":[{"name":"y","type":"double","nullable":true}]}'
)
BEFORE = [
    (
        "penstock.command.register",
        '{"id":"seed/delay/1","name":"delay","digest":"abab","outputs":[],"inputs":null,"alias":"champion",'
        '"dataset_id":null,"metrics":{"auc":0.5},"trust":null,"only_if_none":false,"promote":true}',
        "seed/delay/1",
    ),
    (
        "penstock.command.alias",
        '{"id":"m","model":"delay","alias":"live","version":1,"expected":0,"cause":null}',
        "m",
    ),
    (
        "penstock.command.register",
        '{"id":"waits","name":"tea","digest":"cdcd","outputs":[],"inputs":null,"alias":"champion","dataset_id":null,'
        '"metrics":{},"trust":null,"only_if_none":false,"promote":false}',
        "waits",
    ),
    (
        "penstock.model.registered",
        '{"model":"delay","version":1,"digest":"abab","runtime":"onnx","signature":' + SIGNATURE + ',"created":7,'
        '"causationid":"seed/delay/1","trusted":false,"dataset_id":null,"metrics":{"auc":0.5}}',
        None,
    ),
    (
        "penstock.model.promoted",
        '{"model":"delay","alias":"champion","from":null,"to":1,"epoch":1,"causationid":"seed/delay/1"}',
        None,
    ),
    (
        "penstock.model.promoted",
        '{"model":"delay","alias":"live","from":null,"to":1,"epoch":1,"causationid":"m"}',
        None,
    ),
    (
        "penstock.command.refused",
        '{"kind":"not-found","reason":"no version tea/1: there is no model of that name","causationid":"n"}',
        None,
    ),
    (
        "penstock.model.activated",
        '{"stage":"scores","topic":"features","partition":2,"from_offset":10,"model":"delay","version":1,"epoch":1,'
        '"alias":"champion"}',
        None,
    ),
]


def rows() -> pa.RecordBatch:
    kinds, texts, ids = zip(*BEFORE, strict=True)
    columns = [texts, ids, kinds, [None] * len(BEFORE)]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, COMMAND_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=COMMAND_SCHEMA)


def test_what_was_written_before_is_read() -> None:
    log = MemoryLog()
    log.create(SYSTEM_TOPIC)
    log.append([Write(SYSTEM, 0, rows())])
    registry = open_registry(log, ManualClock(), "new")
    registry.refresh()
    assert registry.resolve("delay@live").metrics == {"auc": 0.5}
    assert [command.id for command in registry.unanswered()] == ["waits"]
    active = registry.activation("scores", "features", 2)
    assert active is not None and active.from_offset == 10
    assert set(registry.state.answers) == {"seed/delay/1", "m", "n"}


def test_it_is_written_as_before() -> None:
    """A version before this one may go on with the log, and functions that read system events with their rows."""
    messages = [message for _, message in from_rows(rows(), by_type([*SHARED, *MESSAGES]))]
    again = to_rows(messages).column("json").to_pylist()
    assert [json.loads(text) for text in again] == [json.loads(text) for _, text, _ in BEFORE]
