"""What a user's file declares, as plain data: all that any process but the runner needs to know of it.

The file itself is imported only where it must be (``check`` and the runner); supervisor, gateway and workers live on
the plan, so that user code cannot hang or crash them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..batch import TopicSpec
from .parts import OnChange

Takes = Literal["event", "list", "envelope", "frame", "arrow"]


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A function declared by ``@app.on``.

    ``takes``: one event, a list of them, one ``ps.Event``, a polars frame, or a RecordBatch.
    """

    name: str  # the stage's name: its consumer group
    source: str  # a topic's name; penstock.system for system events
    to: str | None
    takes: Takes
    is_async: bool = False
    event: str | None = None  # the system event's type, when the source is a class
    where: str | None = None
    start: Literal["earliest", "latest"] = "earliest"
    timeout: float = 5.0  # seconds for one call
    attempts: int = 3
    ttl: float | None = None  # seconds after which a row that fails alone is poison; None: the setting's
    concurrency: int = 1  # events of an async function under way at once
    injects: tuple[str, ...] = ()  # the handles and resources asked for, by type name
    place: str = ""  # file:line, for messages


@dataclass(frozen=True, slots=True)
class ScoreSpec:
    """A scorer declared by ``app.score``."""

    name: str
    source: str
    model: str
    to: str
    keep: tuple[str, ...] = ()
    start: Literal["earliest", "latest"] = "earliest"
    timeout: float = 5.0
    attempts: int = 3
    ttl: float | None = None  # seconds after which a row that fails alone is poison; None: the setting's
    place: str = ""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model declared by ``app.model``. ``artifact``: the absolute path of the file that seeds version 1."""

    name: str
    outputs: tuple[str, ...]
    alias: str = "champion"
    artifact: str | None = None
    inputs: tuple[str, ...] | None = None  # the columns, in the model's order, where the file does not name them
    trust: str | None = None  # sha256:HEX of an artifact that may execute code
    place: str = ""
    on_change: OnChange | None = None  # None: ``promote`` in dev, else ``keep``


@dataclass(frozen=True, slots=True)
class Plan:
    app: str
    target: str  # what to import again in the runner: /abs/app.py:variable
    code: str  # digest of the app's code
    topics: tuple[TopicSpec, ...]
    functions: tuple[FunctionSpec, ...] = ()
    scorers: tuple[ScoreSpec, ...] = ()
    models: tuple[ModelSpec, ...] = field(default=())
    untyped: tuple[str, ...] = ()  # topics whose columns come from what feeds them

    def topic(self, name: str) -> TopicSpec:
        return next(t for t in self.topics if t.name == name)
