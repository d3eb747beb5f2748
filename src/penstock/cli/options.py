"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[str, typer.Argument(metavar="APP", help="app.py, app.py:variable or module:variable.")]
Data = Annotated[Path, typer.Option(help="The directory that holds everything.", envvar="PENSTOCK_DATA")]
Url = Annotated[str, typer.Option(help="A running Penstock.", envvar="PENSTOCK_URL")]
Json = Annotated[bool, typer.Option("--json", help="JSON, one object a line, for machines.")]

DATA = Path(".penstock")
URL = "http://127.0.0.1:8000"
