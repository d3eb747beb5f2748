"""Loading a version in a runner that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread

from ...models.interface import Alias
from ...models.packing import zeros
from ...runner.interface import Artifact
from ..failures.backoff import Backoff
from .slots import Slot

PULSE_S = 1.0  # seconds in which a runner that is about to take over must show that it lives

Background = Callable[[Callable[[], None]], None]
"""Runs what it is given, and need not wait for its end."""


def in_thread(work: Callable[[], None]) -> None:
    Thread(target=work, name="load").start()


def at_once(work: Callable[[], None]) -> None:
    """For tests: nothing happens but when somebody asks for it."""
    work()


@dataclass(slots=True, eq=False)
class VersionLoad:
    """``slot`` is pinned until it has ended."""

    target: Alias
    slot: Slot
    superseded: bool = False


@dataclass(slots=True)
class Trouble:
    """The last load failed."""

    target: Alias
    reason: str
    backoff: Backoff


def check_alive(slot: Slot, artifact: Artifact) -> None:
    """Raises when the runner died while nobody asked anything of it. Whoever has its turn finds out himself."""
    if slot.combiner.turn.acquire(blocking=False):
        try:
            slot.runner.predict(artifact, zeros(artifact.version.signature.inputs, 0), timeout=PULSE_S)
        finally:
            slot.combiner.turn.release()


def ref_of(alias: Alias) -> str:
    return f"{alias.model}/{alias.version}"
