"""The names of what is made in a cloud: derived from those of the app, and told apart before anything is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..declare.planning.findings import FindingCollector
from .requirements import Reason, Requirements


@dataclass(frozen=True, slots=True)
class Titled:
    """Something that gets a name: what the app calls it, the name, and where the app says so. ``mend``: what to write
    instead when it cannot have that name."""

    title: str
    name: str
    place: str
    mend: str


def dashed(*parts: str) -> str:
    """Small letters, digits and single dashes between them, as most clouds' names are: ``API_KEY`` is ``api-key``."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def app(needed: Requirements, name: str) -> Titled:
    return _titled(f"app '{needed.app}'", name, needed.reason, "the app")


def logs(needed: Requirements, name: Callable[[str], str]) -> list[Titled]:
    """The app's topics, by the name that a target gives them."""
    own = [log for log in needed.logs if not log.is_internal]
    return [_titled(f"topic '{log.name}'", name(log.name), log.reason, "the topic") for log in own]


def secrets(needed: Requirements, name: Callable[[str], str]) -> list[Titled]:
    return [
        _titled(f"ps.secret({secret.name!r})", name(secret.name), secret.reason, "the variable")
        for secret in needed.secrets
    ]


def services(needed: Requirements, name: Callable[[str], str]) -> list[Titled]:
    """They are named after the app, so that is what gets another name."""
    return [
        _titled(f"the {service.name} of app '{needed.app}'", name(service.name), needed.reason, "the app")
        for service in needed.services
    ]


def check_legal(named: Iterable[Titled], legal: str, limit: int, why: str, report: FindingCollector) -> None:
    """``legal``: a pattern of the whole name, ``limit`` its characters, ``why`` what asks for both."""
    for each in named:
        if not re.fullmatch(legal, each.name):
            shown = f"would be called '{each.name}'" if each.name else "would have no name"
            report.error(each.place, f"{each.title} {shown}, and {why}", each.mend)
        elif len(each.name) > limit:
            message = f"{each.title} would be called '{each.name}', {len(each.name)} characters, and {why}"
            report.error(each.place, message, f"{each.mend}, {len(each.name) - limit} characters shorter")


def check_unique(named: Iterable[Titled], report: FindingCollector) -> None:
    """No two may have one name, in whatever case: clouds compare without it."""
    first: dict[str, Titled] = {}
    for each in named:
        other = first.setdefault(each.name.lower(), each)
        if other is not each:
            message = f"{each.title} and {other.title} ({other.place}) would both be called '{each.name.lower()}'"
            report.error(each.place, message, each.mend)


def _titled(title: str, name: str, reason: Reason, what: str) -> Titled:
    return Titled(title, name, reason.place, f"give {what} another name")
