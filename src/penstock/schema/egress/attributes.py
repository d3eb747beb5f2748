"""The CloudEvents attributes of a batch's events, in columns, as every reader gets them (``encode``)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ...batch import Batch, TopicSpec, column, event_ids
from ..cloudevents import BASE64, DOMAIN_TOPIC, FORBIDDEN, JSON_TYPE, Attributes
from ..encode import keys, sources, times

Values: TypeAlias = pa.StringArray | str
"""One an event, or what all of them have."""

_NO_PARTITION_KEY = f"^$|[{FORBIDDEN}]"


class AttributeColumns:
    """``subject``, ``partition_key`` and ``domain_topic`` may be null; ``others`` are the attributes without a column,
    of the rows that have any; the data of the rows in ``base64`` stand for bytes. A media type is empty where those
    have none."""

    def __init__(self, batch: Batch, topic: TopicSpec, app: str) -> None:
        self.id = event_ids(batch)
        self.source = sources(batch.rows, topic, app)
        self.type = filled(column(batch.rows, "_type"), batch.topic)
        self.time = times(batch)
        self.subject = column(batch.rows, "_subject")
        self.domain_topic = column(batch.rows, "_topic")
        self.partition_key = keys(batch.rows, topic)
        self.media_types = [JSON_TYPE] * len(batch)
        self.others: dict[int, Attributes] = {}
        self.base64: set[int] = set()
        if self.partition_key.null_count < len(batch):  # a client of Kafka's has keys that no attribute may be
            unfit = pc.match_substring_regex(self.partition_key, _NO_PARTITION_KEY)
            self.partition_key = pc.if_else(unfit, None, self.partition_key)
        extensions = column(batch.rows, "_extensions")
        if extensions.null_count < len(batch):
            self._sort(extensions.to_pylist())

    def _sort(self, extensions: list[str | None]) -> None:
        """What ``_extensions`` keeps, to where it belongs."""
        found = self.partition_key.to_pylist()
        for row, text in enumerate(extensions):
            if text is not None:
                others: Attributes = msgspec.json.decode(text)
                found[row] = others.pop("partitionkey", found[row])
                if is_base64 := bool(others.pop(BASE64, False)):
                    self.base64.add(row)
                self.media_types[row] = str(others.pop("datacontenttype", "" if is_base64 else JSON_TYPE))
                others.pop("data", None)  # no attribute may have this name (spec, Naming Conventions)
                if self.domain_topic[row].is_valid:
                    others.pop(DOMAIN_TOPIC, None)  # of a record that others wrote to a domain
                if others:
                    self.others[row] = others
        self.partition_key = pa.array(found, pa.string())


def filled(given: pa.StringArray, otherwise: str) -> Values:
    return otherwise if given.null_count == len(given) else given.fill_null(otherwise)


def listed(values: Values) -> Iterable[str | None]:
    """One an event; without an end where all are the same."""
    return repeat(values) if isinstance(values, str) else values.to_pylist()
