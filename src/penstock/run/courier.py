"""``python -m penstock.run.courier DATA NAME LOG SLOT ONLY CATCHER TRUSTED``: what goes outside, a thread a topic.

A process of its own: it alone speaks to other people's machines, and knows the secrets that requests are signed with.
With ONLY it is the one process of a run without doors and workers, and looks at the log as a gateway does. With
CATCHER, the address of a gateway of the same run, all of it goes there and nowhere else; TRUSTED is its certificate,
where it speaks TLS.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Thread

from .directory import DataDirectory
from .process import ChildProcess, do_without_pandas, ended_by_failure, explained, mark_of
from .worker import work


def main(
    data: Path, name: str, url: str = "", slot: str = "", only: str = "", catcher: str = "", trusted: str = ""
) -> None:
    process = ChildProcess(
        name, DataDirectory(data)
    )  # before the heavy imports: it must not outlive its parent meanwhile
    do_without_pandas()
    from ..clock import SystemClock
    from ..destinations.webhook.courier import Courier
    from ..errors import CannotStart, DeclarationError, LogRefused
    from ..plan.codec import plan_from_bytes
    from ..plan.places import located
    from ..settings import Settings
    from .compose.backends import open_log
    from .compose.deliveries import CourierComposition
    from .compose.delivery_watch import DeliveryWatch
    from .compose.lookout import Lookout

    plan = located(plan_from_bytes(process.plan()), process.folder)
    settings, clock = Settings.from_env(), SystemClock()
    with explained(LogRefused, CannotStart, DeclarationError):
        log = open_log(process.directory, clock, settings, url, slot)
        courier = None
        if catcher or plan.delivers:
            needed = catcher or not plan.subscriptions or any(spec.url is not None for spec in plan.subscriptions)
            try:
                courier = Courier(clock)
            except CannotStart:  # a webhook that is put at run time is told that it cannot be sent
                if needed:
                    raise
        member = f"{name}.{mark_of(slot)}" if url else name
        open_lane = None if courier is None else courier.open
        deliveries = CourierComposition(plan, log, clock, settings, member, open_lane, catcher, trusted)
    lookout = None
    if only:
        process.take_over_notices()
        lookout = Lookout(log, deliveries.registry, plan, clock, mark_of(slot))
    watch = DeliveryWatch(deliveries, clock, process.directory.status / f"{name}.deliveries")
    threads = [
        Thread(target=deliveries.keep_halted, args=(process.stop,), name="halted"),
        Thread(target=watch.run, args=(process.stop,), name="watch"),
    ]
    if plan.delivers:
        threads.append(Thread(target=deliveries.handshakes().run, args=(process.stop,), name="handshakes"))
    for thread in threads:
        thread.start()
    beside = deliveries.run_time.threads  # to which others come
    beside += [*threads, *deliveries.threads, *([] if courier is None else [courier.thread])]
    work(process, deliveries, lookout, beside, lambda: deliveries.run_time.go(process.stop))
    for thread in (*threads, *deliveries.run_time.routing):
        thread.join()
    if any(line.pump.failed for line in deliveries.lines):  # of those that came while it ran
        os._exit(1)
    if courier is not None:
        if courier.failed:  # while it drained
            os._exit(1)
        courier.close()
    deliveries.close()
    log.close()


if __name__ == "__main__":
    with ended_by_failure():
        main(Path(sys.argv[1]), *sys.argv[2:])
