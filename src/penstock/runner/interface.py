"""Where user code and models run: in this process (tests), or in a child that may be killed at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import pyarrow as pa

from ..batch import Indices
from ..models.interface import ModelVersion, Signature
from ..plan.run_time import RunTimeSubscription


@dataclass(frozen=True, slots=True)
class RowFailure:
    """One row that the user's code refused (``rejected``) or failed on; ``row`` counts within the call."""

    row: int
    error: str
    reason: str
    traceback: str = ""
    rejected: bool = False
    transient: bool = False  # OSError and its kin: waiting may help


@dataclass(frozen=True, slots=True)
class SetAlias:
    """What ``models.set_alias`` and ``models.promote`` ask for: applied if the commit of the call succeeds."""

    model: str
    alias: str
    version: int
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class ChangeSubscription:
    """What ``subscriptions.put``, ``delete``, ``pause`` and ``resume`` ask for, likewise. ``put``: of a put alone."""

    name: str
    change: Literal["put", "delete", "pause", "resume"]
    put: RunTimeSubscription | None = None


Wish: TypeAlias = SetAlias | ChangeSubscription
"""What a function asks for beside its results."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A user function's answer. ``parents[i]`` is the row of the call that row ``i`` of ``rows`` was made of."""

    rows: pa.RecordBatch | None
    parents: Indices
    failures: Sequence[RowFailure] = ()
    commands: Sequence[Wish] = field(default=())


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loadable version and where its bytes are on this machine."""

    version: ModelVersion
    path: Path


class Services(Protocol):
    """What the handles given to a user's function (``ps.Models``) ask of the process that owns the lease."""

    def answer(self, handle: str, method: str, body: bytes) -> bytes:
        """The bodies are those of ``runner.handles``.

        Raises ``NotOffered`` for what the function did not ask for, and what the method raises.
        """
        ...


class Runner(Protocol):
    """Runs one call at a time. Every call raises ``TaskFailed`` (the code raised) or ``RunnerDied`` (killed, crashed,
    over ``timeout`` seconds or its memory); the next call finds a fresh runner. A call without rows makes everything
    ready for one with rows, and asks nothing of the user's code or the model."""

    def apply(self, stage: str, rows: pa.RecordBatch, *, timeout: float, services: Services | None = None) -> Applied:
        """Call the user's function of that stage on these rows: topic columns and envelope, see ``FunctionSpec.takes``.

        Raises ``ResultMisshapen`` too, for an answer whose rows cannot be told to those of the call.

        A function that takes ``ps.Event`` also needs the columns ``_partition`` (int32) and ``_offset`` (int64), and
        ``_id`` and ``_time`` filled in.
        """
        ...

    def predict(self, model: Artifact, rows: pa.RecordBatch, *, timeout: float) -> pa.RecordBatch:
        """Score with that version, loading it beside the others when it is new: without rows, that is all.

        The answer is checked against the signature (``PredictionInvalid``, and ``PredictionMisshapen`` where it is not
        the fault of values), and the artifact's bytes against the digest when it is loaded (``ArtifactDamaged``).
        ``InputInvalid`` names the rows that it cannot read.
        """
        ...

    def inspect(
        self, artifact: Path, *, name: str, inputs: pa.Schema | None, outputs: list[str], trusted: bool, timeout: float
    ) -> tuple[str, Signature]:
        """The runtime that claims an artifact, and its signature. Raises ``ModelRefused``."""
        ...

    def start(self) -> None:
        """What a first call would begin with, before there is one. Harmless when repeated."""
        ...

    def close(self) -> None: ...
