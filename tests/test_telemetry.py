import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import telemetry
from tests.e2e.rig import small_disk


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("penstock")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


def test_a_line_is_one_json_object_with_its_fields() -> None:
    out = io.StringIO()
    telemetry.log_to(out, "worker-1", kind="json")
    telemetry.logger("penstock.stages.pump").warning("lease\nlost", topic="t", partition=3, pid="not mine to set")
    entry = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert entry["message"] == "lease\nlost" and entry["level"] == "warning" and entry["process"] == "worker-1"
    assert (entry["topic"], entry["partition"], entry["pid"]) == ("t", 3, os.getpid())


def test_a_traceback_is_a_field() -> None:
    out = io.StringIO()
    telemetry.log_to(out, "gateway", kind="json")
    try:
        raise ValueError("no")
    except ValueError:
        telemetry.logger("penstock.x").error("failed", exc_info=True)
    assert "ValueError: no" in json.loads(out.getvalue())["traceback"]


def test_what_json_does_not_know_is_written_as_text() -> None:
    out = io.StringIO()
    telemetry.log_to(out, "gateway", kind="json")
    telemetry.logger("penstock.x").info("at", path=Path("/a"))
    assert json.loads(out.getvalue())["path"] == "/a"


def test_text_on_request_and_json_when_it_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen, is_json in (("text", False), ("json", True), (None, True)):
        monkeypatch.delenv("PENSTOCK_LOG", raising=False)
        if chosen:
            monkeypatch.setenv("PENSTOCK_LOG", chosen)
        out = io.StringIO()
        telemetry.log_to(out, "gateway")
        telemetry.logger("penstock.x").info("hello", topic="t")
        assert out.getvalue().startswith("{") is is_json
        assert "hello" in out.getvalue() and "t" in out.getvalue()


def test_other_libraries_speak_from_warnings_on() -> None:
    out = io.StringIO()
    telemetry.log_to(out, "gateway", kind="json")
    logging.getLogger("uvicorn").info("chatter")
    logging.getLogger("uvicorn").warning("matter")
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["matter"]


COUNTING = """
import sys
from pathlib import Path
from penstock.telemetry import exposition, metrics, share_metrics
share_metrics(Path(sys.argv[1]))
m = metrics()
m.events_consumed.labels("s", "t").inc(5)
m.consumer_lag_events.labels("t", "0", "g").set(int(sys.argv[2]))
m.score_batch_rows.labels("m", "1", "onnx").observe(300)
sys.stdout.buffer.write(exposition())
"""


def count(directory: Path, lag: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, str(directory), str(lag)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_processes_count_together_and_a_dead_ones_gauges_are_dropped(tmp_path: Path) -> None:
    count(tmp_path, 7)
    for left in tmp_path.glob("gauge_live*.db"):
        telemetry.forget_process(tmp_path, int(left.stem.rsplit("_", 1)[1]))
    text = count(tmp_path, 3)
    assert 'penstock_events_consumed_total{stage="s",topic="t"} 10.0' in text
    assert 'penstock_consumer_lag_events{group="g",partition="0",topic="t"} 3.0' in text
    assert 'penstock_score_batch_rows_bucket{le="1024.0",model="m",runtime="onnx",version="1"} 2.0' in text


def test_a_new_run_starts_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(telemetry.METRICS_ENV, "")
    count(tmp_path, 7)
    telemetry.share_metrics(tmp_path, clean=True)
    assert not list(tmp_path.glob("*.db"))
    assert os.environ[telemetry.METRICS_ENV] == str(tmp_path)


ON_A_FULL_DISK = """
import sys
from pathlib import Path
from penstock import telemetry
folder, when, planted = Path(sys.argv[1]), sys.argv[2], len(sys.argv) > 3
if planted:
    telemetry.reserve = lambda file, size: None
telemetry.share_metrics(folder / "metrics")
restarts = telemetry.metrics().process_restarts
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
telemetry.metrics().events_consumed.labels("s", "t").inc(5)
sys.stdout.buffer.write(telemetry.exposition())
"""


@pytest.mark.parametrize("when", ["from the start", "later"])
def test_counting_on_a_full_disk_ends_no_process(tmp_path: Path, when: str) -> None:
    with small_disk(tmp_path / "disk", "1M") as disk:
        done = subprocess.run([sys.executable, "-c", ON_A_FULL_DISK, str(disk), when], capture_output=True, text=True)
        assert done.returncode == 0, done
        assert 'penstock_events_consumed_total{stage="s",topic="t"} 5.0' in done.stdout, "there is space again"
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
from penstock import telemetry
start, failed = Barrier(8), []
def first():
    start.wait()
    try: telemetry.metrics().events_consumed.labels("s", "t").inc()
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
    unlocked = RACING.replace("start, failed", "telemetry.metrics = telemetry._metrics\nstart, failed")
    mutant = subprocess.run([sys.executable, "-c", unlocked], capture_output=True, text=True, check=True)
    assert mutant.stdout.strip() != "0"


def test_the_buckets_start_at_a_tenth_of_a_millisecond() -> None:
    assert telemetry.SECONDS[0] == 1e-4 and list(telemetry.SECONDS) == sorted(telemetry.SECONDS)


def test_logging_alone_loads_neither_prometheus_nor_arrow() -> None:
    code = (
        "import sys, penstock.telemetry as t; t.log_to_stderr('x');"
        "print([m for m in ('prometheus_client', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_of_metrics_is_never_seen_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of all files that met one without a head ended the gateway's look at its gauges, for good."""
    from prometheus_client.multiprocess import MultiProcessCollector

    meanwhile: list[list[str]] = []
    monkeypatch.setattr(
        telemetry, "reserve", lambda file, size: meanwhile.append([p.suffix for p in tmp_path.iterdir()])
    )
    file = tmp_path / "counter_1.db"
    telemetry._make_readable(file)
    assert meanwhile == [[".draft"]]
    assert [*MultiProcessCollector.merge([str(file)])] == []  # type: ignore[no-untyped-call]
