"""``python -m penstock.run.gateway DATA FD LOG ARTIFACTS SLOT ONLY CATCH ACCESS TLS…``: the doors, on the
supervisor's socket.

With CATCH webhooks are caught here, and those that the gateway before has caught are kept. TLS is what ``TLSFiles`` is
made of; without it the doors speak in plain.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from ..notices import notices
from .descriptors import make_room
from .directory import DataDirectory
from .process import (
    HEARTBEAT_S,
    ChildProcess,
    StageStatus,
    do_without_pandas,
    ended_by_failure,
    explained,
    make_before_the_first_event,
    mark_of,
)

if TYPE_CHECKING:
    from ..settings import Settings
    from .compose.lookout import Lookout

LOG = "penstock.log"  # what a gateway calls its log where processes say how their stages are


def main(
    data: Path,
    fd: int,
    url: str = "",
    artifacts: str = "",
    slot: str = "",
    only: str = "",
    catch: str = "",
    access: str = "",
    *tls: str,
) -> None:
    process = ChildProcess("gateway", DataDirectory(data))  # before the heavy imports: nothing must outlive its parent
    do_without_pandas()
    from ..access.admin import admin_key_from_env
    from ..access.sas import secret_from_env
    from ..clock import SystemClock
    from ..errors import CannotStart, LogRefused
    from ..gateway.catching.catcher import Catcher
    from ..gateway.server import serve
    from ..gateway.services import GatewayServices
    from ..gateway.tls.certificates import TLSFiles
    from ..gateway.tls.renewal import Certificates
    from ..gateway.workers import Workers
    from ..plan.codec import plan_from_bytes
    from ..settings import Settings
    from ..stages.ingest.group_commit import Ingest
    from .compose.backends import open_artifacts, open_log
    from .compose.bootstrap import open_registry
    from .compose.guard import Guard, opened_audit, opened_tokens
    from .compose.lookout import Lookout

    plan = plan_from_bytes(process.plan())
    elsewhere = bool(only)
    settings, clock, directory = fitted(Settings.from_env()), SystemClock(), process.directory
    with explained(LogRefused, CannotStart):
        certificates = None if (files := TLSFiles.given(*tls)) is None else Certificates(files, clock)
        log = open_log(directory, clock, settings, url, slot)
    services = GatewayServices(
        plan,
        log,
        Ingest(log, plan.topics, settings, clock, fatal=lambda: os._exit(1)),
        open_registry(log, clock, "gateway"),
        open_artifacts(directory, artifacts, several_hosts=bool(url), limit=settings.artifact_limit),
        Workers(directory.sockets, elsewhere=elsewhere).ask,
        directory.status,
        directory.token,
        settings,
        clock,
        elsewhere,
        Catcher(plan, os.environ) if catch else None,
        opened_audit(log, clock, slot) if access else None,
        opened_tokens(clock) if access else None,
        secret_from_env() if access else b"",
    )
    if services.catcher is not None:
        with suppress(OSError, ValueError):  # there is none, or what could not be written whole
            services.catcher.restore(directory.caught.read_bytes())
    process.take_over_notices()
    lookout = Lookout(log, services.registry, plan, clock, mark_of(slot), elsewhere=elsewhere)
    # Two threads: a process that says nothing while the brokers take long to answer is taken for a sick one.
    threads = [
        Thread(target=report, args=(process, lookout), name="report"),
        Thread(target=lookout.run, args=(process.stop,), name="lookout"),
    ]
    if certificates is not None:
        threads.append(Thread(target=certificates.run, args=(process.stop,), name="certificates"))

    if services.audit is not None:
        guard = Guard(services.registry, services.audit, clock, admin_key_from_env())
        guard.look()  # before the first request: no key that there is is refused
        threads.append(Thread(target=guard.run, args=(process.stop,), name="guard"))
    make_before_the_first_event()

    def ready() -> None:
        for thread in threads:
            thread.start()

    serve(services, socket.socket(fileno=fd), process.stop, ready, certificates)
    for thread in threads:
        thread.join()
    if services.catcher is not None:
        with suppress(OSError):  # no space is left: the next one begins without
            directory.caught.write_bytes(services.catcher.save())
    if services.tokens is not None:
        services.tokens.close()
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


def report(process: ChildProcess, lookout: Lookout) -> None:
    """Until told to stop: that this process lives, and whether its log answers."""
    wait = 0.0
    while not process.stop.wait(wait):
        process.report({LOG: StageStatus(False, lookout.why)} if lookout.why else {})
        wait = HEARTBEAT_S


if __name__ == "__main__":
    with ended_by_failure():
        main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
