"""``penstock demo`` and ``penstock bench``: real flights, and the measured figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import CannotStart, install


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="A new directory to keep the data in; else a temporary one.")
    ] = None,
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 0,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Score the real flights that left New York in late 2013, and swap the model half-way."""
    from ..demo.main import run

    run(directory=data, keep=keep, port=port, workers=workers, as_json=as_json)


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Two short runs each, and smaller scales.")] = False,
    only: Annotated[str, typer.Option(help="One part: flow, singles, latency, start, deliveries or growth.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the figures to this file, as JSON.")] = None,
) -> None:
    """Measure this machine: every figure as a ratio to a hand-written batched loop, in one run."""
    try:
        from ..bench.report import PARTS, run
    except ModuleNotFoundError as error:
        raise CannotStart(f"the bench needs {error.name}: {install('demo')}") from None
    if only and only not in PARTS:
        raise CannotStart(f"--only {only}: there are {', '.join(PARTS)}")
    run(quick=quick, only=only, out=out)
