"""The encodings of all topics, by what each declares."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from ...batch import TopicSpec, Write
from ...errors import RowsTooLarge, SchemaChanged
from ..topic_schema import RowChecks
from .produce.transactions import Record
from .records.arrow import ArrowRecords
from .records.interface import Chunk, Encoding, ReceivedRecord
from .records.json import JsonRecords
from .topics.catalog import ClusterCatalog


class Encodings:
    """Used by one thread at a time."""

    def __init__(self, limit: int) -> None:
        """``limit``: bytes of one record."""
        self._checks = RowChecks()
        self._by_name: dict[str, Encoding] = {"arrow": ArrowRecords(limit), "json": JsonRecords(limit)}

    def encode(self, catalog: ClusterCatalog, writes: Sequence[Write]) -> list[list[Record]]:
        """Each write's. Raises ``NotFound``, ``SchemaChanged`` and ``RowsTooLarge`` for rows that cannot be stored."""
        found: list[list[Record]] = []
        large: dict[int, Sequence[int]] = {}
        why = ""
        for place, write in enumerate(writes):
            try:
                found.append(self._records(catalog, write))
            except RowsTooLarge as error:
                (large[place],) = error.rows.values()
                why = why or str(error)
        if large:
            raise RowsTooLarge(why, large)
        return found

    def _records(self, catalog: ClusterCatalog, write: Write) -> list[Record]:
        catalog.partition(write.topic, write.partition)
        spec = self._fitting(catalog, write)
        name = catalog.name(write.topic)
        made = self._by_name[spec.encoding].encode(spec, write)
        return list(map(Record, repeat(name), repeat(write.partition), made))

    def decode(self, catalog: ClusterCatalog, topic: str, records: Sequence[ReceivedRecord]) -> list[Chunk]:
        encoding = self._by_name[(spec := catalog.topic(topic)).encoding]
        chunks = encoding.decode(spec, records)
        if any(chunk.rejected for chunk in chunks):  # perhaps of a type that has grown since
            catalog.refresh()
            if catalog.topic(topic) is not spec:
                chunks = encoding.decode(catalog.topic(topic), records)
        return chunks

    def _fitting(self, catalog: ClusterCatalog, write: Write) -> TopicSpec:
        try:
            self._checks.check(catalog.topic(write.topic), write.rows)
        except SchemaChanged:  # perhaps not by now: another process may have declared more
            catalog.refresh()
            self._checks.check(catalog.topic(write.topic), write.rows)
        return catalog.topic(write.topic)
