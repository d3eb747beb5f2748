"""An app file as a worker runs it: the embedded log, children for its code, a thread a stage."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow as pa

from penstock.batch import Batch, Write
from penstock.clock import SystemClock
from penstock.declare.load import load
from penstock.declare.planning.findings import FindingCollector
from penstock.log.embedded import EmbeddedLog
from penstock.models.artifacts import Artifacts
from penstock.run.check import check
from penstock.run.compose.backends import child_runner
from penstock.run.compose.bootstrap import prepare
from penstock.run.compose.stages import Composition, RunningStage
from penstock.runner.inline import InlineRunner
from penstock.settings import Settings

PATIENCE = 30.0  # seconds that any single thing may take


class Stack:
    def __init__(
        self,
        folder: Path,
        text: str,
        *,
        inline: bool = False,
        settings: Settings | None = None,
        data: Path | None = None,
    ) -> None:
        (folder / "app.py").write_text(text)
        checked = check(str(folder / "app.py"), os.environ)
        FindingCollector(list(checked.resolved.findings)).raise_errors()
        self.plan, self.settings, clock = checked.here, settings or Settings(), SystemClock()
        self.log = EmbeddedLog(data or folder / "data", settings=self.settings)
        artifacts = Artifacts(folder / "artifacts")
        prepare(self.plan, self.log, artifacts, clock)

        def inlined(_stage: str, _with_app: bool) -> InlineRunner:
            return InlineRunner(load(self.plan.target).app, self.plan)

        runner = inlined if inline else partial(child_runner, self.plan, self.settings)
        self.composition = Composition(self.plan, self.log, clock, self.settings, "a", artifacts, runner)
        self._stop = Event()
        self._threads = [Thread(target=line.pump.run, args=(self._stop,)) for line in self.composition.lines]

    def line(self, name: str) -> RunningStage:
        return next(line for line in self.composition.lines if line.name == name)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self.composition.close()
        self.log.close()

    def publish(self, topic: str, columns: dict[str, Any], partition: int = 0) -> None:
        arrays = {
            name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()
        }
        schema = self.plan.topic(topic).schema
        fields = [schema.field(n) if n in schema.names else pa.field(n, a.type) for n, a in arrays.items()]
        rows = pa.RecordBatch.from_arrays(
            [a.cast(f.type) for a, f in zip(arrays.values(), fields, strict=True)], schema=pa.schema(fields)
        )
        self.log.append([Write(topic, partition, rows)])

    def batches(self, topic: str) -> list[Batch]:
        reader = self.log.reader(None, [topic], "look")
        found: list[Batch] = []
        while batches := reader.read(100_000, 0.0):
            found += batches
        reader.close()
        return found

    def rows(self, topic: str) -> list[dict[str, Any]]:
        return [row for batch in self.batches(topic) for row in batch.rows.to_pylist()]

    def wait_for(self, topic: str, count: int) -> list[dict[str, Any]]:
        eventually(lambda: len(self.rows(topic)) >= count)
        return self.rows(topic)


@contextmanager
def stack(folder: Path, text: str, **more: Any) -> Iterator[Stack]:
    built = Stack(folder, text, **more)
    try:
        built.start()
        yield built
    finally:
        built.close()


def eventually(holds: Callable[[], object], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
