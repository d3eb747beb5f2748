"""What calls to a model come to, as metrics."""

from __future__ import annotations

from ...models.interface import ModelVersion
from ...telemetry.metrics import counter, histogram

ROWS = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384)
VERSION = ("model", "version", "runtime")

DURATION = histogram("score_duration_seconds", "One call to a model", *VERSION)
BATCH_ROWS = histogram("score_batch_rows", "Rows of one call to a model", *VERSION, buckets=ROWS)
ERRORS = counter("score_errors", "Calls to a model without an answer", *VERSION)
LOAD_ERRORS = counter("model_load_errors", "Loads of a next version that failed", *VERSION)


def observed(version: ModelVersion, rows: int, seconds: float | None) -> None:
    """``call_batcher.Observe``. A call without rows only loads the model."""
    if rows == 0:
        return
    labels = _labels(version)
    if seconds is None:
        ERRORS.labels(*labels).inc()
        return
    DURATION.labels(*labels).observe(seconds)
    BATCH_ROWS.labels(*labels).observe(rows)


def load_failed(version: ModelVersion) -> None:
    """``deployment.Failed``: another version goes on."""
    LOAD_ERRORS.labels(*_labels(version)).inc()


def _labels(version: ModelVersion) -> tuple[str, str, str]:
    return version.name, str(version.version), version.runtime
