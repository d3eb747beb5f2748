"""What a model library must provide, and what the registry records. One file a library in ``runtimes/``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Signature:
    """The columns a model reads and the columns it answers with, in order."""

    inputs: pa.Schema
    outputs: pa.Schema


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version; immutable. ``digest`` is the SHA-256 of the artifact, in hex."""

    name: str
    version: int
    digest: str
    runtime: str
    signature: Signature
    created: int  # microseconds since the epoch
    trusted: bool = False  # loading may execute the artifact's code, and somebody named this digest to allow it
    dataset_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that points to a version. ``epoch`` grows by every move and never goes back.

    ``previous`` is the version that it pointed to before, which a roll-back goes to; None: there was no other.
    """

    model: str
    alias: str
    version: int
    epoch: int
    previous: int | None = None


class RuntimeModel(Protocol):
    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Same rows, same order: ``rows`` holds the signature's input columns, the answer its output columns."""
        ...


class Runtime(Protocol):
    """A model library. Importing the file imports nothing heavy; ``inspect`` and ``load`` may."""

    name: str
    trust: Literal["data", "code"]  # code: loading executes what is in the artifact

    def claims(self, head: bytes, name: str) -> bool:
        """Is an artifact with these first 4,096 bytes mine? Content decides; ``name`` only breaks a tie."""
        ...

    def inspect(self, artifact: Path, *, inputs: pa.Schema | None, outputs: list[str]) -> Signature:
        """Load once and say what it reads and answers. ``inputs`` are the columns on offer, where known.

        Raises ``ModelRefused``: not such a file, code beyond what is trusted, inputs that cannot be told.
        """
        ...

    def load(self, artifact: Path, signature: Signature) -> RuntimeModel: ...
