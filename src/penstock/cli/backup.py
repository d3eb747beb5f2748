"""`backup`: a copy of the data directory, while it is in use or not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import DATA, Data

To = Annotated[Path, typer.Argument(metavar="TO", help="A new directory for the copy.")]


def backup(to: To, data: Data = DATA) -> None:
    """Copy the log, as of one moment, and the models into a new directory; a run goes on meanwhile.

    To go back: stop the run, and start it with --data and the copy, or put the copy where the directory was.
    """
    from ..run.backup import backup as copy
    from .show import progress

    with progress("pages copied", 100 if sys.stderr.isatty() else None) as step:
        told = 0

        def moved(done: int, everything: int) -> None:
            nonlocal told
            percent = 100 * done // max(everything, 1)
            step(percent - told)
            told = percent

        size = copy(data, to, moved)
    print(f"{size:,} bytes copied to {to}")
