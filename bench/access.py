"""What access costs: ``python -m bench.access``.

CPU of an event door to door, scored and durable, with access on and with it off: two runs side by side, of which one
works and then the other, again and again, so that each ratio is of two neighbours. CPU microseconds of one process to
say who asks, with one key and with 100,000; a process that starts with 100,000 keys behind it and as many puts of
subscriptions, beside one with one of each, as ``bench.system`` starts them; and the time from a key's end on one
process to its refusal by doors of another, on one embedded log.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

import psutil

from penstock.access import keys
from penstock.access.issuing import issue, revoke
from penstock.access.state import KeyCreated, KeyState
from penstock.batch import SNAPSHOTS, SYSTEM, Write
from penstock.bench import events
from penstock.bench.figures import APP, send_all
from penstock.bench.stack import Stack, stack
from penstock.clock import SystemClock
from penstock.errors import Unauthorized
from penstock.gateway.access import AccessAdmission
from penstock.log.embedded import EmbeddedLog
from penstock.plan.run_time import PrivateParts, RunTimeSubscription
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, every_area, open_registry
from penstock.run.compose.guard import Guard, opened_audit
from penstock.run.keys import opened
from penstock.stages.deliver.run_time.messages import SubscriptionPut
from penstock.system.messages import to_rows
from penstock.system.owner import snapshot
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.system.view import View

MANY = 100_000
MOST = 10_000  # subscriptions that there may be at once
CALLS, RUNS = 20_000, 5
ENDS = 20  # keys that are revoked
AT_ONCE = 5_000
MIB = 1 << 20
EVENTS = 100_000  # of which the bodies are made
TURNS = 15  # of either
ALLOW = "append:departures,read:departures,read:delays"
PASSES = {  # by the events of a body: how many bodies a turn has, over how many connections, and what it must cost
    1_000: (300, 8, 1.03),
    1: (20_000, 200, 1.10),
}

STARTED = """
import sys
from pathlib import Path
import penstock.gateway.server, penstock.gateway.services, penstock.stages.ingest.group_commit
from penstock.clock import SystemClock
from penstock.run.compose.bootstrap import open_registry
from penstock.log.embedded import EmbeddedLog
log = EmbeddedLog(Path(sys.argv[1]))
registry = open_registry(log, SystemClock(), "gateway")
registry.refresh()
registry.close()
log.close()
import psutil
print(psutil.Process().memory_info().rss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("events", "keys"), help="the first half, or the second")
    only = parser.parse_args().only
    print(f"Python {platform.python_version()}, {psutil.cpu_count()} cores")
    if only != "keys":
        of_events()
    if only != "events":
        of_keys()


