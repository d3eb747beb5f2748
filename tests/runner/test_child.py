"""The child that may be killed: the contract, and everything that user code can do to a process."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from tests.runner.contract import PLAN, TWICE, RunnerContract, Shelf, features, given, made, model, registered_event

from penstock.errors import RunnerDied, TaskFailed
from penstock.runner import child, process, relay
from penstock.runner.child import ChildRunner
from penstock.runner.interface import Runner
from penstock.runner.relay import Relay
from penstock.settings import MIB, Settings

ROOT = Path(__file__).parents[2]
LIMIT = 10.0
SHORT = 0.4
SETTINGS = Settings(runner_memory=600 * MIB)


class TestChildRunner(RunnerContract):
    @pytest.fixture
    def runner(self, zoo: ChildRunner) -> Runner:
        return zoo


@pytest.fixture(scope="module")
def zoo() -> Iterator[ChildRunner]:
    """One runner for all the bad behaviour: each test finds it as another left it."""
    runner = ChildRunner(PLAN, settings=SETTINGS, name="zoo")
    yield runner
    runner.close()


@pytest.fixture
def scorer() -> Iterator[ChildRunner]:
    runner = ChildRunner(None, settings=SETTINGS, name="scorer")
    yield runner
    runner.close()


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 3
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def pid_of(runner: ChildRunner) -> int:
    rows = runner.apply("where_am_i", given(1), timeout=LIMIT).rows
    assert rows is not None
    return int(rows.column("x")[0].as_py())


def dies(runner: ChildRunner, stage: str, timeout: float = LIMIT) -> RunnerDied:
    """At its third row; and the next call finds a fresh runner."""
    with pytest.raises(RunnerDied) as caught:
        runner.apply(stage, given(1, 2, 13, 4), timeout=timeout)
    assert made(runner.apply("one", given(5), timeout=LIMIT)) == [(0, 5)]
    return caught.value


# -- what kills a runner ------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "timeout", "said"),
    [
        ("quitting", LIMIT, "exited with status 7"),
        ("crashing", LIMIT, "killed by SIGSEGV"),
        ("hanging", SHORT, r"over its 0\.4 s"),
        ("hanging_natively", SHORT, r"over its 0\.4 s"),
        ("deaf", SHORT, r"over its 0\.4 s"),
        ("eating", LIMIT, r"used \d+ MiB of memory, the limit is 600 MiB"),
    ],
)
def test_it_dies_and_says_of_what_and_at_which_row(zoo: ChildRunner, stage: str, timeout: float, said: str) -> None:
    death = dies(zoo, stage, timeout)
    assert death.row == 2
    assert re.search(said, death.reason), death.reason


def test_it_breeds() -> None:
    """Forks share their memory, and each counts as if it did not: so here the limit is out of reach."""
    runner = ChildRunner(PLAN, settings=Settings(runner_memory=64 << 30), name="zoo")
    assert "started more than 64 processes" in dies(runner, "breeding").reason
    runner.close()


@pytest.mark.parametrize("stage", ["closing", "babbling", "shrinking"])
def test_tampering_with_descriptors_harms_only_itself(zoo: ChildRunner, stage: str) -> None:
    try:
        applied = zoo.apply(stage, given(1, 13, 2), timeout=LIMIT)
    except RunnerDied:
        pass
    else:
        assert made(applied) == [(0, 1), (1, 13), (2, 2)]
    assert made(zoo.apply("one", given(5), timeout=LIMIT)) == [(0, 5)]


def test_it_was_killed_between_two_calls(zoo: ChildRunner) -> None:
    os.kill(pid_of(zoo), signal.SIGKILL)
    with pytest.raises(RunnerDied, match="killed by SIGKILL"):
        zoo.apply("one", given(1), timeout=LIMIT)
    assert made(zoo.apply("one", given(5), timeout=LIMIT)) == [(0, 5)]


def test_a_fresh_runner_costs_less_than_two_seconds_of_a_core(zoo: ChildRunner) -> None:
    with pytest.raises(RunnerDied):
        zoo.apply("quitting", given(13), timeout=LIMIT)
    zoo.apply("one", given(1), timeout=LIMIT)
    spent = psutil.Process(pid_of(zoo)).cpu_times()
    assert spent.user + spent.system < 2.0


# -- nothing is left behind ---------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_JOURNAL", str(tmp_path / "journal"))
    return tmp_path / "journal"


def left_behind(stage: str, journal: Path) -> int:
    """The pid of what the function started, after its runner was killed."""
    runner = ChildRunner(PLAN, settings=SETTINGS, name="zoo")
    runner.apply("one", given(1), timeout=LIMIT)
    with pytest.raises(RunnerDied):
        runner.apply(stage, given(13), timeout=SHORT)
    runner.close()
    return int(journal.read_text())


@pytest.mark.parametrize("stage", ["leaving", "straying"])
def test_what_it_started_dies_with_it(stage: str, journal: Path) -> None:
    assert gone_soon(left_behind(stage, journal))


def test_mutant_only_the_child_is_killed(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "kill_group", lambda pid: os.kill(pid, signal.SIGKILL))
    monkeypatch.setattr(process, "kill_strays", lambda pid: None)
    orphan = left_behind("leaving", journal)
    try:
        assert alive(orphan)
    finally:
        os.kill(orphan, signal.SIGKILL)


def left_after_a_clean_end(journal: Path) -> int:
    runner = ChildRunner(PLAN, settings=SETTINGS, name="zoo")
    runner.apply("lingering", given(1), timeout=LIMIT)
    deadline = time.monotonic() + 5
    while not (journal.exists() and journal.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    runner.close()
    return int(journal.read_text())


def test_what_went_into_its_own_session_ends_with_a_clean_end(journal: Path) -> None:
    daemon = left_after_a_clean_end(journal)
    try:
        assert gone_soon(daemon), "a daemon outlives its runner"
    finally:
        process._signal(daemon, signal.SIGKILL)


def test_mutant_a_clean_end_that_leaves_it_is_caught(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plant").mkdir()
    plant = "import penstock.runner.process as p; p.kill_strays = lambda pid: None"
    (tmp_path / "plant" / "sitecustomize.py").write_text(plant)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plant"), prepend=os.pathsep)
    with pytest.raises(AssertionError, match="a daemon outlives"):
        test_what_went_into_its_own_session_ends_with_a_clean_end(journal)


WORKER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from penstock.errors import RunnerDied
from penstock.runner.child import ChildRunner
from penstock.runner.process import adopt_strays
from penstock.settings import Settings
from tests.runner.contract import PLAN, given

adopt_strays()
runner = ChildRunner(PLAN, settings=Settings(), name="zoo")
other = ChildRunner(PLAN, settings=Settings(), name="other")
other.apply("one", given(1), timeout=10.0)
try:
    runner.apply("abandoning", given(1), timeout=10.0)
except RunnerDied:
    pass
assert other.apply("one", given(1), timeout=10.0).rows.num_rows == 1
assert other._child is not None and other._child._process.alive(), "another runner was ended with it"
print(open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read(), flush=True)
sys.stdin.read()
"""


