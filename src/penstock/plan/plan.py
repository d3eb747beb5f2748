"""What a user's file declares, as plain data: all that any process but the runner needs to know of it.

The file itself is imported only where it must be (``check`` and the runner); supervisor, gateway and workers live on
the plan, so that user code cannot hang or crash them. It holds no path of the machine that made it and no value of its
environment, so another machine may read it: see ``places`` and ``references``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeVar

from ..batch import TopicSpec
from .references import ReferenceSpec

Takes = Literal["event", "list", "envelope", "frame", "arrow"]
OnChange = Literal["register", "promote", "keep"]
"""What is done at start with a model's file that is not the version in service."""

Verb = Literal["read", "append", "score", "load", "register", "alias", "put", "get", "call", "secret", "fire"]
"""Of topics: read, append. Of models: score, load, register, alias. Of stores: put, get. Of services outside: call. Of
the environment: secret. Of schedules: fire."""

ANY = "*"
"""What an edge leads to where only the function knows which one it will be."""


@dataclass(frozen=True, slots=True)
class Edge:
    """``who``, a stage, does ``verb`` to ``what``, a name of the kind that the verb says."""

    who: str
    verb: Verb
    what: str


@dataclass(frozen=True, slots=True)
class HandleSpec:
    """A handle that a function asks for, and what it may do with it."""

    name: str
    verbs: tuple[Verb, ...]


@dataclass(frozen=True, slots=True)
class StageSpec:
    """What every kind of stage has. ``kind`` names it in a plan that is written down: never change one."""

    kind: ClassVar[str]

    name: str  # its consumer group
    source: str  # a topic's name; penstock.system for system events
    to: str | None
    start: Literal["earliest", "latest"] = field(default="earliest", kw_only=True)
    timeout: float = field(default=5.0, kw_only=True)  # seconds for one call
    attempts: int = field(default=3, kw_only=True)
    ttl: float | None = field(
        default=None, kw_only=True
    )  # seconds until a row that fails alone is poison; None: setting
    place: str = field(default="", kw_only=True)  # file:line, for messages

    def edges(self) -> Iterator[Edge]:
        """What it does to what is outside of it, but for its dead letters, which every stage has."""
        yield Edge(self.name, "read", self.source)
        if self.to is not None:
            yield Edge(self.name, "append", self.to)


@dataclass(frozen=True, slots=True)
class FunctionSpec(StageSpec):
    """A function declared by ``@app.on``.

    ``takes``: one event, a list of them, one ``ps.Event``, a polars frame, or a RecordBatch.
    """

    kind: ClassVar[str] = "function"

    takes: Takes
    is_async: bool = False
    event: str | None = None  # the system event's type, when the source is a class
    where: str | None = None
    concurrency: int = 1  # events of an async function under way at once
    handles: tuple[HandleSpec, ...] = ()
    resources: tuple[str, ...] = ()  # those asked for, by the type's name
    references: tuple[ReferenceSpec, ...] = ()  # of its parameters

    def edges(self) -> Iterator[Edge]:
        yield from StageSpec.edges(self)
        for handle in self.handles:
            yield from (Edge(self.name, verb, ANY) for verb in handle.verbs)


@dataclass(frozen=True, slots=True)
class ScoreSpec(StageSpec):
    """A scorer declared by ``app.score``."""

    kind: ClassVar[str] = "scorer"

    to: str
    model: str
    keep: tuple[str, ...] = ()

    def edges(self) -> Iterator[Edge]:
        yield from StageSpec.edges(self)
        yield Edge(self.name, "score", self.model)


KINDS: dict[str, type[StageSpec]] = {spec.kind: spec for spec in (FunctionSpec, ScoreSpec)}
"""A row a kind of stage."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model declared by ``app.model``. ``artifact``: the file that seeds version 1, relative to the app's file."""

    name: str
    outputs: tuple[str, ...]
    alias: str = "champion"
    artifact: str | ReferenceSpec | None = None
    inputs: tuple[str, ...] | None = None  # the columns, in the model's order, where the file does not name them
    trust: str | ReferenceSpec | None = None  # sha256:HEX of an artifact that may execute code
    place: str = ""
    on_change: OnChange | None = None  # None: ``promote`` in dev, else ``keep``


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """A resource declared by ``app.resource``. ``provides``: a type's name; ``resources``: those that it asks for."""

    provides: str
    resources: tuple[str, ...] = ()
    references: tuple[ReferenceSpec, ...] = ()
    place: str = ""


S = TypeVar("S", bound=StageSpec)


@dataclass(frozen=True, slots=True)
class Plan:
    app: str
    target: str  # what to import again in the runner, the file relative to its folder: app.py:variable
    code: str  # digest of the app's code
    topics: tuple[TopicSpec, ...]
    stages: tuple[StageSpec, ...] = ()
    models: tuple[ModelSpec, ...] = ()
    resources: tuple[ResourceSpec, ...] = ()
    untyped: tuple[str, ...] = ()  # topics whose columns come from what feeds them

    def topic(self, name: str) -> TopicSpec:
        return next(t for t in self.topics if t.name == name)

    def model(self, name: str) -> ModelSpec | None:
        return next((m for m in self.models if m.name == name), None)

    def of_kind(self, kind: type[S]) -> list[S]:
        """The stages of one kind, in order."""
        return [stage for stage in self.stages if isinstance(stage, kind)]
