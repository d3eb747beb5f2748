"""What the doors lead to: given to each of them by the composition root, never looked up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import Protocol

import pyarrow as pa

from ..clock import Clock
from ..declare.plan import Plan
from ..errors import NotFound
from ..log.interface import Log, LogInspection, Offsets
from ..models.artifacts import Artifacts
from ..models.registry import Registry
from ..settings import Settings
from ..stages.ingest.group_commit import Ingest
from .wait.arrivals import Arrivals
from .wire.pages import Shelf

READERS = 32  # threads that read the log for requests; beyond them requests wait their turn
ANSWERS_BYTES = 64 << 20  # of what is read of topics, over all readers: being made, or not yet taken by them

Ask = Callable[[str, pa.RecordBatch], Awaitable[tuple[pa.RecordBatch, str]]]
"""Have a worker score rows with the named model: its outputs, and the ``name/version`` that made them."""


class ObservedLog(Log, LogInspection, Offsets, Protocol):
    """A log that can also be looked at."""


@dataclass(frozen=True)
class GatewayServices:
    plan: Plan
    log: ObservedLog
    ingest: Ingest
    registry: Registry
    artifacts: Artifacts
    ask: Ask
    status: Path  # the folder of status files, one a process
    token: Path  # the file of the secret that has code taken, see ``tokens``
    settings: Settings
    clock: Clock
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READERS, "door"))
    decoding: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "large-bodies"))
    """Of large bodies one is read at a time: what one may take in memory is then taken once."""
    health: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "health"))
    """Whether the gateway works is asked of it when others keep all its readers busy, and then most of all."""

    letters: Lock = field(default_factory=Lock)  # held by whoever looks after the dead letters
    pages: Lock = field(default_factory=Lock)
    """Held by whoever reads a page and writes it: all other threads wait for one then, not for as many as there are."""

    arrivals: Arrivals = field(init=False)
    shelf: Shelf = field(default_factory=lambda: Shelf(ANSWERS_BYTES))

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrivals", Arrivals(self.log, self.threads))

    def close(self) -> None:
        for threads in (self.threads, self.decoding, self.health):
            threads.shutdown(cancel_futures=True)


def unknown(kind: str, name: str, known: list[str]) -> NotFound:
    """What to raise for a name that is not there: it says which names are near."""
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"there are: {', '.join(known) or 'none'}"
    return NotFound(f"there is no {kind} '{name[:200]}'; {hint}")
