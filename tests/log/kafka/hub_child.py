"""A stage on Event Hubs for the tests to kill: ``hub_child.py URL DEATH``; it copies ``in`` to ``out``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pyarrow as pa

from penstock.batch import Batch, Lineage, Write
from penstock.log.interface import Advance, Reader
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.consume.consumer import GroupConsumer
from penstock.log.kafka.log import KafkaLog
from penstock.settings import Settings

SETTINGS = Settings(poll_interval=0.2)


def made(batch: Batch) -> Write:
    """What a stage makes of a batch: a row of each, which says where it came from."""
    rows = pa.RecordBatch.from_arrays(
        [
            batch.rows.column("n"),
            pa.array([batch.partition] * len(batch), pa.int32()),
            pa.array(batch.positions, pa.int64()),
        ],
        ["n", "_parent_partition", "_parent"],
    )
    return Write("out", batch.partition, rows, Lineage("copy", "in", "code"))


def copy(reader: Reader, rows: int = 7) -> int:
    """One pass; the rows dealt with."""
    batches = reader.read(rows, 1.0)
    if batches:
        reader.commit([Advance(b.topic, b.partition, b.through) for b in batches], [made(b) for b in batches])
    return sum(map(len, batches))


def main(url: str, death: int) -> None:
    """Dies at that commit, after its outputs and before its positions."""
    plain, left = GroupConsumer.commit, death

    def commit(self: GroupConsumer, positions: list[Any]) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        plain(self, positions)

    GroupConsumer.commit = commit  # type: ignore[method-assign]
    reader = KafkaLog(Address.parse(url), settings=SETTINGS).reader("copies", ["in"], "worker")
    while True:
        copy(reader)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
