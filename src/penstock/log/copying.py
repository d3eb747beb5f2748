"""A copy of the log's file as it was at one moment, taken while processes go on writing it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from .processes.directory import sync_folder
from .sqlite.store.tables import FILE, connect, read_state
from .sqlite.store.transaction import translated

PAGES = 2_048  # copied between two calls of ``progress``


def copy(directory: Path, to: Path, progress: Callable[[int, int], None] = lambda _done, _all: None) -> None:
    """Into ``to``, a folder without a log. ``progress``: pages copied, and all.

    One read transaction from the first page to the last, so it is one moment's; writers do not wait for it.
    Raises ``LogFull`` and ``LogUnusable``, and leaves nothing behind then.
    """
    partial = to / f"{FILE}.partial"
    try:
        with (
            translated(directory / FILE),
            closing(connect(directory / FILE, readonly=True)) as source,
            closing(apsw.Connection(str(partial))) as target,
        ):
            source.execute("BEGIN")
            read_state(source)  # the moment
            with target.backup("main", source, "main") as pages:
                while not pages.done:
                    pages.step(PAGES)
                    progress(pages.page_count - pages.remaining, pages.page_count)
        partial.rename(to / FILE)
        sync_folder(to)
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            (to / f"{partial.name}{suffix}").unlink(missing_ok=True)
