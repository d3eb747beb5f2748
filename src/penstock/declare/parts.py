"""What an app is made of, as recorded: nothing of it has been looked up, called or opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from .events import SystemEvent
from .targets import SubscriptionTarget
from .values import Ref, Retry, checked_domain_topic

if TYPE_CHECKING:
    from ..filters.eventgrid import Filter
    from ..plan.plan import BodyFormat, Handshake, OnChange

E = TypeVar("E")

Start = Literal["earliest", "latest"]
Encoding = Literal["arrow", "json"]
Extra = Literal["ignore", "reject"]


class Source(Generic[E]):
    """Where events of E come from: what ``App.on`` and ``App.score`` take. A ``Topic`` is one."""


@dataclass(frozen=True, eq=False)
class Topic(Source[E]):
    """A named, durable stream of events of E: what ``App.topic`` returns. Durations are in microseconds; None means no
    limit."""

    name: str
    type: type[E] | None = None
    key: str | None = None
    partitions: int = 4
    retain_us: int | None = None
    retain_bytes: int | None = None
    dedupe_us: int | None = None
    encoding: Encoding = "arrow"
    place: str = ""
    extra: Extra = "ignore"


@dataclass(frozen=True, eq=False)
class Domain(Topic[E]):
    """Up to 100,000 topics of one type with one address to publish to: what ``App.domain`` returns.

    >>> acme = app.domain("tx", Order)["acme"]
    """

    def __getitem__(self, name: str) -> DomainTopic[E]:
        """The topic of this name. Raises ``DeclarationError`` for a name that none can have."""
        return DomainTopic(self, checked_domain_topic(name))

    __iter__ = None  # what has items by name is taken for a sequence else, and this one would never end


@dataclass(frozen=True)
class DomainTopic(Source[E]):
    """One topic of a domain."""

    domain: Domain[E]
    name: str


@dataclass(frozen=True, eq=False)
class Model:
    """A model by name, as ``App.model`` declares it; which version scores is the registry's to say."""

    name: str
    outputs: tuple[str, ...]
    alias: str = "champion"
    artifact: str | None = None  # as written; relative to the app's file
    inputs: tuple[str, ...] | None = None
    trust: str | None = None
    place: str = ""
    on_change: OnChange | None = None


@dataclass(frozen=True, eq=False)
class FunctionPart:
    """A function declared by ``@app.on``. ``hints`` are its annotations where they could be read at once."""

    name: str
    function: Callable[..., Any]
    source: Topic[Any] | type[SystemEvent]
    to: Topic[Any] | None
    where: str | None
    start: Start
    retry: Retry
    timeout: float  # seconds
    concurrency: int
    hints: dict[str, Any] | None
    place: str
    to_topic: str | None = None  # of a domain: the one where all goes


@dataclass(frozen=True, eq=False)
class ScorePart:
    """A scorer declared by ``app.score``."""

    name: str
    source: Topic[Any]
    model: Model
    to: Topic[Any]
    keep: tuple[str, ...]
    start: Start
    retry: Retry
    timeout: float  # seconds
    place: str
    to_topic: str | None = None


@dataclass(frozen=True, eq=False)
class ResourcePart:
    """A generator function declared by ``app.resource``; what it yields lives as long as its worker."""

    function: Callable[..., Any]
    hints: dict[str, Any] | None
    place: str


@dataclass(frozen=True, eq=False)
class SubscriptionPart:
    """A subscription declared by ``app.subscribe``; its options are checked one by one, not yet beside its topic."""

    name: str
    source: Topic[Any] | type[SystemEvent]
    to: Topic[Any] | SubscriptionTarget | str  # a text is a URL, or a ``Ref`` that stands for one
    where: Any  # None, a text or a polars expression
    filter: Filter | None
    attempts: int
    ttl: float  # seconds
    max_events: int
    preferred_kb: int
    format: BodyFormat
    secrets: tuple[Ref, ...]
    headers: tuple[tuple[str, str], ...]  # a value may be a ``Ref``
    start: Start
    concurrency: int
    rate: float | None  # requests a second
    allow_http: bool
    allow_private: bool
    place: str
    disable_after: float | None  # seconds; None: never
    handshake: Handshake
    ordered: bool
    domain_topic: str | None = None  # of its source, a domain: the only one whose events it gets
    to_topic: str | None = None


class StagePart(Protocol):
    """What every kind of stage is declared with."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> Topic[Any] | type[SystemEvent]: ...
    @property
    def to(self) -> Topic[Any] | None: ...
    @property
    def place(self) -> str: ...
    @property
    def to_topic(self) -> str | None: ...


P = TypeVar("P", bound=StagePart)


@dataclass
class Parts:
    """Everything an app declares, in the order of its file."""

    topics: list[Topic[Any]] = field(default_factory=list)
    stages: list[StagePart] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    resources: list[ResourcePart] = field(default_factory=list)
    subscriptions: list[SubscriptionPart] = field(default_factory=list)

    def of_kind(self, kind: type[P]) -> list[P]:
        """The stages of one kind, in order."""
        return [part for part in self.stages if isinstance(part, kind)]

    @property
    def readers(self) -> list[StagePart | SubscriptionPart]:
        """All that read a topic: the stages, then the subscriptions."""
        return [*self.stages, *self.subscriptions]

    @property
    def functions(self) -> list[FunctionPart]:
        return self.of_kind(FunctionPart)

    @property
    def scorers(self) -> list[ScorePart]:
        return self.of_kind(ScorePart)
