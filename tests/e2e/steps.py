"""Writers of numbered steps, and what must hold of them in the log that is left."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import polars as pl

from tests.e2e import rig, steps_app

APP = Path(steps_app.__file__)
KEYS = 48
PROBES = 99  # the writer of the probes
SIZE = 20  # steps a body


def bodies(writer: int, count: int, keys: int = KEYS) -> Iterator[bytes]:
    rng = random.Random(writer)
    for first in range(0, count * SIZE, SIZE):
        numbers = range(first, first + SIZE)
        yield msgspec.json.encode([{"key": f"k{rng.randrange(keys)}", "writer": writer, "seq": n} for n in numbers])


@contextmanager
def load(
    url: str,
    writers: int = 3,
    *,
    pause: float = 0.01,
    count: int = 1_000_000,
    keys: int = KEYS,
    patience: float = rig.PATIENCE,
) -> Iterator[list[rig.Publisher]]:
    """Writers that go on until the block ends; then each finishes what it has begun."""
    publishers = [rig.Publisher(url, "steps", bodies(w, count, keys), pause, patience=patience) for w in range(writers)]
    threads = [publisher.start() for publisher in publishers]
    try:
        yield publishers
    finally:
        for publisher in publishers:
            publisher.stop.set()
            publisher.hurry.set()
        for thread in threads:
            thread.join(rig.PATIENCE)
    for publisher in publishers:
        assert publisher.error is None, publisher.error


def probe(url: str, number: int) -> float:
    """Seconds until events sent to every partition have come out of the stage: then all that is needed works."""
    began = time.monotonic()
    sent = [{"key": f"k{n}", "writer": PROBES, "seq": number * 16 + n} for n in range(16)]
    while time.monotonic() - began < rig.PATIENCE:
        try:
            answer = httpx.post(f"{url}/topics/steps/events?wait=copies&timeout=2s", json=sent, timeout=5)
            if answer.status_code == 200 and answer.json()["complete"]:
                return time.monotonic() - began
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"nothing came through within {rig.PATIENCE} s")


def drained(url: str, patience: float = rig.PATIENCE) -> bool:
    return rig.eventually(lambda: 0 <= rig.count(url, "steps") == rig.count(url, "copies"), patience)


def lag(url: str) -> int:
    """How many steps the stage has still to deal with."""
    groups = httpx.get(f"{url}/groups", timeout=5).json()
    groups = groups["groups"] if isinstance(groups, dict) else groups
    return sum(p["lag_events"] for g in groups for p in g.get("partitions", [g]) if g["group"] == "copy")


def judge(directory: Path, publishers: Sequence[rig.Publisher], topics: Sequence[str] = ("copies",)) -> pl.DataFrame:
    """Everything that must hold of the log that was left."""
    stored = rig.frame(rig.read_all(directory, "steps"))
    rig.assert_acknowledged_are_stored([span for p in publishers for span in p.acknowledged], stored)
    assert_whole(stored, publishers)
    assert_ordered(stored)
    for topic in topics:
        made = rig.frame(rig.read_all(directory, topic))
        rig.assert_each_parent_once(stored, made)
        assert_follows(made)
    assert not rig.read_all(directory, "penstock.dead")
    return stored


def assert_whole(stored: pl.DataFrame, publishers: Sequence[rig.Publisher]) -> None:
    """By what is in the events, not by where they are: a position may have been given twice."""
    for writer, publisher in enumerate(publishers):
        expected = pl.DataFrame({"seq": range(publisher.done * SIZE)}, schema={"seq": pl.Int64})
        lost = expected.join(stored.filter(pl.col("writer") == writer), on="seq", how="anti")
        assert lost.is_empty(), f"writer {writer}: {lost.height} acknowledged steps are gone: {lost.head(3).rows()}"


def assert_follows(made: pl.DataFrame) -> None:
    """Rows of a partition are in the order of their parents."""
    gap = made.sort("partition", "offset").select(pl.col("_parent").diff().over("partition").min()).item()
    assert gap is None or gap > 0, "a stage changed the order"


def assert_ordered(stored: pl.DataFrame) -> None:
    """Per key and writer, strictly increasing once the repeats of retried requests are dropped; one partition a key."""
    assert stored.group_by("key").agg(pl.col("partition").n_unique())["partition"].max() == 1
    first = stored.sort("partition", "offset").unique(["writer", "seq"], keep="first", maintain_order=True)
    steps = first.select(pl.col("seq").diff().over("key", "writer").min()).item()
    assert steps is None or steps > 0, "a later step of a key is stored before an earlier one"
