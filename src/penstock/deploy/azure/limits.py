"""What Azure can hold of an app: hubs of an Event Hubs namespace of the Standard tier, and the names of resources."""

from __future__ import annotations

from collections.abc import Set

from ...declare.planning.findings import FindingCollector
from ...log.broker_limits import (
    HUB_GROUPS,
    HUB_PARTITIONS,
    HUB_RECORD_LIMIT_BYTES,
    HUB_RETENTION_HOURS,
    HUBS,
)
from ...plan.plan import router_of
from ..names import Titled, app, check_legal, check_unique, dashed, logs, secrets, services
from ..requirements import COURIER, RequiredLog, Requirements

HOUR_US = 3_600_000_000
HUB_NAME, HUB_NAME_LIMIT_CHARS = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", 256
GROUP_LIMIT_CHARS = 50  # characters of a consumer group's name, of the letters that a hub's has
SERVICE_NAME, SERVICE_LIMIT_CHARS = r"[a-z][a-z0-9-]*[a-z0-9]", 32
SECRET_NAME, SECRET_LIMIT_CHARS = r"[a-z0-9-]+", 127

REMARKS = (
    f"an event hub's record has {HUB_RECORD_LIMIT_BYTES:,} bytes at most; a larger event is refused when it comes",
    f"Penstock's own hubs are kept {HUB_RETENTION_HOURS // 24} days too: an app that stands still for longer forgets "
    "its models and keys, and what it had still to deliver; the audit has no older rows",
)


def check_limits(needed: Requirements, report: FindingCollector) -> None:
    """Adds what cannot be held to the report, each with its place and what to write instead."""
    own = [log for log in needed.logs if not log.is_internal]
    _check_hubs(needed, own, report)
    for log in own:
        _check_partitions(log, report)
        _check_retention(log, report)
    delivering = {right.who for right in needed.rights_of(COURIER)}
    for log in needed.logs:
        _check_groups(log, delivering, report)
    hubs = logs(needed, str)
    check_legal(hubs, HUB_NAME, HUB_NAME_LIMIT_CHARS, _of("an event hub's name", HUB_NAME_LIMIT_CHARS), report)
    check_unique(hubs, report)
    kept = secrets(needed, dashed)
    check_legal(kept, SECRET_NAME, SECRET_LIMIT_CHARS, "a name in Key Vault has letters, digits and dashes", report)
    check_unique(kept, report)
    check_legal([app(needed, dashed(needed.app))], ".+", SERVICE_LIMIT_CHARS, "resources are named after it", report)
    why = f"a container app's name has up to {SERVICE_LIMIT_CHARS} characters and begins with a letter"
    check_legal(services(needed, lambda name: dashed(needed.app, name)), SERVICE_NAME, SERVICE_LIMIT_CHARS, why, report)


def _check_hubs(needed: Requirements, own: list[RequiredLog], report: FindingCollector) -> None:
    internal = len(needed.logs) - len(own)
    if len(needed.logs) > HUBS:
        beyond = own[HUBS - internal]
        message = (
            f"topic '{beyond.name}' would be the hub number {HUBS + 1}: the app has {len(own)} topics and Penstock "
            f"{internal}, and a namespace holds {HUBS}"
        )
        mend = f"make do with {HUBS - internal} topics, or split the app in two, each with a namespace of its own"
        report.error(beyond.reason.place, message, mend)


def _check_partitions(log: RequiredLog, report: FindingCollector) -> None:
    if log.partitions > HUB_PARTITIONS:
        message = f"topic '{log.name}' has {log.partitions} partitions, and an event hub {HUB_PARTITIONS} at most"
        report.error(log.reason.place, message, f"write partitions={HUB_PARTITIONS}, or fewer")


def _check_retention(log: RequiredLog, report: FindingCollector) -> None:
    title, place, days = f"topic '{log.name}'", log.reason.place, HUB_RETENTION_HOURS // 24
    if log.retain_us is None:
        message = f"{title} is kept for ever, and an event hub keeps {days} days at most"
        report.error(place, message, f"write retain='{days}d', or less")
    elif log.retain_us > HUB_RETENTION_HOURS * HOUR_US:
        message = f"{title} is kept for {log.retain_us / HOUR_US / 24:.4g} days, and an event hub keeps {days} at most"
        report.error(place, message, f"write retain='{days}d', or less")
    elif log.retain_us % HOUR_US:
        message = f"{title} is kept for {log.retain_us / HOUR_US:.4g} hours, and an event hub keeps whole hours"
        report.error(place, message, f"write retain='{-(-log.retain_us // HOUR_US)}h'")
    if log.retain_bytes is not None:
        message = f"{title} has retain_bytes=, and an event hub keeps by time alone"
        report.warning(place, message, "leave retain_bytes= away, and choose retain= so that it is room enough")


def _check_groups(log: RequiredLog, delivering: Set[str], report: FindingCollector) -> None:
    """Those of the app: each stage's on what it reads, and the router's. Those in which events are put back are made by
    use. ``delivering``: who is in the courier."""
    why = _of("a consumer group's name", GROUP_LIMIT_CHARS)
    mine = [right for right in log.readers if right.reason.place]
    kinds = {right.who: "subscription" if right.who in delivering else "stage" for right in mine}
    named = [
        Titled(
            f"{kinds[r.who]} '{r.who}'", r.group, r.reason.place, f"write name= with another name at the {kinds[r.who]}"
        )
        for r in mine
    ]
    check_legal(named, HUB_NAME, GROUP_LIMIT_CHARS, why, report)
    check_unique(named, report)
    routers = [
        Titled(f"the group that delivers topic '{log.name}'", r.group, log.reason.place, "give the topic another name")
        for r in log.readers
        if r.group == router_of(log.name)
    ]
    check_legal(routers, ".*", GROUP_LIMIT_CHARS, why, report)  # the letters are the topic's, which are looked at
    room = HUB_GROUPS - 1 - sum(right.who == right.group for right in log.readers if not right.reason.place)
    if len(mine) > room:
        beyond = mine[room]
        message = (
            f"{kinds[beyond.who]} '{beyond.who}' is one of {len(mine)} that read '{log.name}', and an event hub has "
            f"room for {room}"
        )
        mend = "do the work of several stages in one, or feed a second topic for some of them"
        report.error(beyond.reason.place, message, mend)


def _of(what: str, limit: int) -> str:
    return f"{what} has up to {limit} letters, digits, '.', '_' and '-', with a letter or digit at both ends"
