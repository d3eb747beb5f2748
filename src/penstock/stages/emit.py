"""From what a stage made to what the log stores: lineage, key and partition of every row. No loop over events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..batch import Indices, Lineage, TopicSpec, Write, column
from ..partition import assign, key_text
from .interface import Outcome, Output, Work

Partitions = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Emitter:
    """Turns the outcomes of one stage into writes. ``topics`` holds its source and every topic that it writes to;
    ``domain_topic``: where all goes that it writes to a domain, None: what is made of an event stays in its own.

    What is dropped of a domain's event on its way to a plain topic is its domain topic.
    """

    stage: str
    source: str
    code: str
    topics: Mapping[str, TopicSpec]
    domain_topic: str | None = None

    def writes(self, work: Work, outcome: Outcome, *, without: frozenset[int] = frozenset()) -> list[Write]:
        """In the order of the outputs; within a partition in the order of the parents.

        Rows whose parents are in the partitions ``without`` are left out.
        """
        writes: list[Write] = []
        children: dict[str, Indices] = {}
        for output in outcome.outputs:
            output = in_order(output)
            seen = children.setdefault(output.topic, np.zeros(len(work), np.int64))
            rows = self._with_lineage(work, output, seen)
            partitions = self._partitions(work, output, rows)
            if without and output.parents is not None:
                kept = np.flatnonzero(~np.isin(work.partitions[output.parents], list(without)))
                rows, partitions = rows.take(pa.array(kept)), partitions[kept]
            origin = Lineage(self.stage, self.source, self.code, output.model, output.version)
            made = origin if output.parents is not None else None
            writes += [Write(output.topic, p, part, made) for p, part in split_by_partition(rows, partitions)]
        return writes

    def _with_lineage(self, work: Work, output: Output, seen: Indices) -> pa.RecordBatch:
        rows, parents = output.rows, output.parents
        if parents is None:
            return rows
        columns: dict[str, pa.Array] = {
            "_parent_partition": pa.array(work.partitions[parents]),
            "_parent": pa.array(work.positions[parents]),
        }
        ordinals = ordinal(parents) + seen[parents]
        seen += np.bincount(parents, minlength=len(seen))
        if ordinals.any():
            columns["_ordinal"] = pa.array(ordinals.astype(np.int32))
        if self.topics[output.topic].key is None:
            keys = self.keys(work)
            if keys is not None:
                columns["_key"] = keys.take(pa.array(parents))
        if self.topics[output.topic].domain:
            columns["_topic"] = self._domain_topics(work, parents)
        return with_columns(rows, columns)

    def _domain_topics(self, work: Work, parents: Indices) -> pa.Array:
        if self.domain_topic is not None:
            return pa.repeat(self.domain_topic, len(parents))
        return column(work.rows, "_topic").take(pa.array(parents))

    def _partitions(self, work: Work, output: Output, rows: pa.RecordBatch) -> Partitions:
        """The target's own key decides, unless the output says it; else the parent's partition where there are as many,
        else the parent's key."""
        if output.partitions is not None:
            return output.partitions
        target, parents = self.topics[output.topic], output.parents
        count = target.partitions
        if count == 1:
            return np.zeros(rows.num_rows, np.int32)
        followed: Partitions = np.zeros(rows.num_rows, np.int32) if parents is None else work.partitions[parents]
        keys = None
        if target.key is not None:
            keys = key_column(rows, target.key)
        elif parents is None or self.topics[self.source].partitions != count:
            keys = rows.column("_key") if "_key" in rows.schema.names else None
        return spread(keys, (followed % count).astype(np.int32), count)

    def keys(self, work: Work) -> pa.Array | None:
        """The text of each row's key: the explicit one, else the source's key column; None: no row has any."""
        return keys_of(work.rows, self.topics[self.source].key)


def in_order(output: Output) -> Output:
    """The same rows by their parents; children of one parent keep their order."""
    parents = output.parents
    if parents is None or len(parents) < 2 or bool((parents[1:] >= parents[:-1]).all()):
        return output
    order = np.argsort(parents, kind="stable")
    partitions = None if output.partitions is None else output.partitions[order]
    return replace(output, rows=output.rows.take(pa.array(order)), parents=parents[order], partitions=partitions)


def keys_of(rows: pa.RecordBatch, key: str | None) -> pa.Array | None:
    """The text of each row's key: the explicit one, else that of the column ``key``; None: no row has any."""
    given = rows.column("_key") if "_key" in rows.schema.names else None
    column = key_column(rows, key) if key is not None else None
    if given is None or column is None:
        return column if given is None else given
    return pc.coalesce(given, column)


def ordinal(parents: Indices) -> Indices:
    """Each row's place among its siblings; ``parents`` are sorted."""
    if len(parents) < 2:
        return np.zeros(len(parents), np.int64)
    first = np.concatenate([[0], np.flatnonzero(parents[1:] != parents[:-1]) + 1])
    sizes = np.diff(first, append=len(parents))
    places: Indices = np.arange(len(parents), dtype=np.int64) - np.repeat(first, sizes)
    return places


def key_column(rows: pa.RecordBatch, name: str) -> pa.Array:
    """The keys that a column gives; nulls where these rows do not have it, as older ones of a grown type."""
    index = rows.schema.get_field_index(name)
    return key_text(rows.column(index)) if index >= 0 else pa.nulls(rows.num_rows, pa.string())


def spread(keys: pa.Array | None, otherwise: Partitions, count: int) -> Partitions:
    """By the key's hash; rows without a key go where ``otherwise`` says."""
    if keys is None or keys.null_count == len(keys):
        return otherwise
    hashed = assign(keys, count)
    if keys.null_count:
        return np.where(keys.is_null().to_numpy(zero_copy_only=False), otherwise, hashed)
    return hashed


def split_by_partition(rows: pa.RecordBatch, partitions: Partitions) -> list[tuple[int, pa.RecordBatch]]:
    """The rows of each partition, in order; slices without a copy where they lie together already."""
    if not rows.num_rows:
        return []
    if (partitions[1:] < partitions[:-1]).any():
        order = np.argsort(partitions, kind="stable")
        rows, partitions = rows.take(pa.array(order)), partitions[order]
    bounds = np.concatenate([[0], np.flatnonzero(partitions[1:] != partitions[:-1]) + 1, [len(partitions)]]).tolist()
    return [(int(partitions[start]), rows.slice(start, stop - start)) for start, stop in pairwise(bounds)]


def with_columns(rows: pa.RecordBatch, columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """The rows with these columns added, or in the place of those of the same name."""
    kept = [i for i, name in enumerate(rows.schema.names) if name not in columns]
    fields = [rows.schema.field(i) for i in kept] + [pa.field(n, c.type) for n, c in columns.items()]
    arrays = [rows.column(i) for i in kept] + list(columns.values())
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=rows.schema.metadata))
