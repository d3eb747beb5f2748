"""How a room declares what it measures, for Prometheus. ``docs/metrics.md`` lists what is declared.

A room declares its metrics beside the code that measures: ``REFUSED = counter("ingest_refused", "Requests refused",
"topic")``, and counts with ``REFUSED.labels("orders").inc()``. All processes of one ``penstock run`` count together
through files under ``DIR/run/metrics`` (prometheus_client's multiprocess mode). A metric is made at its first use,
which imports that library: a process that counts nothing never loads it.
"""

from __future__ import annotations

import mmap
import os
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.metrics import MetricWrapperBase

METRICS_ENV = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# From 0.1 ms: OpenTelemetry's advice starts at 5 ms, where most of our calls have long ended.
SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ENTRY_BYTES = 64  # bytes of a stored value beside its name, at most

Kind = TypeVar("Kind", bound="MetricWrapperBase")


class Metric(Generic[Kind]):
    """One declared metric: ``name`` is without ``penstock_``. For any thread."""

    def __init__(
        self,
        kind: Literal["counter", "gauge", "histogram"],
        name: str,
        help: str,
        labels: tuple[str, ...],
        buckets: tuple[float, ...] = (),
    ) -> None:
        self.kind, self.name, self.help, self.label_names, self.buckets = kind, name, help, labels, buckets
        self._made: Kind | None = None
        _declared.append(self)

    @property
    def series(self) -> str:
        """The name of its samples, as Prometheus reads it; a histogram's go on after it."""
        return f"penstock_{self.name}" + ("_total" if self.kind == "counter" else "")

    def labels(self, *values: str) -> Kind:
        """The series of these values, in the order of the declaration; it is in /metrics from then on."""
        return (self._made or self.make()).labels(*values)

    def make(self) -> Kind:
        """Else its first event waits for that. ``share_metrics`` comes before it where several processes count."""
        # Several stages count for the first time at once, and a metric can be made only once.
        with _making:
            if self._made is None:
                self._made = _make(self)
            return self._made


_declared: list[Metric[Any]] = []  # grows while rooms are imported
_making = Lock()


def counter(name: str, help: str, *labels: str) -> Metric[Counter]:
    return Metric("counter", name, help, labels)


def gauge(name: str, help: str, *labels: str) -> Metric[Gauge]:
    return Metric("gauge", name, help, labels)


def histogram(name: str, help: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Metric[Histogram]:
    return Metric("histogram", name, help, labels, buckets)


def declared() -> tuple[Metric[Any], ...]:
    """What the rooms that this process has imported declare."""
    return tuple(_declared)


def _make(metric: Metric[Any]) -> Any:
    import prometheus_client

    if METRICS_ENV in os.environ:
        _reserve_before_touching()
    name, help, labels = f"penstock_{metric.name}", metric.help, metric.label_names
    match metric.kind:
        case "counter":
            return prometheus_client.Counter(name, help, labels)
        case "gauge":
            # The owner of a partition changes: the newest value of any living process is the one that holds.
            return prometheus_client.Gauge(name, help, labels, multiprocess_mode="livemostrecent")
        case "histogram":
            return prometheus_client.Histogram(name, help, labels, buckets=metric.buckets)


@cache
def _reserve_before_touching() -> None:
    """On a full disk the first touch of a memory-mapped page ends a process by SIGBUS; so its space is taken before.

    What there is no space for is counted in this process alone, and not shown.
    """
    import prometheus_client.values
    from prometheus_client.mmap_dict import MmapedDict

    values: Any = prometheus_client.values
    shared = values.ValueClass

    class Reserved(MmapedDict):
        def __init__(self, filename: str, read_mode: bool = False) -> None:
            if not read_mode and not Path(filename).exists():
                _make_readable(Path(filename))
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

        def _init_value(self, key: str) -> None:
            reserve(self._f.fileno(), self._used + len(key.encode()) + ENTRY_BYTES)
            super()._init_value(key)  # type: ignore[no-untyped-call]

    def value(*arguments: Any, **options: Any) -> Any:
        try:
            return shared(*arguments, **options)
        except OSError:
            return values.MutexValue(*arguments, **options)

    values.MmapedDict, values.ValueClass = Reserved, value


def _make_readable(path: Path) -> None:
    """An empty file of metrics, in its place at once with a head: who reads all of them finds no half-made one."""
    draft = path.with_suffix(".draft")
    try:
        with draft.open("ab") as file:
            file.truncate(mmap.PAGESIZE)
            reserve(file.fileno(), mmap.PAGESIZE)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def reserve(file: int, size: int) -> None:
    """Raises ``OSError`` where the first ``size`` bytes of a file have no space."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(file, 0, size)


def share_metrics(directory: Path, *, clean: bool = False) -> None:
    """Count together with the other processes that name ``directory``; call before anything imports prometheus_client.

    ``clean`` removes what an earlier run left: the supervisor does so once, before any child counts.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if clean:
        for left in directory.glob("*.db"):
            left.unlink(missing_ok=True)
    os.environ[METRICS_ENV] = str(directory)


def forget_process(directory: Path, pid: int) -> None:
    """Drop the gauges of a dead process: its counters stay, what it last measured does not hold any more."""
    for left in directory.glob(f"gauge_live*_{pid}.db"):
        left.unlink(missing_ok=True)


def exposition() -> bytes:
    """All metrics in Prometheus' text format, of every process that shares the directory."""
    from prometheus_client import generate_latest

    return generate_latest(_registry())


def by_stage(metric: Metric[Any]) -> dict[str, float]:
    """A counter's or a gauge's values over all processes that share the directory, summed by its label ``stage``."""
    found: dict[str, float] = {}
    for family in _registry().collect():
        for sample in family.samples:
            if sample.name == metric.series:
                stage = sample.labels["stage"]
                found[stage] = found.get(stage, 0.0) + sample.value
    return found


def _registry() -> CollectorRegistry:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    if METRICS_ENV not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
