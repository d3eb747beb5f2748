"""How answers are printed: a table for people, one JSON object a line for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


def rows(title: str, columns: Sequence[str], found: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    """``columns`` name what the table shows, in order; JSON shows everything."""
    if as_json:
        lines(found)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name.replace("_", " "), overflow="fold")
    for entry in found:
        table.add_row(*(_cell(entry.get(name)) for name in columns))
    # Into a pipe or a file no line is broken: there is no screen it must fit on.
    width = None if sys.stdout.isatty() else 500
    Console(width=width).print(table if table.row_count else f"no {title}")


def lines(found: Iterable[Mapping[str, Any]]) -> None:
    for entry in found:
        sys.stdout.write(json.dumps(entry, default=str, ensure_ascii=not _takes_unicode()) + "\n")
        sys.stdout.flush()


def _takes_unicode() -> bool:
    """Text as it is, where what reads it can: a terminal or a file in another encoding gets escapes."""
    return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf8sig")


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, moved by calls with how much was done; no bar when ``total`` is None."""
    if total is None:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
