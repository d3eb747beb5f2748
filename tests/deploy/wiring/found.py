"""What is read back of a program, in words of the requirements."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """``service`` may do ``verb`` to the ``kind`` of thing called ``what``; ``group``: of the scaler, whose lag it
    looks at."""

    service: str
    verb: str
    kind: str
    what: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class FoundLog:
    """``retain_us`` None: without end."""

    partitions: int
    retain_us: int | None


@dataclass(frozen=True, slots=True)
class Running:
    """What runs a service: ``words`` are the arguments of ``penstock``; ``writable`` the folders that are not
    read-only; ``probes`` by kind with path and port; ``least`` and ``most`` of its replicas."""

    words: tuple[str, ...]
    image: str
    settings: frozenset[str]
    secrets: frozenset[str]
    writable: frozenset[str]
    probes: Mapping[str, tuple[str, str]]
    cpu: str
    memory: str
    grace_s: float | None
    least: int
    most: int
    told_url: str = ""  # where it says that others reach the doors

    @property
    def options(self) -> Mapping[str, str]:
        """By their names, of those that have a value."""
        return {word: value for word, value in zip(self.words, self.words[1:], strict=False) if word.startswith("--")}


@dataclass(frozen=True, slots=True)
class WayIn:
    """From outside to a service: the port of it to which requests come, the URL over TLS, and what is wrong with it."""

    port: str
    url: str
    faults: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """``ways_in``: to which service. ``findings``: what is wrong in words of the target. ``longest_us``: for how long a
    log can be kept."""

    accesses: set[Access] = field(default_factory=set)
    logs: dict[str, FoundLog] = field(default_factory=dict)
    stores: set[str] = field(default_factory=set)
    running: dict[str, Running] = field(default_factory=dict)
    ways_in: dict[str, WayIn] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    longest_us: float = float("inf")


def only(words: Sequence[str]) -> str:
    """Which service ``penstock run --only`` makes of a process; empty where it is not said."""
    given = dict(itertools.pairwise(words)).get("--only", "")
    return {"gateway": "gateway", "workers": "worker", "courier": "courier"}.get(given, "")
