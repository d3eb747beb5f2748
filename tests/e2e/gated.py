"""An app whose stage ``dawdle`` stays in its call until it is told to go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.e2e import steps

STAGE = """

import pathlib
import time

late = app.topic("late", Step, key="key", partitions=4)


@app.on(steps, to=late, timeout="5m")
def dawdle(rows: pl.DataFrame) -> pl.DataFrame:
    if rows.height:
        pathlib.Path({begun!r}).touch()
        while not pathlib.Path({go!r}).exists():
            time.sleep(0.05)
    return rows
"""


@dataclass
class Gated:
    """``begun`` is there once a call with rows has begun; touch ``go`` to let it end."""

    app: Path
    begun: Path
    go: Path


def gated(folder: Path) -> Gated:
    made = Gated(*(folder / name for name in ("app.py", "begun", "go")))
    made.app.write_text(steps.APP.read_text() + STAGE.format(begun=str(made.begun), go=str(made.go)))
    return made
