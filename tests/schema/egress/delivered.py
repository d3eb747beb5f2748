"""Events as our own doors take them in, and what was rendered of them, taken in again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.batch import ENVELOPE, JSON_SCHEMA, Batch, TopicSpec
from penstock.gateway.cloudevents import decode, mode
from penstock.schema.decode import Decoder
from penstock.schema.egress.render import Format, render
from penstock.schema.egress.rendered import Rendered

APPENDED = 1_700_000_000_000_000
TEXTS = Decoder(JSON_SCHEMA)


def batch(rows: pa.RecordBatch, **envelope: Any) -> Batch:
    """Rows of the topic ``t``, at positions 10, 15, 20 and so on of partition 3."""
    for name, values in envelope.items():
        rows = rows.append_column(name, pa.array(values, ENVELOPE[name]))
    count = rows.num_rows
    return Batch("t", 3, np.arange(count, dtype=np.int64) * 5 + 10, np.full(count, APPENDED), rows)


def texts(*events: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(events, pa.string())], schema=JSON_SCHEMA)


def all_rendered(format: Format, events: Batch, topic: TopicSpec | None = None) -> list[Rendered]:
    return render(format, events, np.arange(len(events)), topic or TopicSpec("t"), "app")


def taken_in(requests: Sequence[tuple[bytes, Sequence[tuple[str, str]]]], decoder: Decoder = TEXTS) -> Batch:
    """What a door stores of these requests."""
    parts: list[pa.Table] = []
    for body, headers in requests:
        raw = {name.lower().encode(): value.encode("latin-1") for name, value in headers}
        found = mode(dict(headers)["content-type"].partition(";")[0], raw)
        assert found is not None, "the request carries no CloudEvent"
        rows, envelope = decode(found, raw, body, decoder)
        parts.append(pa.Table.from_batches([batch(decoder.columns(rows), **envelope).rows]))
    whole = pa.concat_tables(parts, promote_options="default").combine_chunks()
    return batch(pa.RecordBatch.from_arrays([c.combine_chunks() for c in whole.columns], schema=whole.schema))
