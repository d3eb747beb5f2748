"""What a user's file declares, as plain data: all that any process but the runner needs to know of it.

The file itself is imported only where it must be (``check`` and the runner); supervisor, gateway and workers live on
the plan, so that user code cannot hang or crash them. It holds no path of the machine that made it and no value of its
environment, so another machine may read it: see ``places`` and ``references``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from ..batch import DEAD, RETRY, TopicSpec
from ..filters.eventgrid import Filter
from .destination import DestinationSpec
from .references import ReferenceSpec
from .webhook_url import host_of

Takes = Literal["event", "list", "envelope", "frame", "arrow"]
BodyFormat = Literal["cloudevents", "cloudevents-structured", "cloudevents-batch", "eventgrid"]
"""Of what is delivered: CloudEvents in binary, structured or batched mode, or an array of Event Grid's events."""

Handshake = Literal["none", "eventgrid", "cloudevents"]
"""How an endpoint is asked whether it wants events: as Azure Event Grid asks, or as CloudEvents has it."""

OnChange = Literal["register", "promote", "keep"]
"""What is done at start with a model's file that is not the version in service."""

Verb = Literal[
    "read",
    "append",
    "score",
    "load",
    "register",
    "alias",
    "put",
    "get",
    "call",
    "secret",
    "fire",
    "deliver",
    "subscribe",
]
"""Of topics: read, append. Of models: score, load, register, alias. Of stores: put, get. Of services outside: call. Of
the environment: secret. Of schedules: fire. Of hosts outside: deliver. Of subscriptions put at run time: subscribe."""

ANY = "*"
"""What an edge leads to where only the function knows which one it will be, or the environment."""


def path_of(topic: str, domain_topic: str | None) -> str:
    """What a topic is called everywhere: its name, or that of its domain, a slash and its own."""
    return topic if domain_topic is None else f"{topic}/{domain_topic}"


@dataclass(frozen=True, slots=True)
class Edge:
    """``who``, a stage or a subscription, does ``verb`` to ``what``, a name of the kind that the verb says."""

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
    to_topic: str | None = field(default=None, kw_only=True)  # of a domain: where all goes; None: the parent's topic

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
class SubscriptionSpec:
    """A subscription declared by ``app.subscribe``: to a webhook, by its URL, to another topic of the app, or to a
    destination of another kind. Exactly one of ``url``, ``topic`` and ``destination`` is there. Raises ``ValueError``
    otherwise, and for a URL that is none.

    No consumer group is its own: one stage for each source (``router_of``) serves all subscriptions to it.
    """

    name: str
    source: str  # a topic's name; penstock.system for system events
    url: str | ReferenceSpec | None = field(default=None, repr=False)
    topic: str | None = None
    event: str | None = None  # the system event's type, when the source is a class
    where: str | None = None  # SQL, see ``filters.where``
    filter: Filter | None = None  # with it there is no ``where``
    attempts: int = 30
    ttl: float = 86_400.0  # seconds from the event's append until it is given up
    max_events: int = 1  # of one request
    preferred_kb: int = 64  # KiB of one request, unless one event alone has more
    format: BodyFormat = "cloudevents"
    # Each signs every request: two while one follows the other. A text is one that was put at run time.
    secrets: tuple[str | ReferenceSpec, ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str | ReferenceSpec], ...] = field(default=(), repr=False)
    start: Literal["earliest", "latest"] = "latest"
    concurrency: int = 32  # requests under way at once
    rate: float | None = None  # requests a second, at most
    allow_http: bool = False  # without TLS
    allow_private: bool = False  # to addresses that are not of the public internet
    place: str = ""  # file:line, for messages
    destination: DestinationSpec | None = None
    disable_after: float | None = 432_000.0  # seconds without any success until it is disabled; None: never
    handshake: Handshake = "none"  # how the endpoint shows, before any event goes there, that it wants them
    run_time: bool = False  # it was put while the app ran, and is in no file
    domain_topic: str | None = None  # of a domain: the only one whose events it gets; None: all
    to_topic: str | None = None  # of a domain that it feeds, see ``StageSpec``
    ordered: bool = False  # the events of a key in their order, each after the one before

    def __post_init__(self) -> None:
        if [self.url, self.topic, self.destination].count(None) != 2:
            raise ValueError(f"subscription '{self.name}' goes to a URL, a topic or a destination, and to one of them")
        if isinstance(self.url, str):
            host_of(self.url)

    @property
    def is_delivered(self) -> bool:
        """Outside, by a courier; else it goes to a topic of the app, in the log."""
        return self.topic is None

    @property
    def kind(self) -> str:
        """Of what it goes to."""
        if self.destination is not None:
            return self.destination.kind
        return "topic" if self.url is None else "webhook"

    @property
    def host(self) -> str | None:
        """Where its requests go; None for what is no webhook, and where only the environment knows."""
        return host_of(self.url) if isinstance(self.url, str) else None

    @property
    def receiver(self) -> str:
        """Who gets its events, to be shown: a topic, a host, or the reference. The rest of a URL may be secret."""
        if self.destination is not None:
            return self.destination.receiver
        if isinstance(self.url, ReferenceSpec):
            return str(self.url)
        return path_of(self.topic, self.to_topic) if self.topic else self.host or ""

    @property
    def condition(self) -> str:
        """Which events it passes, to be shown."""
        where = f"where {self.where}" if self.where else ""
        filtered = "by a filter of Event Grid" if self.filter else ""
        return " ".join(filter(None, (self.event, where, filtered))) or "every event"

    @property
    def options(self) -> dict[str, Any]:
        """How it is declared, by what ``app.subscribe`` calls it, without what may be secret: of a URL the host, of a
        header its name and the reference, if its value is one. As JSON has it, so that two can be compared."""
        return {
            "source": self.event or path_of(self.source, self.domain_topic),
            "to": self.receiver,
            "where": self.where,
            "filter": msgspec.json.decode(msgspec.json.encode(self.filter)),
            "retry": [self.attempts, self.ttl],
            "batch": [self.max_events, self.preferred_kb],
            "format": self.format,
            "secret": [str(secret) if isinstance(secret, ReferenceSpec) else None for secret in self.secrets],
            "headers": {name: str(value) if isinstance(value, ReferenceSpec) else None for name, value in self.headers},
            "start": self.start,
            "concurrency": self.concurrency,
            "rate": self.rate,
            "disable_after": self.disable_after,
            "handshake": self.handshake,
            "ordered": self.ordered,
            "allow_http": self.allow_http,
            "allow_private": self.allow_private,
        }

    @property
    def references(self) -> tuple[ReferenceSpec, ...]:
        """What it looks up of the environment."""
        given = (self.url, *self.secrets, *(value for _, value in self.headers))
        own = () if self.destination is None else self.destination.references
        return (*(value for value in given if isinstance(value, ReferenceSpec)), *own)

    def edges(self) -> Iterator[Edge]:
        """What it does to what is outside of it; its secrets are told with all references, see ``edges.edges``."""
        yield Edge(self.name, "read", self.source)
        yield Edge(self.name, "append", RETRY)
        yield Edge(self.name, "append", DEAD)
        if self.topic is not None:
            yield Edge(self.name, "append", self.topic)
        elif self.destination is None or isinstance(self.destination.hosts, ReferenceSpec):
            yield Edge(self.name, "deliver", self.host or ANY)
        else:
            yield from (Edge(self.name, "deliver", host) for host in self.destination.host_names)


