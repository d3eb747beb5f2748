"""Loading a version in a runner that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Thread

from ...models.interface import Alias
from ...models.packing import zeros
from ...runner.interface import Artifact, Runner
from ..failures.backoff import Backoff
from .call_batcher import Combiner

PULSE_S = 1.0  # seconds in which a runner that is about to take over must show that it lives

Background = Callable[[Callable[[], None]], None]
"""Runs what it is given, and need not wait for its end."""


def in_thread(work: Callable[[], None]) -> None:
    Thread(target=work, name="load").start()


def at_once(work: Callable[[], None]) -> None:
    """For tests: nothing happens but when somebody asks for it."""
    work()


@dataclass(slots=True, eq=False)
class Slot:
    """A runner, and the version that it is warm with; empty: none that one could count on."""

    runner: Runner
    combiner: Combiner
    ref: str = ""
    users: int = 0
    looked: str = ""  # the digest of the artifact that was looked at in this process, before any version was loaded


@dataclass(frozen=True, slots=True)
class Loan:
    """A runner to look at one artifact with, in its ``turn``. ``give_back`` is told whether the artifact fits."""

    runner: Runner
    give_back: Callable[[bool], None]
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)


def of_its_own(runner: Runner) -> Loan:
    """Of a runner that ends with the looking."""
    return Loan(runner, lambda _fits: runner.close())


@dataclass(slots=True, eq=False)
class VersionLoad:
    target: Alias
    side: Slot
    superseded: bool = False


@dataclass(slots=True)
class Trouble:
    """The last load failed."""

    target: Alias
    reason: str
    backoff: Backoff


def feel(side: Slot, artifact: Artifact) -> None:
    """Raises when the runner died while nobody asked anything of it. One in use would be asked out of turn."""
    if not in_use(side):
        side.runner.predict(artifact, zeros(artifact.version.signature.inputs, 0), timeout=PULSE_S)


def in_use(side: Slot) -> bool:
    return side.users > 0


def ref_of(alias: Alias) -> str:
    return f"{alias.model}/{alias.version}"
