"""Whether what a program asked for is what the app's plan needs, read back of the resources alone.

Nothing of the components is asked: each target's reader (``azure.py``, ``kubernetes.py``) knows what a role, a rule or
a mounted secret lets somebody do, and says who may do what, what runs and what there is. Here that is compared with
``requirements_of(plan)``: each edge has its resource and its right, and nobody has a right that no edge needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.deploy.capture import Program
from tests.deploy.wiring import azure, kubernetes
from tests.deploy.wiring.found import Access, Found, Running, WayIn

from penstock.deploy.access import DoorAccess, with_access
from penstock.deploy.requirements import Requirements, requirements_of
from penstock.plan.plan import Plan

KNOWN = {"--only", "--log", "--artifacts", "--data", "--probes", "--workers"}
DOORS = {"--access", "--host", "--port"}  # of a gateway that asks whoever comes
SCALER, PRODUCERS = "scaler", "producers"  # the identities that are no services


@dataclass(frozen=True, slots=True)
class Reader:
    """``read``: what a program asked for, in words of the requirements. ``groups``: what reading in groups takes beside
    the right to read. ``outside``: identities to whom the target can give nothing, since somebody else does."""

    read: Callable[[Program, Requirements], Found]
    groups: Callable[[Requirements], set[Access]]
    outside: tuple[str, ...] = ()


READERS: Mapping[str, Reader] = {
    "azure": Reader(azure.read, azure.groups),
    # Whoever has events signs in with credentials that whoever runs the brokers gives out.
    "kubernetes": Reader(kubernetes.read, kubernetes.groups, (PRODUCERS,)),
}


def check(program: Program, plan: Plan, target: str, access: DoorAccess | None = None) -> list[str]:
    """What is missing, or too much; empty: nothing. ``access``: with which the doors are open from outside; None: they
    are not."""
    reader, needed = READERS[target], with_access(requirements_of(plan), access)
    found = reader.read(program, needed)
    wanted = _wanted(needed, reader)
    return [
        *found.findings,
        *(f"nobody lets it: {access}" for access in sorted(wanted - found.accesses)),
        *(f"nobody needs it: {access}" for access in sorted(found.accesses - wanted)),
        *_logs(needed, found),
        *_stores(needed, found),
        *_services(needed, found),
        *_doors(found, access),
    ]


def _wanted(needed: Requirements, reader: Reader) -> set[Access]:
    """Neither target can let somebody read a log in one group alone; the scaler looks at one."""
    return reader.groups(needed) | {
        Access(identity.service, right.verb, right.kind, right.what, right.group if identity.service == SCALER else "")
        for identity in needed.identities
        if identity.service not in reader.outside
        for right in identity.rights
        if right.kind != "host"  # who may send where is no right that anybody is given; see each target's network
    }


def _logs(needed: Requirements, found: Found) -> Iterator[str]:
    for log in needed.logs:
        there = found.logs.get(log.name)
        if there is None:
            yield f"there is no log '{log.name}'"
            continue
        if there.partitions != log.partitions:
            yield f"log '{log.name}' has {there.partitions} partitions, and {log.partitions} are declared"
        kept = None if log.is_internal else log.retain_us  # those are kept for as long as it can be
        if kept is not None and there.retain_us != kept:
            yield f"log '{log.name}' is kept for {there.retain_us} µs, and {kept} are declared"
        if kept is None and there.retain_us is not None and there.retain_us < found.longest_us:
            yield f"log '{log.name}' is kept for {there.retain_us} µs, and could be for longer"
    for name in found.logs.keys() - {log.name for log in needed.logs}:
        yield f"nobody needs log '{name}'"


def _stores(needed: Requirements, found: Found) -> Iterator[str]:
    if found.stores != {store.name for store in needed.stores}:
        yield f"there are the stores {sorted(found.stores)}"


def _doors(found: Found, access: DoorAccess | None) -> Iterator[str]:
    """Whoever comes in from outside is asked who he is, comes to the gateway alone, and over TLS."""
    for service, way in found.ways_in.items():
        yield from (f"{service}: {fault}" for fault in way.faults)
        if service != "gateway":
            yield f"{service}: it has an ingress, and no doors"
        elif access is None:
            yield f"{service}: it has an ingress, and nobody is asked for a key"
    way_in = found.ways_in.get("gateway", WayIn("", ""))
    if access is not None and not way_in.port:
        yield "nobody reaches the doors from outside"
    for name, running in found.running.items():
        options = {option: value for option, value in running.options.items() if option in DOORS}
        is_open = access is not None and name == "gateway"
        wanted = {"--access": "keys", "--host": "0.0.0.0", "--port": way_in.port} if is_open else {}
        if options != wanted:
            yield f"{name}: its doors are told {options}, and not {wanted}"
        if name in ("gateway", "courier") and running.told_url != way_in.url:
            yield f"{name}: it says that the doors are at {running.told_url!r}, and they are at {way_in.url!r}"


def _services(needed: Requirements, found: Found) -> Iterator[str]:
    for service in needed.services:
        running = found.running.get(service.name)
        if running is None:
            yield f"nothing runs the {service.name}"
            continue
        yield from (f"{service.name}: {why}" for why in _runs(service.name, needed, running))


def _runs(service: str, needed: Requirements, running: Running) -> Iterator[str]:
    """As ``docs/cli.md`` and the image have it."""
    options = running.options
    run, file, *rest = (*running.words, "", "")[: max(len(running.words), 2)]
    if run != "run" or not file.startswith("/app/"):
        yield f"it does not run the app: {' '.join(running.words)}"
    named = rest[::2]
    if len(rest) % 2 or set(named) - KNOWN - DOORS or len(named) != len(set(named)):
        yield f"its options are no options with a value each: {' '.join(rest)}"
    has_models = any(right.kind == "store" for right in needed.rights_of(service))
    for option in sorted(KNOWN - {"--workers", *(() if has_models else ("--artifacts",))}):
        if not options.get(option):
            yield f"it is not told {option}"
    if service == "worker" and options.get("--workers") != "1":
        yield "how many workers it has is the number of the machine's cores, and not that of the replicas"
    for path in (options.get("--data"), "/tmp"):
        if path not in running.writable:
            yield f"it cannot write to {path}"
    port = (options.get("--probes") or "").rpartition(":")[2]
    for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        if running.probes.get(probe) != (path, port):
            yield f"its {probe} probe asks {running.probes.get(probe)}, and not {path} of port {port}"
    if "@sha256:" not in running.image:
        yield f"its image is {running.image!r}, without a digest"
    if not running.cpu or not running.memory:
        yield "it has no share of cores and memory"
    if running.grace_s is None or running.grace_s <= 15:
        yield f"it is killed {running.grace_s} s after it was told to end, and drains for 15"
    yield from _sees(service, needed, running)
    if has_models and "PENSTOCK_RUNNER_MEMORY" not in running.settings:
        yield "a runner may take more memory than the platform gives it"
    if service == "worker" and not 1 <= running.least < running.most:
        yield f"there are {running.least} to {running.most} of it"
    if service == "gateway" and not 1 <= running.least <= running.most:
        yield f"there are {running.least} to {running.most} of it"
    if service == "courier" and not 1 == running.least == running.most:
        yield f"there are {running.least} to {running.most} of it, and rates are each one's own"


def _sees(service: str, needed: Requirements, running: Running) -> Iterator[str]:
    """The app's variables that something in it looks up, and no others."""
    parts = next(each.parts for each in needed.services if each.name == service)
    secrets = {right.what for right in needed.rights_of(service) if right.kind == "secret"}
    settings = {each.name: each.default for each in needed.settings if not set(parts).isdisjoint(each.parts)}
    for variable in sorted(secrets - running.secrets):
        yield f"it does not see the secret {variable}"
    for variable in sorted({each.name for each in needed.secrets} & running.secrets - secrets):
        yield f"it sees the secret {variable}, and has no use for it"
    for variable in sorted({name for name, default in settings.items() if default is None} - running.settings):
        yield f"it does not see {variable}"
    for variable in sorted({each.name for each in needed.settings} & running.settings - settings.keys()):
        yield f"it sees {variable}, and has no use for it"