def left_by_a_crash(journal: Path, plant: str = "") -> int:
    """The daemon of a runner that died while its worker lives on."""
    command = [sys.executable, "-c", WORKER.replace("adopt_strays()\n", plant or "adopt_strays()\n"), str(ROOT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert len(worker.stdout.readline().split()) == 1, "a zombie is left, or the other runner is not"
        daemon = int(journal.read_text())
        try:
            assert gone_soon(daemon), "a daemon outlives its runner"
        finally:
            process._signal(daemon, signal.SIGKILL)
    return worker.returncode


def test_what_went_into_its_own_session_ends_with_a_crash(journal: Path) -> None:
    assert left_by_a_crash(journal) == 0


def test_mutant_a_crash_that_leaves_it_is_caught(journal: Path) -> None:
    with pytest.raises(AssertionError, match="a daemon outlives"):
        left_by_a_crash(journal, "pass\n")


PARENT = """
import sys
sys.path.insert(0, sys.argv[2])
from tests.runner.contract import PLAN, given
from penstock.runner.child import ChildRunner
from penstock.settings import Settings

runner = ChildRunner(PLAN, settings=Settings(), name="orphan")
print(runner.apply("where_am_i", given(1), timeout=10.0).rows.column("x")[0], flush=True)
runner.apply(sys.argv[1], given(13), timeout=60.0)
"""


def orphaned(stage: str) -> int:
    """Kill a parent while its runner hangs; the runner's pid."""
    with subprocess.Popen([sys.executable, "-c", PARENT, stage, str(ROOT)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.2)  # by now it hangs; were it not so, the test would only be weaker
        assert alive(pid)
        parent.kill()
    return pid


@pytest.mark.parametrize("stage", ["hanging_natively", "deaf"])
def test_it_dies_with_its_parent(stage: str) -> None:
    assert gone_soon(orphaned(stage))


# -- mutants of the limits ----------------------------------------------------


def test_mutant_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the deadline a hanging function is only stopped by the memory limit or by nobody."""
    ticks = 0

    def check(self: child._Child, deadline: float, seconds: float) -> None:
        nonlocal ticks
        ticks += 1
        if ticks > 15:
            raise TimeoutError("still hanging")

    monkeypatch.setattr(child._Child, "_check", check)
    runner = ChildRunner(PLAN, settings=SETTINGS, name="zoo")
    with pytest.raises(TimeoutError, match="still hanging"):
        runner.apply("hanging", given(13), timeout=SHORT)
    runner.close()


def test_mutant_no_look_at_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.RunnerProcess, "excess", lambda self, memory: None)
    runner = ChildRunner(PLAN, settings=SETTINGS, name="zoo")
    runner.apply("one", given(1), timeout=LIMIT)
    with pytest.raises(RunnerDied) as caught:
        runner.apply("eating", given(13), timeout=SHORT)
    assert "MiB" not in caught.value.reason
    runner.close()


# -- services -----------------------------------------------------------------


def test_the_deadline_runs_while_the_parent_is_asked(zoo: ChildRunner) -> None:
    with pytest.raises(RunnerDied, match="over its"):
        zoo.apply("talking", given(1), timeout=SHORT, services=Shelf())


def test_a_service_that_fails_means_unavailable(zoo: ChildRunner) -> None:
    class Broken(Shelf):
        def register(self, *args: object, **kwargs: object) -> int:
            raise OSError("the disk is gone")

    with pytest.raises(TaskFailed, match="the disk is gone") as caught:
        zoo.apply("registered", registered_event(1), timeout=LIMIT, services=Broken())
    assert caught.value.unavailable


def test_a_body_that_is_none_breaks_the_protocol(zoo: ChildRunner) -> None:
    class Expecting(Shelf):
        def answer(self, handle: str, method: str, body: bytes) -> bytes:
            return super().answer(handle, "register", body)

    shelf = Expecting({})
    with pytest.raises(RunnerDied, match=r"broke its protocol: Models\.resolve was asked with what is none"):
        zoo.apply("loading", registered_event(1), timeout=LIMIT, services=shelf)
    assert shelf.registered == []


# -- closed by another thread while a call runs ---------------------------------


def closed_meanwhile(runner: ChildRunner, call: Callable[[], object]) -> None:
    """Closed once the child of the call is there: the call must say so, and the child be gone."""
    died: list[str] = []

    def run() -> None:
        try:
            call()
        except RunnerDied as error:
            died.append(error.reason)

    before = set(psutil.Process().children())
    thread = threading.Thread(target=run)
    thread.start()
    while not set(psutil.Process().children()) - before:
        time.sleep(0.01)
    (child,) = set(psutil.Process().children()) - before
    runner.close()
    thread.join()
    assert died == ["the runner of scorer died: it was closed"], died
    assert gone_soon(child.pid)


def test_closing_it_ends_a_load_that_hangs(tmp_path: Path) -> None:
    runner = ChildRunner(None, settings=SETTINGS, name="scorer")
    endless = model(tmp_path, 1, "while True: pass\nclass A:\n    predict = None")
    closed_meanwhile(runner, lambda: runner.predict(endless, features(), timeout=LIMIT))
    good = model(tmp_path, 2)
    assert runner.predict(good, features(2), timeout=LIMIT).to_pydict() == {"y": [0.0, 2.0]}, "it starts again"
    runner.close()


def test_mutant_nobody_looks_whether_it_was_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChildRunner, "_given_up", property(lambda self: False, lambda self, value: None), raising=False)
    runner = ChildRunner(None, settings=replace(SETTINGS, runner_start=2.0), name="scorer")
    endless = model(tmp_path, 1, "while True: pass\nclass A:\n    predict = None")
    with pytest.raises(AssertionError, match="over its 2 s"):
        closed_meanwhile(runner, lambda: runner.predict(endless, features(), timeout=LIMIT))


def test_a_close_that_comes_with_the_answer_is_not_forgotten(scorer: ChildRunner, tmp_path: Path) -> None:
    """It is closed while the child is at its last breath of a call: the call has its answer, and the child ends."""
    good, before = model(tmp_path, 2), set(psutil.Process().children())
    scorer.predict(good, features(), timeout=LIMIT)
    (child,) = set(psutil.Process().children()) - before
    scorer._with_child(lambda _: scorer.close())
    assert gone_soon(child.pid)
    assert scorer.predict(good, features(2), timeout=LIMIT).to_pydict() == {"y": [0.0, 2.0]}


# -- the rest of its life -----------------------------------------------------


def test_a_flood_past_print_is_cut_and_told(zoo: ChildRunner, capfd: pytest.CaptureFixture[str]) -> None:
    zoo.apply("flooding", given(13), timeout=60.0)
    zoo.close()
    err = capfd.readouterr().err
    assert relay.BURST_BYTES // 2 < len(err) < 4 * relay.BURST_BYTES, f"{len(err)} characters"
    assert "[zoo] writes more than 128 KiB a second: from here on some of it is left out" in err


def test_mutant_a_bottomless_pipe_is_caught(
    zoo: ChildRunner, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Relay, "put", lambda self, text: relay._write(text))
    zoo.close()
    with pytest.raises(AssertionError, match="characters"):
        test_a_flood_past_print_is_cut_and_told(zoo, capfd)


def test_what_it_says_as_it_crashes_is_not_lost(zoo: ChildRunner, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunnerDied):
        zoo.apply("last_words", given(13), timeout=LIMIT)
    assert "these are my last words\n" in capfd.readouterr().err


def test_prints_go_to_the_log_and_not_into_the_answers(zoo: ChildRunner, capfd: pytest.CaptureFixture[str]) -> None:
    runner = ChildRunner(PLAN, settings=SETTINGS, name="printer")
    assert made(runner.apply("printing", given(1, 2), timeout=LIMIT)) == [(0, 1), (1, 2)]
    runner.close()
    out, err = capfd.readouterr()
    assert out == ""
    assert "[printer] printed 1\n" in err and "raw\n" in err and "native\n" in err


def test_resources_are_closed_with_it(journal: Path) -> None:
    runner = ChildRunner(PLAN, settings=SETTINGS, name="zoo")
    for _ in range(2):
        runner.apply("frame", given(1), timeout=LIMIT)
    runner.close()
    assert journal.read_text() == "opened\nclosed\n"


def test_secrets_of_penstock_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TOKEN", "secret")
    runner = ChildRunner(PLAN, settings=SETTINGS, name="zoo")
    assert made(runner.apply("secretive", given(1), timeout=LIMIT)) == [(0, 0)]
    runner.close()


def test_an_app_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found")
    plan = replace(PLAN, target=f"{tmp_path / 'broken.py'}:app")
    runner = ChildRunner(plan, settings=SETTINGS, name="zoo")
    for _ in range(2):
        with pytest.raises(TaskFailed, match="nowhere_to_be_found"):
            runner.apply("one", given(1), timeout=LIMIT)
    runner.close()


def test_an_app_whose_import_hangs(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)")
    plan = replace(PLAN, target=f"{tmp_path / 'slow.py'}:app")
    runner = ChildRunner(plan, settings=replace(SETTINGS, runner_start=1.0), name="zoo")
    with pytest.raises(RunnerDied, match="over its 1 s"):
        runner.apply("one", given(1), timeout=LIMIT)
    runner.close()


def test_a_model_that_hangs_or_crashes(scorer: ChildRunner, tmp_path: Path) -> None:
    hang = TWICE.replace("return", "while rows.height > 1: pass\n        return")
    crash = TWICE.replace("return", "import ctypes; rows.height > 1 and ctypes.string_at(0)\n        return")
    good = model(tmp_path, 2)
    for bad, timeout, said in (
        (model(tmp_path, 3, hang), SHORT, "over its"),
        (model(tmp_path, 4, crash), LIMIT, "SEGV"),
    ):
        scorer.predict(good, features(), timeout=LIMIT)
        with pytest.raises(RunnerDied, match=said):
            scorer.predict(bad, features(), timeout=timeout)
    assert scorer.predict(good, features(2), timeout=LIMIT).to_pydict() == {"y": [0.0, 2.0]}


SLOW_AT_FIRST = """
import time
import polars as pl

class Model:
    inputs = ["x"]
    asked = 0

    def predict(self, rows):
        self.asked += rows.height
        time.sleep(self.asked == 1)
        assert not (rows["x"] == 0).any(), "no answer for zeros"
        return rows.select(y=pl.col("x") * 2)
"""


def test_the_time_limit_of_a_call_is_for_its_rows(scorer: ChildRunner, tmp_path: Path) -> None:
    """A library's first answer takes longer than all after it: it is had before anybody waits, also after a death."""
    crash = TWICE.replace("return", "import os; rows.height > 1 and os._exit(3)\n        return")
    slow, crashing = model(tmp_path, 1, SLOW_AT_FIRST), model(tmp_path, 2, crash)
    one = pa.record_batch({"x": [1.0]})
    assert scorer.predict(slow, one, timeout=SHORT).to_pydict() == {"y": [2.0]}
    with pytest.raises(RunnerDied, match="status 3"):
        scorer.predict(crashing, features(2), timeout=LIMIT)
    assert scorer.predict(slow, one, timeout=SHORT).to_pydict() == {"y": [2.0]}


def test_a_model_that_hangs_while_it_is_loaded(tmp_path: Path) -> None:
    runner = ChildRunner(None, settings=replace(SETTINGS, runner_start=1.0), name="scorer")
    with pytest.raises(RunnerDied, match="over its 1 s"):
        runner.predict(model(tmp_path, 1, "while True: pass\nclass A:\n    predict = None"), features(), timeout=LIMIT)
    runner.close()


def test_idle_runners_and_descriptors_do_not_pile_up(zoo: ChildRunner) -> None:
    def held() -> int:
        return int(psutil.Process().num_fds())

    zoo.apply("one", given(1), timeout=LIMIT)
    before = held()
    for _ in range(3):
        with pytest.raises(RunnerDied):
            zoo.apply("quitting", given(13), timeout=LIMIT)
        zoo.apply("one", given(1), timeout=LIMIT)
    assert held() == before


def test_a_scorers_runner_imports_neither_polars_nor_a_model_library() -> None:
    code = "import sys, penstock.runner.main, penstock.models.runtimes.choose; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"polars", "lightgbm", "sklearn", "onnxruntime", "pandas"} & set(loaded)


@pytest.mark.skipif(not hasattr(psutil.Process, "memory_maps"), reason="this system does not tell what is loaded")
@pytest.mark.parametrize("stage", ["one", "listed", "frame", "arrow"])
def test_the_first_event_does_not_wait_for_imports_of_ours(stage: str) -> None:
    runner = ChildRunner(PLAN, settings=SETTINGS, name="fresh")
    try:
        runner.apply(stage, given(), timeout=LIMIT)
        (process,) = (p for p in psutil.Process().children() if p.cmdline()[-1] == "fresh")
        before = {library.path for library in process.memory_maps() if library.path.endswith(".so")}
        assert made(runner.apply(stage, given(5), timeout=LIMIT)) == [(0, 5)]
        assert {library.path for library in process.memory_maps() if library.path.endswith(".so")} == before
    finally:
        runner.close()