SUBSCRIPTIONS = "Subscriptions"
"""The handle of functions that put subscriptions."""

LADDER = "penstock.ladder"
"""The stage, and its consumer group, that reads what is to be tried again."""


def router_of(source: str) -> str:
    """The stage, and its consumer group, that reads a topic for all subscriptions to it."""
    return f"penstock.deliver.{source}"


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
    place: str = ""  # file:line of the app
    subscriptions: tuple[SubscriptionSpec, ...] = ()
    open_to_subscriptions: bool = False  # the file says that some may be put at run time

    @property
    def invites_subscriptions(self) -> bool:
        """Does the file say that some are put at run time: itself, or by a function that may put them? Then a
        courier may read every topic, and send anywhere."""
        asks = (handle.name == SUBSCRIPTIONS for stage in self.of_kind(FunctionSpec) for handle in stage.handles)
        return self.open_to_subscriptions or any(asks)

    @property
    def delivers(self) -> bool:
        """Is there a courier? It has subscriptions, or may get some."""
        return bool(self.subscriptions) or self.invites_subscriptions

    def topic(self, name: str) -> TopicSpec:
        return next(t for t in self.topics if t.name == name)

    @property
    def domains(self) -> dict[str, TopicSpec]:
        return {topic.name: topic for topic in self.topics if topic.domain}

    def domain_topic_of(self, stage: str) -> str | None:
        """Of a domain, where a stage, or a subscription that feeds one, puts all that it makes; None: each event stays
        in the topic of its parent."""
        parts: tuple[StageSpec | SubscriptionSpec, ...] = (*self.stages, *self.subscriptions)
        return next((part.to_topic for part in parts if part.name == stage), None)

    def model(self, name: str) -> ModelSpec | None:
        return next((m for m in self.models if m.name == name), None)

    def of_kind(self, kind: type[S]) -> list[S]:
        """The stages of one kind, in order."""
        return [stage for stage in self.stages if isinstance(stage, kind)]
