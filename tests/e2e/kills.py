"""Each role of a run killed again and again while steps flow, and how long it takes until all works again."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.e2e import rig, steps
from tests.ports import free_port

BACK = 5.0  # seconds in which everything works again, on an idle machine
CHILDREN = ("gateway", "worker", "runner")
ROLES = (*CHILDREN, "supervisor")


def slowness() -> float:
    """How much longer things take here than on an idle machine."""
    return max(2.0, os.getloadavg()[0] / (os.cpu_count() or 1) * 3)


@dataclass(frozen=True, slots=True)
class Kill:
    """Seconds from the SIGKILL until the successor was ready, and until events came through every partition again."""

    ready: float
    works: float
    allowed: float


@dataclass
class Toll:
    """What was killed in a run, by role."""

    kills: dict[str, list[Kill]] = field(default_factory=lambda: {role: [] for role in ROLES})

    def __len__(self) -> int:
        return sum(map(len, self.kills.values()))

    def table(self) -> str:
        rows = [f"{'killed, back':<14}{'times':>6}{'ready: median':>15}{'worst':>9}{'works: median':>15}{'worst':>9}"]
        for role, kills in self.kills.items():
            if kills:
                times = [kill.ready for kill in kills], [kill.works for kill in kills]
                shown = "".join(f"{median(t):>13.2f} s{max(t):>7.2f} s" for t in times)
                rows.append(f"{role:<14}{len(kills):>6}{shown}")
        return "\n".join(rows)

    def assert_in_time(self) -> None:
        late = {role: [kill for kill in kills if kill.works > kill.allowed] for role, kills in self.kills.items()}
        assert not any(late.values()), late


@dataclass
class Killer:
    """Kills in a run of the steps app at ``url``. Each kill waits for what comes back before it returns."""

    url: str
    directory: Path
    rng: random.Random
    toll: Toll = field(default_factory=Toll)

    def kill(self, running: rig.Rig, role: str) -> None:
        time.sleep(self.rng.uniform(0.0, 0.4))
        before, began = self._reported(), time.monotonic()
        while (victim := running.kill(role, self.rng)) is None:
            assert time.monotonic() - began < rig.PATIENCE, f"no {role} is left"
        names = [name for name, pid in before.items() if pid == victim]
        assert rig.eventually(lambda: victim not in map(self._reported().get, names)), f"{names} did not come back"
        self._note(role, began, time.monotonic() - began)

    def restarted(self, began: float) -> None:
        """The supervisor was killed then, and the run that took its place has said that it is ready."""
        self._note("supervisor", began, time.monotonic() - began)

    def _note(self, role: str, began: float, ready: float) -> None:
        steps.probe(self.url, len(self.toll))
        works = time.monotonic() - began
        # A runner reports to nobody: it is ready when events come through.
        self.toll.kills[role].append(Kill(works if role == "runner" else ready, works, BACK * slowness()))

    def _reported(self) -> Mapping[str, int]:
        """Of the gateway and the workers, by name, the process that last said that it is ready."""
        found = {}
        for path in (self.directory / "run" / "status").glob("[!.]*.json"):
            found[path.stem] = int(json.loads(path.read_text())["pid"])
        return found


def kill_all(directory: Path, lives: int, rounds: int = 1, *, pause: float = 0.01, seconds: float = 600.0) -> Toll:
    """In each life every child role ``rounds`` times, in any order; between two lives the supervisor.

    Stops early when the time is up. What is left in the log is judged, and the tables are printed.
    """
    url = f"http://127.0.0.1:{free_port()}"
    killer, until = Killer(url, directory, random.Random(lives)), time.monotonic() + seconds
    died: float | None = None
    with steps.load(url, pause=pause) as publishers:
        for life in range(lives + 1):
            last = life == lives or time.monotonic() > until
            with one_life(url, directory) as running:
                if died is not None:
                    killer.restarted(died)
                if last:
                    for publisher in publishers:
                        publisher.stop.set()
                    assert rig.eventually(lambda: steps.drained(url, 1)), "what was accepted never came out"
                    assert running.stop() == 0
                    break
                roles = list(CHILDREN * rounds)
                killer.rng.shuffle(roles)
                for role in roles:
                    killer.kill(running, role)
                time.sleep(killer.rng.uniform(0.0, 0.4))
                died = time.monotonic()
                running.process.kill()
                running.process.wait()
            if life % 10 == 9:
                said = sum(publisher.done for publisher in publishers) * steps.SIZE
                print(f"{life + 1} lives, {len(killer.toll)} kills, {said} steps, load {os.getloadavg()[0]:.1f}")
                print(killer.toll.table(), flush=True)
    print(killer.toll.table(), flush=True)
    stored = steps.judge(directory, publishers)
    accepted = sum(publisher.done for publisher in publishers) * steps.SIZE
    print(f"{stored.height} steps stored, {accepted} acknowledged of those; 0 lost, 0 handled twice, order kept")
    killer.toll.assert_in_time()
    return killer.toll


@contextmanager
def one_life(url: str, directory: Path) -> Iterator[rig.Rig]:
    # With its bytecode kept, as an installed package has it.
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    with rig.running(steps.APP, directory, workers=2, port=int(url.rpartition(":")[2]), env=env) as running:
        yield running
