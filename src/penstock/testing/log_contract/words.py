"""The words that the tests of logs are written in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, cast

import pyarrow as pa

from ...batch import AppendResult, Batch, Lineage, TopicSpec, Write
from ...errors import Fenced
from ...log.interface import Advance, Log, LogInspection, Offsets, Reader
from ...settings import Settings

BRISK = Settings(member_timeout=0.6, poll_interval=0.1)
NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])

# Seconds by which a wall clock is set: a little, an hour as daylight saving does, a day, past January 2038.
JUMPS = (1, -1, 3_600, -3_600, 86_400, -86_400, 2**31 - 1_700_000_000)


def numbers(name: str = "t", partitions: int = 1, **limits: Any) -> TopicSpec:
    return TopicSpec(name, NUMBERS, partitions, **limits)


def write(ns: Sequence[int], topic: str = "t", partition: int = 0, origin: Lineage | None = None) -> Write:
    return Write(topic, partition, pa.record_batch({"n": pa.array(list(ns), pa.int64())}), origin)


def of_domain(ns: Sequence[int], topics: Sequence[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(list(ns), pa.int64()), "_topic": pa.array(topics, pa.string())})


def texts_of(schema: pa.Schema, sizes: Sequence[int]) -> pa.RecordBatch:
    """Rows with a text of so many characters each."""
    columns = [pa.array(range(len(sizes)), pa.int64()), pa.array(["x" * size for size in sizes])]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def values(batches: Sequence[Batch]) -> list[int]:
    return [n for batch in batches for n in batch.rows.column("n").to_pylist()]


def by_partition(batches: Sequence[Batch]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for batch in batches:
        found.setdefault(batch.partition, []).extend(values([batch]))
    return found


def through(batches: Sequence[Batch]) -> list[Advance]:
    ends: dict[tuple[str, int], int] = {}
    for batch in batches:
        ends[batch.topic, batch.partition] = max(batch.through, ends.get((batch.topic, batch.partition), -1))
    return [Advance(*place, end) for place, end in ends.items()]


def drain(reader: Reader, *, commit: bool = False, wait: float = 0) -> list[Batch]:
    """Read until nothing comes; ``wait`` seconds of silence where ownership may still be on its way."""
    got: list[Batch] = []
    while batches := reader.read(1_000, wait):
        got += batches
        if commit:
            reader.commit(through(batches), [])
    return got


def drain_all(readers: Sequence[Reader], rounds: int = 10) -> list[list[Batch]]:
    """What each gets, taking turns, so that none looks silent to the others."""
    got: list[list[Batch]] = [[] for _ in readers]
    for _ in range(rounds):
        for mine, reader in zip(got, readers, strict=True):
            mine += reader.read(1_000, 0.02)
    return got


def until(read: Callable[[], Sequence[Batch]], *, enough: int, within: float) -> list[Batch]:
    got: list[Batch] = []
    deadline = time.monotonic() + within
    while sum(map(len, got)) < enough:
        assert time.monotonic() < deadline, f"only {sum(map(len, got))} rows after {within} s"
        got += read()
    return got


def pass_on(readers: Sequence[Reader], outputs: Callable[[Sequence[Batch]], Sequence[Write]], *, enough: int) -> None:
    """All members of a group at once, each in its thread, until ``enough`` different numbers were passed on."""
    passed: set[int] = set()
    deadline = time.monotonic() + 45

    def member(reader: Reader) -> None:
        while len(passed) < enough:
            assert time.monotonic() < deadline, f"only {len(passed)} of {enough} were passed on"
            batches = reader.read(7, 0.03)
            try:
                reader.commit(through(batches), outputs(batches))
            except Fenced:
                continue
            passed.update(values(batches))
        reader.close()

    run([partial(member, reader) for reader in readers])


def settle(readers: Sequence[Reader], seconds: float, rounds: int = 6) -> None:
    """Let members give back and claim; nothing may be there to read."""
    deadline = time.monotonic() + seconds
    while rounds > 0 or time.monotonic() < deadline:
        rounds -= 1
        for reader in readers:
            reader.read(1, 0.02)


def again(log: Log, reader: Reader) -> Reader:
    """The group once more, after its reader left."""
    reader.close()
    return log.reader("g", ["t"], "again")


class Looked(LogInspection, Offsets, Protocol): ...


def looked(log: Log) -> Looked:
    return cast(Looked, log)


def becomes(look: Callable[[], object], expected: object, within: float = 10.0) -> None:
    """What was committed may come into sight a moment later."""
    limit = time.monotonic() + within
    while (seen := look()) != expected:
        assert time.monotonic() < limit, f"{seen}, not {expected}"
        time.sleep(0.02)


def log_end(log: Log) -> int:
    spans: Sequence[AppendResult] = log.append([write([])])
    return spans[0].first


def run(tasks: Sequence[Callable[[], None]]) -> None:
    """All at once, each in its own thread; the first error is raised here."""
    errors: list[BaseException] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


def every_kind() -> pa.RecordBatch:
    moment = datetime(2026, 11, 20, 12, 30, 15, 123456, tzinfo=UTC)
    return pa.record_batch(
        {
            "bool": pa.array([True, None, False]),
            "float": pa.array([1.5, None, -0.0]),
            "text": pa.array(["", None, "žluťoučký 🐎"]),
            "bytes": pa.array([b"\x00\xff", None, b""]),
            "time": pa.array([moment, None, moment], pa.timestamp("us", tz="UTC")),
            "list": pa.array([[1, 2], None, []], pa.list_(pa.int64())),
            "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
            "uint": pa.array([2**64 - 1, None, 0], pa.uint64()),
        }
    )
