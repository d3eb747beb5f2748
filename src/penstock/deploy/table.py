"""What an app needs as rows to print: what there must be, and who may do what, each with why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..access.rights import ROLES, Verb
from ..declare.checking.graph import duration_text, partitions_text
from .access import is_open, outside_rights
from .requirements import (
    RequiredHost,
    RequiredLog,
    RequiredModel,
    RequiredService,
    RequiredSetting,
    Requirement,
    Requirements,
)

Row = dict[str, Any]


def needed_rows(needed: Requirements) -> Iterator[Row]:
    """What there must be; ``details`` are those of its kind, in words."""
    kinds: Sequence[tuple[str, Sequence[Requirement]]] = (
        ("log", needed.logs),
        ("store", needed.stores),
        ("service", needed.services),
        ("model", needed.models),
        ("secret", needed.secrets),
        ("setting", needed.settings),
        ("host", needed.hosts),
    )
    for kind, each in kinds:
        for one in each:
            yield {"what": kind, "name": one.name, "details": _details(one), "why": str(one.reason)}


def right_rows(needed: Requirements) -> Iterator[Row]:
    """Who may do what: ``right`` is a verb, ``group`` the consumer group of a read, None where there is none."""
    for identity in needed.identities:
        for right in identity.rights:
            yield {
                "service": identity.service,
                "who": right.who,
                "right": right.verb,
                "what": f"{right.kind} {right.what}",
                "group": right.group or None,
                "why": str(right.reason),
            }


def outside_rows(needed: Requirements) -> Iterator[Row]:
    """Of each role what it may do at the doors, to which of the app's own things; none where nobody comes in. Keys with
    other rights may do less of it, and tenants what names theirs alone."""
    found: dict[tuple[str, str], list[str]] = {}
    for role, verb, name in outside_rights(needed):
        found.setdefault((role, verb), []).append(name)
    for (role, done), names in found.items():
        yield {"who": role, "right": done, "what": ", ".join(names), "why": f"house rule: {role} is {ROLES[role]}"}
    domains = [log.name for log in needed.logs if log.is_domain] if is_open(needed) else []
    verbs: tuple[Verb, ...] = ("append", "read") if domains else ()
    for verb in verbs:
        what = ", ".join(f"{domain}/TENANT" for domain in domains)
        yield {"who": "a tenant", "right": verb, "what": what, "why": "as far as his key names it, and no other's"}


def _details(one: Requirement) -> str:
    if isinstance(one, RequiredLog):
        bounds = [] if one.retain_us is None else [duration_text(one.retain_us)]
        bounds += [] if one.retain_bytes is None else [f"{one.retain_bytes:,} bytes"]
        return f"{partitions_text(one.partitions)}, kept {' and '.join(bounds) or 'for ever'}"
    if isinstance(one, RequiredService):
        return ", ".join(one.parts)
    if isinstance(one, RequiredModel):
        return f"alias {one.alias}" + ("" if one.artifact is None else f", first version of {one.artifact}")
    if isinstance(one, RequiredSetting):
        return "must be given" if one.default is None else f"default {one.default}"
    if isinstance(one, RequiredHost):
        where = "also inside of the network" if one.is_private else "public addresses alone"
        return f"{' and '.join(map(str, one.ports))} of TCP, {where}"
    return ""
