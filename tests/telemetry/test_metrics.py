"""Metrics as rooms declare them, over several processes and threads, and on a full disk."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.rig import small_disk

from penstock.telemetry import metrics

COUNTING = """
import sys
from pathlib import Path
from penstock.telemetry import metrics
done = metrics.counter("done", "Deeds", "stage", "topic")
lag = metrics.gauge("lag", "Events left", "topic", "partition", "group")
rows = metrics.histogram("rows", "Of a call", "model", buckets=(256, 1_024))
undone = metrics.counter("undone", "Never counted", "stage")
metrics.share_metrics(Path(sys.argv[1]))
for metric in metrics.declared():
    metric.make()
done.labels("s", "t").inc(5)
done.labels("s", "u").inc(1)
lag.labels("t", "0", "g").set(int(sys.argv[2]))
rows.labels("m").observe(300)
sys.stdout.buffer.write(metrics.exposition())
print("by stage", metrics.by_stage(done))
"""


def count(directory: Path, lag: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, str(directory), str(lag)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_processes_count_together_and_a_dead_ones_gauges_are_dropped(tmp_path: Path) -> None:
    count(tmp_path, 7)
    for left in tmp_path.glob("gauge_live*.db"):
        metrics.forget_process(tmp_path, int(left.stem.rsplit("_", 1)[1]))
    text = count(tmp_path, 3)
    assert 'penstock_done_total{stage="s",topic="t"} 10.0' in text
    assert 'penstock_lag{group="g",partition="0",topic="t"} 3.0' in text
    assert 'penstock_rows_bucket{le="256.0",model="m"} 0.0' in text
    assert 'penstock_rows_bucket{le="1024.0",model="m"} 2.0' in text
    assert "penstock_undone" not in text, "it has no series yet"
    assert "by stage {'s': 12.0}" in text


def test_a_new_run_starts_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.METRICS_ENV, "")
    count(tmp_path, 7)
    metrics.share_metrics(tmp_path, clean=True)
    assert not list(tmp_path.glob("*.db"))
    assert os.environ[metrics.METRICS_ENV] == str(tmp_path)


ON_A_FULL_DISK = """
import sys
from pathlib import Path
from penstock.telemetry import metrics
restarts = metrics.counter("restarts", "Lives", "process")
consumed = metrics.counter("consumed", "Events", "stage", "topic")
folder, when, planted = Path(sys.argv[1]), sys.argv[2], len(sys.argv) > 3
if planted:
    metrics.reserve = lambda file, size: None
metrics.share_metrics(folder / "metrics")
if when == "later":
    restarts.labels("before").inc()
with (folder / "ballast").open("wb", buffering=0) as ballast:
    try:
        while ballast.write(bytes(4096)):
            pass
    except OSError:
        pass
for n in range(200):
    restarts.labels(f"worker-{n}").inc(2)
assert restarts.labels("worker-199")._value.get() == 2
(folder / "ballast").unlink()
consumed.labels("s", "t").inc(5)
sys.stdout.buffer.write(metrics.exposition())
"""


@pytest.mark.parametrize("when", ["from the start", "later"])
def test_counting_on_a_full_disk_ends_no_process(tmp_path: Path, when: str) -> None:
    with small_disk(tmp_path / "disk", "1M") as disk:
        done = subprocess.run([sys.executable, "-c", ON_A_FULL_DISK, str(disk), when], capture_output=True, text=True)
        assert done.returncode == 0, done
        assert 'penstock_consumed_total{stage="s",topic="t"} 5.0' in done.stdout, "there is space again"
        assert ('process="before"} 1.0' in done.stdout) is (when == "later")


@pytest.mark.skipif(sys.platform != "linux", reason="a page without space is Linux's SIGBUS")
@pytest.mark.parametrize("when", ["from the start", "later"])
def test_a_page_touched_before_it_has_space_ends_the_process(tmp_path: Path, when: str) -> None:
    with small_disk(tmp_path / "disk", "1M") as disk:
        planted = [sys.executable, "-c", ON_A_FULL_DISK, str(disk), when, "planted"]
        assert subprocess.run(planted, capture_output=True).returncode == -signal.SIGBUS


RACING = """
import sys
from threading import Barrier, Thread
from penstock.telemetry import metrics
consumed = metrics.counter("consumed", "Events", "stage")
start, failed = Barrier(8), []
def first():
    start.wait()
    try: consumed.labels("s").inc()
    except Exception as error: failed.append(error)
threads = [Thread(target=first) for _ in range(8)]
sys.setswitchinterval(1e-6)
for t in threads: t.start()
for t in threads: t.join()
print(len(failed))
"""


def test_threads_that_count_for_the_first_time_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", RACING], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
    unlocked = RACING.replace(
        "start, failed", "from contextlib import nullcontext\nmetrics._making = nullcontext()\nstart, failed"
    )
    mutant = subprocess.run([sys.executable, "-c", unlocked], capture_output=True, text=True, check=True)
    assert mutant.stdout.strip() != "0"


def test_a_room_that_has_counted_nothing_loads_no_library() -> None:
    code = (
        "import sys, penstock.run.supervisor.loop as loop; a = 'prometheus_client' in sys.modules;"
        "loop.RESTARTS.labels('worker-1').inc(); print(a, 'prometheus_client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_the_buckets_start_at_a_tenth_of_a_millisecond() -> None:
    assert metrics.SECONDS[0] == 1e-4 and list(metrics.SECONDS) == sorted(metrics.SECONDS)


def test_a_file_of_metrics_is_never_seen_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of all files that met one without a head ended the gateway's look at its gauges, for good."""
    from prometheus_client.multiprocess import MultiProcessCollector

    meanwhile: list[list[str]] = []
    monkeypatch.setattr(metrics, "reserve", lambda file, size: meanwhile.append([p.suffix for p in tmp_path.iterdir()]))
    file = tmp_path / "counter_1.db"
    metrics._make_readable(file)
    assert meanwhile == [[".draft"]]
    assert [*MultiProcessCollector.merge([str(file)])] == []  # type: ignore[no-untyped-call]
