"""`migrate`: everything from one log to another, and the two compared."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DATA, Data, Json
from .serve import Artifacts

if TYPE_CHECKING:
    from ..migrate.comparing import Difference

Source = Annotated[str, typer.Option("--from", help="sqlite:DIR or kafka://HOST:PORT[,HOST:PORT…]\\[/NAMESPACE].")]
Goal = Annotated[str, typer.Option("--to", help="The same; an empty one, or one that was interrupted.")]


def migrate(source: Source, target: Goal, data: Data = DATA, artifacts: Artifacts = "", as_json: Json = False) -> None:
    """Copy topics, events, groups' positions, models and dead letters to another log, and compare both.

    Stop every run on both first. Interrupted and run again it goes on; nothing is copied twice. --artifacts and --data
    are those of the runs on kafka://; sqlite:DIR has the models' files itself. Afterwards: `penstock run APP --log`
    with the URL given to --to. Exit code 1 when the two differ.
    """
    from ..migrate.logs import migrate_urls
    from .show import rows

    found = migrate_urls(source, target, data, artifacts, _step)
    shown = [{n: getattr(line, n) for n in ("what", "name", "source", "target", "same")} for line in found]
    rows("comparison", ["what", "name", "source", "target", "same"], shown, as_json=as_json)
    if not as_json:
        _conclude(found)
    if not all(line.same for line in found):
        raise typer.Exit(1)


def _step(title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    from .show import progress

    return progress(title, total if sys.stderr.isatty() else None)


def _conclude(found: list[Difference]) -> None:
    different = [line for line in found if not line.same]
    if not different:
        print("both logs hold the same")
        return
    print(f"{len(different)} of {len(found)} lines differ:", file=sys.stderr)
    for line in different:
        print(f"{line.what} {line.name}: {line.source} against {line.target}", file=sys.stderr)