def of_events() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = {"PENSTOCK_BENCH_MODEL": str(events.model(Path(folder, "bench.onnx")))}
        with opened(Path(folder, "on"), "") as keeper:
            key = issue(keeper.log, keeper.view, keeper.clock, "bench", ALLOW, days=None, by="bench").key
        made = list(events.departures(EVENTS))
        with (
            stack(APP, Path(folder, "off"), environ=model) as off,
            stack(APP, Path(folder, "on"), environ=model, key=key) as on,
        ):
            for size, (count, connections, must) in PASSES.items():
                bodies = events.json_bodies(made[: size * count], size)
                bodies = [body[1:-1] for body in bodies] if size == 1 else bodies
                bodies = (bodies * (count // len(bodies) + 1))[:count]
                for running, headers in ((off, ()), (on, (f"x-api-key: {key}",))):
                    send_all(running, bodies[: count // 10], size, connections=connections, headers=headers)
                ratios, cost = in_turns(off, on, bodies, size, connections, key)
                print(
                    f"CPU of an event, bodies of {size:,}, {connections} connections: {median(ratios):.3f} x of that "
                    f"with access off ({cost:.2f} µs), {min(ratios):.3f}–{max(ratios):.3f}; must be ≤ {must:.2f} x"
                )


def in_turns(
    off: Stack, on: Stack, bodies: Sequence[bytes], size: int, connections: int, key: str
) -> tuple[list[float], float]:
    """The ratio of each turn, and what an event costs with access off, in microseconds."""
    costs: list[tuple[float, float]] = []
    for _ in range(TURNS):
        without = send_all(off, bodies, size, connections=connections).cpu
        costs.append((without, send_all(on, bodies, size, connections=connections, headers=(f"x-api-key: {key}",)).cpu))
    return [shown / without for without, shown in costs], median(without for without, _ in costs) * 1e6


def of_keys() -> None:
    with tempfile.TemporaryDirectory() as folder:
        none, many = Path(folder, "none"), Path(folder, "many")
        for directory, count in ((none, 1), (many, MANY)):
            key = fill(directory, count)
            print(f"{count:,} keys: {admitted(directory, key):.2f} µs to say who asks")
        runs = [[started(each) for each in (none, many)] for _ in range(RUNS)]
        few, lots = ([median(run[place][what] for run in runs) for what in range(2)] for place in range(2))
        print(f"start {few[0]:.2f} s and {lots[0]:.2f} s, {lots[0] / few[0]:.2f} x; must be ≤ 1.5 x")
        print(f"memory {few[1]:.0f} MiB and {lots[1]:.0f} MiB")
        took = ended(none)
        print(
            f"a key that was revoked is refused after {median(took):.2f} s, at worst {max(took):.2f} s; must be < 1 s"
        )


def fill(directory: Path, count: int) -> str:
    """So many keys, of which one is in the answer, and subscriptions that were put, and a snapshot of them."""
    key = keys.make()
    with closing(EmbeddedLog(directory)) as log:
        for topic in (SYSTEM_TOPIC, SNAPSHOT_TOPIC):
            log.create(topic)
        for begin in range(0, count, AT_ONCE):
            numbers = range(begin, min(count, begin + AT_ONCE))
            made = [created(number, key) for number in numbers], [subscribed(number) for number in numbers]
            log.append([Write(SYSTEM, 0, to_rows(each)) for each in made])
        with closing(View(log, every_area(), SystemClock(), "owner")) as owner:
            owner.refresh()
            parts, told = snapshot(owner)
            log.append([Write(SNAPSHOTS, 0, parts), Write(SYSTEM, 0, told)])
    return key


def created(number: int, key: str) -> KeyCreated:
    digest = keys.digest(key if number == 0 else str(number))
    rights = (f"append:tx/tenant-{number}", f"read:risks/tenant-{number}")
    return KeyCreated(
        id=f"{number:010d}", name=f"tenant-{number}", digest=digest, rights=rights, expires=None, at=1, by=""
    )


def subscribed(number: int) -> SubscriptionPut:
    """One of those that there may be, put again and again."""
    private = PrivateParts(f"https://hooks.example.com/{number}", ("whsec_" + "A" * 44,))
    name = f"tenant-{number % MOST}"
    wanted = RunTimeSubscription(name=name, source=f"risks/{name}", private=private, where="risk > 0.9")
    return SubscriptionPut(put=wanted, by="bench", at=1, begun=1, causationid=f"c{number}")


def admitted(directory: Path, key: str) -> float:
    """CPU microseconds, the best of several runs."""
    headers = [(b"host", b"penstock.example"), (b"content-type", b"application/json"), (b"content-length", b"40")]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/topics/tx/events", "query_string": b"",
        "headers": [*headers, (b"authorization", b"Bearer " + key.encode())],
    }  # fmt: skip
    with closing(EmbeddedLog(directory)) as log, closing(open_registry(log, SystemClock(), "bench")) as registry:
        registry.refresh()
        admission = AccessAdmission(registry.view.areas.only(KeyState), SystemClock())
        best = float("inf")
        for _ in range(RUNS):
            began = time.process_time()
            for _ in range(CALLS):
                admission(scope)
            best = min(best, time.process_time() - began)
    return best / CALLS * 1e6


def started(directory: Path) -> tuple[float, float]:
    """Seconds of a whole process, and its memory in MiB."""
    began = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", STARTED, str(directory)], capture_output=True, text=True, check=True)
    return time.perf_counter() - began, float(told.stdout) / MIB


def ended(directory: Path) -> list[float]:
    """Seconds from the end of each key to its refusal elsewhere."""
    clock, stop, took = SystemClock(), threading.Event(), list[float]()
    with closing(EmbeddedLog(directory)) as log, closing(EmbeddedLog(directory)) as elsewhere:
        registry, other = open_registry(log, clock, "one"), open_registry(elsewhere, clock, "other")
        guard = threading.Thread(target=Guard(other, opened_audit(elsewhere, clock, ""), clock).run, args=(stop,))
        guard.start()
        admission = AccessAdmission(other.view.areas.only(KeyState), clock)
        for number in range(ENDS):
            issued = issue(log, registry.view, clock, f"n{number}", "append:tx", days=None, by="bench")
            while not known(admission, issued.key):
                time.sleep(0.005)
            revoke(log, registry.view, clock, issued.made.id, by="bench")
            began = time.perf_counter()
            while known(admission, issued.key):
                time.sleep(0.001)
            took.append(time.perf_counter() - began)
        stop.set()
        guard.join()
        registry.close()
        other.close()
    return took


def known(admission: AccessAdmission, key: str) -> bool:
    scope = {
        "http_version": "1.1", "method": "GET", "path": "/topics", "query_string": b"",
        "headers": [(b"host", b"a"), (b"x-api-key", key.encode())],
    }  # fmt: skip
    try:
        admission(scope)
    except Unauthorized:
        return False
    return True


if __name__ == "__main__":
    main()
