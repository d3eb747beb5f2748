"""What the doors lead to, made by the composition root. Each door says what it needs of it, and sees no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from ..access.audit import Audit
from ..clock import Clock
from ..log.interface import ObservedLog
from ..models.artifacts import Artifacts
from ..models.registry import Registry
from ..plan.plan import Plan
from ..settings import Settings
from ..stages.ingest.group_commit import Ingest
from .catching.catcher import Catcher
from .domains import DomainTopics
from .wait.arrivals import Arrivals
from .wait.followers import Followers
from .wire.pages import Shelf

if TYPE_CHECKING:
    from ..access.oidc.tokens import Tokens

READERS = 32  # threads that read the log for requests; beyond them requests wait their turn
ANSWERS_BYTES = 64 << 20  # of what is read of topics, over all readers: being made, or not yet taken by them

Ask = Callable[[str, pa.RecordBatch], Awaitable[tuple[pa.RecordBatch, str]]]
"""Have a worker score rows with the named model: its outputs, and the ``name/version`` that made them."""


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
    elsewhere: bool = False  # stages are run by other hosts alone
    catcher: Catcher | None = None  # None: webhooks are sent for real
    audit: Audit | None = None  # None: nobody is asked who he is, so nobody can be named
    tokens: Tokens | None = None  # of the issuer that is believed beside the keys
    sas_secret: bytes = field(default=b"", repr=False)  # what keys that sign are derived from; empty: none is
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READERS, "door"))
    decoding: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "large-bodies"))
    """Of large bodies one is read at a time: what one may take in memory is then taken once."""
    health: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "health"))
    """Whether the gateway works is asked of it when others keep all its readers busy, and then most of all."""

    letters: Lock = field(default_factory=Lock)  # held by whoever looks after the dead letters
    pages: Lock = field(default_factory=Lock)
    """Held by whoever reads a page and writes it: all other threads wait for one then, not for as many as there are."""

    arrivals: Arrivals = field(init=False)
    followers: Followers = field(init=False)
    domain_topics: DomainTopics = field(init=False)
    shelf: Shelf = field(default_factory=lambda: Shelf(ANSWERS_BYTES))

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrivals", Arrivals(self.log, self.threads))
        object.__setattr__(self, "followers", Followers(self.log, self.plan, self.threads))
        topics = DomainTopics(self.plan, self.log, self.registry.view, self.clock, self.threads)
        object.__setattr__(self, "domain_topics", topics)

    def close(self) -> None:
        for threads in (self.threads, self.decoding, self.health):
            threads.shutdown(cancel_futures=True)
