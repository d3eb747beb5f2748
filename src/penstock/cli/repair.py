"""`repair`: a damaged data directory made usable again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json

if TYPE_CHECKING:
    from ..log.repair import Repair

Damaged = Annotated[Path, typer.Argument(metavar="DIR", help="The data directory, with nothing running on it.")]


def repair(directory: Damaged, as_json: Json = False) -> None:
    """Save what can be saved of a damaged log, and say what is lost; the damaged files are kept."""
    from ..run.repair import repair as mend
    from .show import lines, progress

    with progress("bytes saved", _size(directory) if sys.stderr.isatty() else None) as step:
        done = mend(directory, step)
    if as_json:
        losses = [{n: getattr(loss, n) for n in ("topic", "partition", "first", "last")} for loss in done.losses]
        lines([{"events": done.events, "losses": losses, "notes": done.notes, "kept": str(done.kept)}])
    else:
        _tell(done)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("log.db*"))


def _tell(done: Repair) -> None:
    lost = sum(loss.last - loss.first + 1 for loss in done.losses)
    print(f"{done.events:,} events saved, {lost:,} lost")
    for loss in done.losses:
        print(f"lost: {loss.topic}/{loss.partition}, offsets {loss.first} to {loss.last}")
    for note in done.notes:
        print(f"note: {note}")
    print(f"the damaged files are in {done.kept}; remove them when nothing of them is needed any more")
