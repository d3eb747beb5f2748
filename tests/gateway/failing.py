"""A gateway process on a real log whose disk can be made to fail: ``python failing.py FOLDER``.

Prints its port. While FOLDER/full exists there is no space; once FOLDER/broken exists an fsync has failed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from penstock.batch import SYSTEM, AppendResult, TopicSpec, Write
from penstock.clock import SystemClock
from penstock.errors import Busy, DiskFailed, LogFull
from penstock.gateway.server import serve
from penstock.gateway.services import GatewayServices
from penstock.log.embedded import EmbeddedLog
from penstock.models.artifacts import Artifacts
from penstock.plan.plan import Plan
from penstock.run.compose.bootstrap import open_registry
from penstock.run.supervisor.sockets import listen
from penstock.settings import Settings
from penstock.stages.ingest.group_commit import Ingest


class FailingLog(EmbeddedLog):
    folder: Path

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        if (self.folder / "full").exists():
            raise LogFull("no space is left: free some")
        spans = super().append(writes)
        if (self.folder / "broken").exists():
            raise DiskFailed("what is on disk is unknown")
        return spans


async def nobody(*_: object) -> tuple[pa.RecordBatch, str]:
    raise Busy("no worker is running yet")


def main(folder: Path) -> None:
    log, settings, clock = FailingLog(folder / "data"), Settings(), SystemClock()
    log.folder = folder
    topics = (TopicSpec("notes"),)
    for spec in (*topics, TopicSpec(SYSTEM, partitions=1)):
        log.create(spec)
    ingest = Ingest(log, topics, settings, clock, fatal=lambda: os._exit(1))
    registry = open_registry(log, clock, "view")
    plan = Plan(app="a", target="", code="c", topics=topics)
    artifacts = Artifacts(folder / "artifacts")
    services = GatewayServices(
        plan, log, ingest, registry, artifacts, nobody, folder, folder / "token", settings, clock
    )
    listening = listen("127.0.0.1", 0)
    serve(services, listening, threading.Event(), lambda: print(listening.getsockname()[1], flush=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
