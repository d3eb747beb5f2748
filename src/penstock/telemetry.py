"""What a process says of itself: structured logs, and metrics for Prometheus.

Logs go through the standard library to stderr: short lines on a terminal, one JSON object a line elsewhere or with
``PENSTOCK_LOG=json``. Metrics are shared by all processes of one ``penstock run`` through files under
``DIR/run/metrics`` (prometheus_client's multiprocess mode); ``metrics()`` imports that library on its first call, so
a process that counts nothing never loads it.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LOG_ENV = "PENSTOCK_LOG"  # json or text
METRICS_ENV = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# From 0.1 ms: OpenTelemetry's advice starts at 5 ms, where most of our calls have long ended.
SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ENTRY_BYTES = 64  # bytes of a stored value beside its name, at most
ROWS = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384)


# -- logs ---------------------------------------------------------------------


class Logger(logging.LoggerAdapter[logging.Logger]):
    """A standard logger whose keyword arguments become fields: ``log.warning("lease lost", topic="t")``."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        own = {k: v for k, v in kwargs.items() if k in ("exc_info", "stack_info", "stacklevel")}
        return msg, own | {"extra": {"fields": {k: v for k, v in kwargs.items() if k not in own}}}


def logger(name: str) -> Logger:
    """``name`` is the module's ``__name__``."""
    return Logger(logging.getLogger(name), {})


COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}


class JsonLines(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self.role,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        # A field never hides what every line has: tools filter on those.
        entry = _fields(record) | entry
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class ShortLines(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        colour = COLOURS.get(record.levelname, "")
        fields = "".join(f" \033[2m{k}={v}\033[0m" for k, v in _fields(record).items())
        line = f"\033[2m{at} {self.role:<10}\033[0m {colour}{record.getMessage()}{colour and chr(27) + '[0m'}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return dict(getattr(record, "fields", {}))


def log_to(stream: TextIO, role: str, *, level: int = logging.INFO, kind: str | None = None) -> None:
    """Send every log line of this process to ``stream``. ``kind`` is ``json``, ``text`` or None: by terminal."""
    kind = kind or os.environ.get(LOG_ENV) or ("text" if stream.isatty() else "json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(role) if kind == "json" else ShortLines(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(level)


def log_to_stderr(role: str) -> None:
    """The usual call at the start of a process; ``role`` is its name in every line: ``gateway``, ``worker-1``."""
    log_to(sys.stderr, role)


# -- metrics ------------------------------------------------------------------

_making = Lock()


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every metric, by its name without ``penstock_``. Seconds are seconds; labels are in parentheses."""

    consumer_lag_events: Gauge  # (topic, partition, group)
    consumer_lag_seconds: Gauge  # (topic, partition, group) age of the oldest event not dealt with
    events_consumed: Counter  # (stage, topic)
    events_produced: Counter  # (stage, topic)
    event_latency_seconds: Histogram  # (stage) from the event's append to the commit of what it became
    score_duration_seconds: Histogram  # (model, version, runtime) one call
    score_batch_rows: Histogram  # (model, version, runtime)
    score_errors: Counter  # (model, version, runtime) calls without an answer
    model_load_errors: Counter  # (model, version, runtime) loads that failed while another version went on
    dead_letters: Counter  # (stage, topic)
    setbacks: Counter  # (stage, kind) sick: positions held; fenced: partitions lost; overtaken: by retention
    model_info: Gauge  # (model, version, alias, digest) 1
    ingest_events: Counter  # (topic) durable
    ingest_bytes: Counter  # (topic) of bodies, as sent
    ingest_refused: Counter  # (topic, reason)
    process_restarts: Counter  # (process)
    capacity_events_per_second: Gauge  # (stage) that one worker can deal with
    capacity_used_ratio: Gauge  # (stage) of what this host's workers can deal with
    wanted_workers: Gauge  # (stage) this host's share of what the rate and the lag need
    scale_load: Gauge  # (stage, what) what that was derived from: the fields of stages.scaling.Load


def metrics() -> Metrics:
    """This process's metrics. ``share_metrics`` comes first where several processes count together."""
    # Several stages count for the first time at once, and a metric can be made only once.
    with _making:
        return _metrics()


@cache
def _metrics() -> Metrics:
    from prometheus_client import Counter, Gauge, Histogram

    if METRICS_ENV in os.environ:
        _reserve_before_touching()

    def gauge(name: str, help: str, labels: list[str]) -> Gauge:
        # The owner of a partition changes: the newest value of any living process is the one that holds.
        return Gauge(f"penstock_{name}", help, labels, multiprocess_mode="livemostrecent")

    def counter(name: str, help: str, labels: list[str]) -> Counter:
        return Counter(f"penstock_{name}", help, labels)

    def histogram(name: str, help: str, labels: list[str], buckets: tuple[float, ...] = SECONDS) -> Histogram:
        return Histogram(f"penstock_{name}", help, labels, buckets=buckets)

    place, version = ["topic", "partition", "group"], ["model", "version", "runtime"]
    return Metrics(
        consumer_lag_events=gauge("consumer_lag_events", "Events a group has not dealt with yet", place),
        consumer_lag_seconds=gauge("consumer_lag_seconds", "Age of the oldest event not dealt with", place),
        events_consumed=counter("events_consumed", "Events a stage has dealt with", ["stage", "topic"]),
        events_produced=counter("events_produced", "Events a stage has made", ["stage", "topic"]),
        event_latency_seconds=histogram("event_latency_seconds", "From append to output commit", ["stage"]),
        score_duration_seconds=histogram("score_duration_seconds", "One call to a model", version),
        score_batch_rows=histogram("score_batch_rows", "Rows of one call to a model", version, ROWS),
        score_errors=counter("score_errors", "Calls to a model without an answer", version),
        model_load_errors=counter("model_load_errors", "Loads of a next version that failed", version),
        dead_letters=counter("dead_letters", "Events dead-lettered", ["stage", "topic"]),
        setbacks=counter("setbacks", "Passes of a stage that came to nothing", ["stage", "kind"]),
        model_info=gauge("model_info", "A version and its alias", ["model", "version", "alias", "digest"]),
        ingest_events=counter("ingest_events", "Events accepted at the door, durable", ["topic"]),
        ingest_bytes=counter("ingest_bytes", "Bytes of accepted bodies, as sent", ["topic"]),
        ingest_refused=counter("ingest_refused", "Requests refused at the door", ["topic", "reason"]),
        process_restarts=counter("process_restarts", "Processes started again after a death", ["process"]),
        capacity_events_per_second=gauge("capacity_events_per_second", "What one worker can deal with", ["stage"]),
        capacity_used_ratio=gauge("capacity_used_ratio", "Of what this host's workers can deal with", ["stage"]),
        wanted_workers=gauge("wanted_workers", "What the rate and the lag need, this host's share", ["stage"]),
        scale_load=gauge("scale_load", "What wanted_workers was derived from", ["stage", "what"]),
    )


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


def by_stage(name: str) -> dict[str, float]:
    """A metric's values over all processes that share the directory, summed by its label ``stage``."""
    found: dict[str, float] = {}
    for metric in _registry().collect():
        for sample in metric.samples:
            if sample.name == f"penstock_{name}":
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
