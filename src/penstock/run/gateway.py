"""``python -m penstock.run.gateway DATA FD LOG ARTIFACTS SLOT``: the doors, on the supervisor's socket."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from ..notices import notices
from .descriptors import make_room
from .directory import DataDirectory
from .process import HEARTBEAT_S, ChildProcess, StageStatus, do_without_pandas, explained, make_before_the_first_event

if TYPE_CHECKING:
    from ..gateway.services import GatewayServices
    from ..settings import Settings
    from .compose.gauges import Gauges

LOG = "penstock.log"  # what a gateway calls its log where processes say how their stages are
GAUGES_S = 5.0  # seconds between two looks at what is not counted but looked up
SHARE = 0.01  # of a core that those looks may cost


def main(data: Path, fd: int, url: str = "", artifacts: str = "", slot: str = "") -> None:
    process = ChildProcess("gateway", DataDirectory(data))  # before the heavy imports: nothing must outlive its parent
    do_without_pandas()
    from ..clock import SystemClock
    from ..errors import LogRefused
    from ..gateway.server import serve
    from ..gateway.services import GatewayServices
    from ..gateway.workers import Workers
    from ..plan.codec import plan_from_bytes
    from ..settings import Settings
    from ..stages.ingest.group_commit import Ingest
    from .compose.backends import open_artifacts, open_log
    from .compose.bootstrap import open_registry
    from .compose.gauges import Gauges

    plan = plan_from_bytes(process.plan())
    settings, clock, directory = fitted(Settings.from_env()), SystemClock(), process.directory
    with explained(LogRefused):
        log = open_log(directory, clock, settings, url, slot)
    services = GatewayServices(
        plan,
        log,
        Ingest(log, plan.topics, settings, clock, fatal=lambda: os._exit(1)),
        open_registry(log, clock, "gateway"),
        open_artifacts(directory, artifacts, several_hosts=bool(url), limit=settings.artifact_limit),
        Workers(directory.sockets).ask,
        directory.status,
        directory.token,
        settings,
        clock,
    )
    process.take_over_notices()
    gauges = Gauges(log, services.registry, clock)
    # Two threads: brokers may take long to answer, and a process that says nothing is taken for a sick one.
    threads = [
        Thread(target=target, args=(process, gauges, services), name=target.__name__) for target in (report, gauge)
    ]

    make_before_the_first_event()

    def ready() -> None:
        for thread in threads:
            thread.start()

    serve(services, socket.socket(fileno=fd), process.stop, ready=ready)
    for thread in threads:
        thread.join()
    services.registry.close()
    log.close()


def fitted(settings: Settings) -> Settings:
    """With no more connections than open files are allowed for."""
    fits = make_room(settings.connection_limit)
    if fits < settings.connection_limit:
        notices().tell(
            "descriptors",
            f"{fits} connections are served at once, not {settings.connection_limit}: no more files may be open",
            mend="raise the limit (`ulimit -n`)",
        )
    return replace(settings, connection_limit=fits)


def report(process: ChildProcess, gauges: Gauges, services: GatewayServices) -> None:
    """Until told to stop: that this process lives, and whether its log answers."""
    wait = 0.0
    while not process.stop.wait(wait):
        process.report({LOG: StageStatus(False, gauges.why)} if gauges.why else {})
        wait = HEARTBEAT_S


def gauge(process: ChildProcess, gauges: Gauges, services: GatewayServices) -> None:
    """Until told to stop: what only a look at the log can tell."""
    from ..notices import notices
    from ..system.owner import Reminder
    from .compose.bundled import settle

    wait, reminder = 0.0, Reminder(services.log, services.registry.view, services.clock)
    while not process.stop.wait(wait):
        began = services.clock.monotonic()
        gauges.look()
        if not gauges.why:
            reminder.look()
        settle(services.plan.models, services.registry, notices())
        # With very many groups a look is dear; then it is taken less often.
        wait = GAUGES_S if gauges.why else max(GAUGES_S, (services.clock.monotonic() - began) / SHARE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
