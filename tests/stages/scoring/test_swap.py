"""A model replaced with real children: what its loading does to a process, it does beside the one that scores."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.stages.stack import Stack, eventually, stack

from penstock.batch import SYSTEM, Write
from penstock.models.messages import MoveAlias, Register
from penstock.run.compose import stages as composed
from penstock.settings import Settings
from penstock.stages.scoring.deployment import Deployment, Standing
from penstock.stages.scoring.loading import at_once
from penstock.stages.scoring.slots import Slots
from penstock.system.messages import to_rows

APP = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("swap")

@dataclass
class Row:
    x: float

@dataclass
class Answer:
    x: float
    y: float

rows = app.topic("rows", Row, partitions=1)
answers = app.topic("answers", Answer, partitions=1)
app.score(rows, app.model("m", outputs=["y"], inputs=["x"]), to=answers, keep=["x"])
"""
MODEL = """
import ctypes, os, time
from pathlib import Path
import polars as pl

class Times:
    inputs = ["x"]
    def __init__(self):
        if Path("{flag}").exists():
            {body}
    def predict(self, rows):
        return rows.select(y=pl.col("x") * {version}.0)
"""
CRASHES, HANGS, EATS = "ctypes.string_at(0)", "time.sleep(3_600)", "time.sleep(60 * bool(bytearray(1 << 30)))"


class House:
    """Versions that load well when they are registered, and badly once the flag is there."""

    def __init__(self, built: Stack, folder: Path) -> None:
        self.built, self.flag, self.nth, self.published = built, folder / "flag", 0, 0
        self.line = built.line("answers")

    def register(self, *bodies: str) -> None:
        for version, body in enumerate(bodies, 1):
            text = MODEL.format(flag=self.flag, body=body, version=version).encode()
            trust = f"sha256:{hashlib.sha256(text).hexdigest()}"
            digest = self.built.composition.artifacts.put(text)
            self.ask(Register(id=f"r{version}", name="m", digest=digest, outputs=("y",), inputs=("x",), trust=trust))

    def promote(self, version: int) -> None:
        self.nth += 1
        self.ask(MoveAlias(id=f"p{self.nth}", model="m", alias="champion", version=version))

    def ask(self, command: Register | MoveAlias) -> None:
        self.built.log.append([Write(SYSTEM, 0, to_rows([command]))])
        self.built.composition.registry.wait_for(command.id, 60.0)

    def score(self) -> int:
        """The version that answers for one more row."""
        self.published += 1
        self.built.publish("rows", {"x": [1.0]})
        return int(self.built.wait_for("answers", self.published)[-1]["y"])

    def until(self, version: int) -> set[int]:
        """Score until that version does; all that did meanwhile."""
        seen: set[int] = set()

        def done() -> bool:
            seen.add(last := self.score())
            return last == version

        eventually(done)
        return seen

    def goes_on(self, says: str) -> bool:
        """Version 1 scores a row; and has the stage said by then why the next one does not?"""
        assert self.score() == 1
        standing = self.line.standing()
        assert standing.version == "m/1" and self.line.pump.status.ready
        return standing.failed and says in standing.behind


def small(folder: Path) -> Any:
    return stack(folder, APP, settings=Settings(runner_start=10.0, runner_memory=700 << 20))


def scorers() -> set[int]:
    """The runners that there are."""
    found: set[int] = set()
    for process in psutil.Process().children():
        with suppress(psutil.Error):  # one that has just died
            if process.cmdline()[-1:] == ["answers"]:
                found.add(process.pid)
    return found


@pytest.mark.parametrize(
    ("body", "says"),
    [(CRASHES, "SIGSEGV"), (HANGS, "over its 10 s"), (EATS, "limit is 700 MiB"), ("1 / 0", "division")],
)
def test_a_load_that_harms_its_process_does_not_harm_the_version_that_scores(
    tmp_path: Path, body: str, says: str
) -> None:
    unharmed(tmp_path, body, says)


def unharmed(folder: Path, body: str, says: str) -> None:
    with small(folder) as built:
        house = House(built, folder)
        house.register("pass", body)
        assert house.score() == 1
        before = scorers()
        house.flag.touch()
        house.promote(2)
        eventually(lambda: house.goes_on(says))
        assert before <= scorers(), "the runner that scores has died"
        house.flag.unlink()
        assert house.until(2) <= {1, 2} and house.line.standing() == Standing("m/2")
        assert built.rows("penstock.dead") == []


def test_a_load_that_hangs_makes_way_for_a_later_promotion_and_for_the_end(tmp_path: Path) -> None:
    with small(tmp_path) as built:
        house = House(built, tmp_path)
        house.register("pass", HANGS, "pass", HANGS)
        assert house.score() == 1
        house.flag.touch()
        house.promote(2)
        eventually(lambda: house.score() == 1 and len(scorers()) == 2)
        house.promote(3)
        assert house.until(3) <= {1, 3}
        house.promote(4)
        assert house.score() == 3
        eventually(lambda: len(scorers()) == 2)
    eventually(lambda: not scorers())


def test_mutant_it_is_loaded_where_it_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was: one runner for both, and whoever scores next waits for the load."""

    monkeypatch.setattr(composed, "Slots", lambda runners, *given, **named: Slots([runners[0]] * 2, *given, **named))
    monkeypatch.setattr(
        composed, "Deployment", lambda *given, **named: Deployment(*given, **(named | {"background": at_once}))
    )
    with pytest.raises(AssertionError, match="has died"):
        unharmed(tmp_path, CRASHES, "SIGSEGV")
