"""``App``: what a user's file calls. Each method records one declaration, or refuses what is wrong in itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar, overload

from . import arguments, subscriptions
from .events import SystemEvent
from .parts import (
    Domain,
    DomainTopic,
    Encoding,
    Extra,
    FunctionPart,
    Model,
    Parts,
    ResourcePart,
    ScorePart,
    Source,
    Start,
    SubscriptionPart,
    Topic,
)
from .signatures import Sink, To
from .source_location import declaring_frame, declaring_place
from .targets import SubscriptionTarget
from .values import Duration, Ref, Retry, at_least, checked_domain, checked_name, microseconds, refused, seconds

if TYPE_CHECKING:
    import polars as pl

    from ..filters.eventgrid import Filter
    from ..plan.plan import BodyFormat, Handshake

E = TypeVar("E")
O = TypeVar("O")  # noqa: E741  # the output event
S = TypeVar("S")
N = TypeVar("N", bound=SystemEvent)
T = TypeVar("T", bound=Topic[Any])
P = ParamSpec("P")

JSON: TypeAlias = dict[str, Any]

WEEK: Duration = "7d"
CALL: Duration = "5s"
RETRY = Retry()
DELIVERY = Retry(subscriptions.ATTEMPTS, subscriptions.TTL)
MAX_PARTITIONS = 4_096


class App:
    """An event-driven system in one file. ``parts`` is what was declared, ``file`` where.

    Declaring executes nothing: ``penstock check`` draws what was declared, ``penstock run`` runs it. ``name`` is 1 to
    249 letters, digits, ``-``, ``_`` and ``.``. With ``subscriptions`` some may be put at run time over HTTP, also
    where the file has none and no function puts any. Every method raises ``DeclarationError``, with file, line and
    what to write instead, for what could not run.

    >>> app = ps.App("shop")
    >>> orders = app.topic("orders", Order, key="id", retain="7d")
    >>> large = app.topic("large", Order)
    >>> @app.on(orders, to=large)
    ... def only_large(order: Order) -> Order | None:
    ...     return order if order.amount > 100 else None
    """

    def __init__(self, name: str, *, subscriptions: bool = False) -> None:
        self.name = checked_name(name, "an app")
        self.open_to_subscriptions = subscriptions
        self.file = declaring_frame().f_code.co_filename
        self.place = declaring_place()
        self.parts = Parts()

    def __repr__(self) -> str:
        return f"ps.App({self.name!r})"

    @overload
    def topic(
        self,
        name: str,
        *,
        key: str | None = ...,
        partitions: int = ...,
        retain: Duration | None = ...,
        retain_bytes: int | None = ...,
        dedupe: Duration | None = ...,
        encoding: Encoding = ...,
        extra: Extra = ...,
    ) -> Topic[JSON]: ...
    @overload
    def topic(
        self,
        name: str,
        type: type[E],
        *,
        key: str | None = ...,
        partitions: int = ...,
        retain: Duration | None = ...,
        retain_bytes: int | None = ...,
        dedupe: Duration | None = ...,
        encoding: Encoding = ...,
        extra: Extra = ...,
    ) -> Topic[E]: ...
    def topic(
        self,
        name: str,
        type: type[Any] | None = None,
        *,
        key: str | None = None,
        partitions: int = 4,
        retain: Duration | None = WEEK,
        retain_bytes: int | None = None,
        dedupe: Duration | None = None,
        encoding: Encoding = "arrow",
        extra: Extra = "ignore",
    ) -> Topic[Any]:
        """A durable stream of events.

        Without a ``type`` it has the columns of the function that feeds it, else it holds JSON. ``key`` names the
        column whose equal values stay in order (None: the parent's key). ``retain`` and ``retain_bytes`` bound what
        is kept (None: for ever); ``dedupe`` drops a (source, id) published again within that time. ``encoding`` is that
        of records on Kafka: "json", one an event, where other clients write or read them; else "arrow", one a batch.
        ``extra``: are published fields that the type lacks left out, which the answer tells, or refused with their
        event ("reject")?
        Raises ``DeclarationError``.

        >>> app.topic("clicks", partitions=8, retain="1d").name
        'clicks'
        """
        options = (key, partitions, retain, retain_bytes, dedupe, encoding, extra)
        topic: Topic[Any] = _topic(Topic, checked_name(name, "a topic"), type, *options)
        self.parts.topics.append(topic)
        return topic

    @overload
    def domain(
        self,
        name: str,
        *,
        key: str | None = ...,
        partitions: int = ...,
        retain: Duration | None = ...,
        retain_bytes: int | None = ...,
        dedupe: Duration | None = ...,
        encoding: Encoding = ...,
        extra: Extra = ...,
    ) -> Domain[JSON]: ...
    @overload
    def domain(
        self,
        name: str,
        type: type[E],
        *,
        key: str | None = ...,
        partitions: int = ...,
        retain: Duration | None = ...,
        retain_bytes: int | None = ...,
        dedupe: Duration | None = ...,
        encoding: Encoding = ...,
        extra: Extra = ...,
    ) -> Domain[E]: ...
    def domain(
        self,
        name: str,
        type: type[Any] | None = None,
        *,
        key: str | None = None,
        partitions: int = 4,
        retain: Duration | None = WEEK,
        retain_bytes: int | None = None,
        dedupe: Duration | None = None,
        encoding: Encoding = "arrow",
        extra: Extra = "ignore",
    ) -> Domain[Any]:
        """Up to 100,000 topics of one type, one for each tenant, with one address to publish to.

        A topic of it begins with its first event, and is ``tx["acme"]`` here. What is read from a domain and written to
        another stays in the topic of the same name. Options are those of ``topic``, for all of its topics together;
        ``dedupe`` knows an id by its topic. Raises ``DeclarationError``.

        >>> tx = app.domain("payments", Order, key="id")
        >>> app.subscribe(tx["acme"], "https://acme.example/hook")
        """
        options = (key, partitions, retain, retain_bytes, dedupe, encoding, extra)
        domain: Domain[Any] = _topic(Domain, checked_domain(name), type, *options)
        self.parts.topics.append(domain)
        return domain

    def resource(self, fn: Callable[P, Iterator[S]]) -> Callable[P, Iterator[S]]:
        """A generator function that yields one S: made once per worker, closed at its end, given by type.

        Raises ``DeclarationError``.

        >>> @app.resource
        ... def rates(path: str = ps.env("RATES", "rates.parquet")) -> Iterator[Rates]:
        ...     yield Rates(pl.read_parquet(path))
        """
        if not inspect.isgeneratorfunction(fn):
            raise refused(
                f"{arguments.called(fn)} must yield what it provides; write 'def ...(...) -> Iterator[T]: yield ...'"
            )
        self.parts.resources.append(ResourcePart(fn, arguments.hints_of(fn), arguments.place_of(fn)))
        return fn

    def model(
        self,
        name: str,
        artifact: str | None = None,
        *,
        outputs: Sequence[str],
        alias: str = "champion",
        inputs: Sequence[str] | None = None,
        trust: str | None = None,
        on_change: Literal["register", "promote", "keep"] | None = None,
    ) -> Model:
        """A model of the registry.

        ``artifact``, a path relative to this file, seeds version 1. ``outputs`` names the columns that the model
        answers with; ``inputs`` those it reads, in its order, where the artifact does not name them. An artifact that
        executes code when loaded (pickle, joblib) needs ``trust="sha256:..."`` of exactly that file.

        ``on_change`` says what becomes of an artifact that a start finds changed, and so not in service: "register" it
        as the next version, "promote" that too, or "keep" what is in service and say so. None: "promote" in
        ``penstock dev``, else "keep". Raises ``DeclarationError``.

        >>> risk = app.model("risk", "risk.onnx", inputs=["amount", "abroad"], outputs=["risk"])
        """
        model = Model(
            checked_name(name, "a model"),
            arguments.read_columns(outputs, "outputs", at_least_one=True),
            checked_name(alias, "an alias"),
            artifact,
            None if inputs is None else arguments.read_columns(inputs, "inputs", at_least_one=True),
            trust,
            declaring_place(),
            arguments.read_on_change(on_change),
        )
        self.parts.models.append(model)
        return model

    @overload
    def on(
        self,
        source: Source[E],
        *,
        to: Topic[O] | DomainTopic[O],
        name: str | None = ...,
        start: Literal["earliest", "latest"] = ...,
        retry: Retry = ...,
        timeout: Duration = ...,
        concurrency: int = ...,
    ) -> To[E, O]: ...
    @overload
    def on(
        self,
        source: Source[E],
        *,
        name: str | None = ...,
        start: Literal["earliest", "latest"] = ...,
        retry: Retry = ...,
        timeout: Duration = ...,
        concurrency: int = ...,
    ) -> Sink[E]: ...
    @overload
    def on(
        self,
        source: type[N],
        *,
        where: str | None = ...,
        name: str | None = ...,
        start: Literal["earliest", "latest"] = ...,
        retry: Retry = ...,
        timeout: Duration = ...,
        concurrency: int = ...,
    ) -> Sink[N]: ...
    def on(
        self,
        source: Any,
        *,
        to: Topic[Any] | DomainTopic[Any] | None = None,
        where: str | None = None,
        name: str | None = None,
        start: Start = "earliest",
        retry: Retry = RETRY,
        timeout: Duration = CALL,
        concurrency: int = 1,
    ) -> Any:
        """Call the decorated function on the events of a topic, or on a class of system event.

        The first parameter's annotation chooses: the event's class, ``ps.Event[...]``, ``list[...]``, a polars
        DataFrame or a RecordBatch. Other parameters are injected by type. ``name`` (default: the function's) is the
        stage and the consumer group; ``start`` serves a group without a position; ``where`` is a condition over the
        fields of a system event (docs/where.md); ``timeout`` bounds one call; ``concurrency`` is for ``async``
        functions.

        A function of a batch is given the column ``_row``; a result with other rows must carry it on, so that each row
        keeps its parent. Raises ``DeclarationError``.

        >>> @app.on(orders, to=large, name="twice-as-large", retry=ps.Retry(attempts=5), timeout="30s")
        ... def double(rows: pl.DataFrame) -> pl.DataFrame:
        ...     return rows.with_columns(amount=pl.col("amount") * 2)
        """
        system = not isinstance(arguments.read_source(arguments.read_whole(source, "app.on"), "app.on"), Topic)
        if system and to is not None:
            raise refused("a function on system events has no to=; read the topic penstock.system to follow them")
        if where is not None and not (system and isinstance(where, str)):
            raise refused("where= is SQL text over the fields of a system event; on a topic, return None instead")
        target, to_topic = arguments.read_target(to)
        options = (target, where, arguments.read_start(start), arguments.read_retry(retry), seconds(timeout, "timeout"))
        limit = at_least(concurrency, 1, "concurrency", most=10_000)
        given = None if name is None else checked_name(name, "a stage")

        def record(fn: Callable[..., Any]) -> None:
            if not inspect.isroutine(fn):
                raise refused(f"app.on decorates a function, not {fn!r}")
            stage = given or checked_name(fn.__name__, "a stage; give name=")
            place = arguments.place_of(fn)
            self.parts.stages.append(
                FunctionPart(stage, fn, source, *options, limit, arguments.hints_of(fn), place, to_topic)
            )

        return Sink[Any](record) if to is None else To[Any, Any](record)

    def score(
        self,
        source: Source[Any],
        model: Model,
        *,
        to: Topic[Any] | DomainTopic[Any],
        keep: Sequence[str] = (),
        name: str | None = None,
        start: Literal["earliest", "latest"] = "earliest",
        timeout: Duration = CALL,
        retry: Retry = RETRY,
    ) -> None:
        """Score every event of ``source``; the target gets the columns ``keep`` of it and the model's outputs.

        ``name`` (default: the target's) is the stage and the consumer group; ``timeout`` bounds one call of the model.
        Raises ``DeclarationError``.

        >>> risk = app.model("order-risk", outputs=["score"])
        >>> app.score(orders, risk, to=app.topic("risks"), keep=["id"])
        """
        if not isinstance(source := arguments.read_whole(source, "app.score"), Topic):
            raise refused(f"app.score takes a topic, not {source!r}{arguments.instead_of(source)}")
        if not isinstance(model, Model):
            raise refused(
                f"app.score takes a model, not {model!r}; write: {model} = app.model({model!r}, outputs=[...])"
            )
        target, to_topic = arguments.read_target(to)
        if target is None:
            raise refused("app.score needs to=, the topic of the predictions")
        stage = target.name if name is None else checked_name(name, "a stage")
        columns = arguments.read_columns(keep, "keep")
        limits = (arguments.read_start(start), arguments.read_retry(retry), seconds(timeout, "timeout"))
        self.parts.stages.append(ScorePart(stage, source, model, target, columns, *limits, declaring_place(), to_topic))

    def subscribe(
        self,
        source: Source[Any] | type[SystemEvent],
        to: str | Topic[Any] | DomainTopic[Any] | SubscriptionTarget,
        *,
        name: str | None = None,
        where: str | pl.Expr | None = None,
        filter: Filter | None = None,
        retry: Retry = DELIVERY,
        batch: tuple[int, int] | None = None,
        format: BodyFormat = "cloudevents",
        secret: Ref | Sequence[Ref] | None = None,
        headers: Mapping[str, str] | None = None,
        start: Literal["earliest", "latest"] = "latest",
        concurrency: int = subscriptions.CONCURRENCY,
        rate: str | None = None,
        disable_after: Duration | None = subscriptions.DISABLE_AFTER,
        handshake: Handshake = "none",
        ordered: bool = False,
        allow_http: bool = False,
        allow_private: bool = False,
    ) -> None:
        """Deliver the events of a topic, of a domain, of one topic of a domain, or of a class of system event, to a
        webhook, to a topic of a Kafka cluster, or into another topic of this app.

        ``to``: a URL, a reference to one, a ``ps.KafkaTopic``, or a topic of the app. ``name`` (default:
        ``SOURCE-to-TARGET``, where the target is the URL's host, the reference's variable in small letters, or the
        topic) is what its place is kept under. ``where``
        passes the events for which it is true; null counts as no. ``filter`` passes them as Azure Event Grid does; it
        and ``where`` cannot be given both. ``retry`` has 1 to 30 attempts and a ttl of 1 minute to 24 hours (default:
        30 and 24 hours); whichever ends first.

        ``format`` is that of a request; "cloudevents-batch" and "eventgrid" may have several events, as many as
        ``batch=(events, KB)`` says: never more than ``events`` (1 to 5,000), and no more than ``KB`` (1 to 1,024, of
        1,024 bytes) unless one alone is larger; nothing waits for a batch to fill. ``secret``, a ``ps.secret`` or two
        of them during a rotation, signs each request; ``headers`` are up to 10 more, whose values may be references.
        ``start`` serves a subscription without a place. ``concurrency`` requests are under way at once (1 to 64),
        and no more begin than ``rate`` allows, such as "100/s". ``disable_after`` so long without any success, one hour
        at least, it is disabled until somebody resumes it; None: never. ``handshake`` asks the URL, before any event
        goes there, whether it wants them: as Azure Event Grid does ("eventgrid") or as CloudEvents has it
        ("cloudevents"). ``ordered`` sends the events of a key in their order, each once the one before is taken or
        given up: a request that fails is tried again in its place, and holds what is behind it in its lane, of which
        there are 64 by key in each partition. ``allow_http`` is for a URL without TLS, ``allow_private`` for one that
        is not on the public internet. Raises ``DeclarationError``.

        >>> app.subscribe(orders, ps.env("ORDERS_URL"), where="amount > 100", secret=ps.secret("ORDERS_KEY"))
        """
        domain_topic, to_topic = (each.name if isinstance(each, DomainTopic) else None for each in (source, to))
        whole = source.domain if isinstance(source, DomainTopic) else source
        read = arguments.read_source(whole, "app.subscribe")
        target = subscriptions.read_target(to.domain if isinstance(to, DomainTopic) else to)
        attempts, ttl = subscriptions.read_retry(retry)
        max_events, preferred_kb = subscriptions.read_batch(batch)
        if isinstance(target, Topic):
            subscriptions.check_webhook_options(target, batch=batch, format=format != "cloudevents")
        elif isinstance(target, SubscriptionTarget):
            subscriptions.check_format(target, subscriptions.read_format(format), batch)
        if isinstance(target, Topic | SubscriptionTarget):
            subscriptions.check_webhook_options(
                target,
                secret=secret,
                headers=headers,
                handshake=handshake != "none",
                allow_http=allow_http,
                allow_private=allow_private,
            )
        part = SubscriptionPart(
            subscriptions.read_name(name, source if isinstance(source, DomainTopic) else read, target),
            read,
            target,
            subscriptions.read_where(where),
            subscriptions.read_filter(filter, where),
            attempts,
            ttl,
            max_events,
            preferred_kb,
            subscriptions.read_format(format),
            subscriptions.read_secrets(secret),
            subscriptions.read_headers(headers),
            arguments.read_start(start),
            at_least(concurrency, 1, "concurrency", most=subscriptions.MAX_CONCURRENCY),
            subscriptions.read_rate(rate),
            subscriptions.read_flag(allow_http, "allow_http"),
            subscriptions.read_flag(allow_private, "allow_private"),
            declaring_place(),
            subscriptions.read_disable_after(disable_after),
            subscriptions.read_handshake(handshake),
            subscriptions.read_ordered(ordered, target),
            domain_topic,
            to_topic,
        )
        self.parts.subscriptions.append(part)


def _topic(
    kind: type[T],
    name: str,
    type: type[Any] | None,
    key: object,
    partitions: int,
    retain: Duration | None,
    retain_bytes: int | None,
    dedupe: Duration | None,
    encoding: Encoding,
    extra: Extra,
) -> T:
    if not (key is None or isinstance(key, str)):
        raise refused(f"key={key!r} must be the name of a column")
    return kind(
        name,
        type,
        key,
        at_least(partitions, 1, "partitions", most=MAX_PARTITIONS),
        None if retain is None else microseconds(retain, "retain"),
        None if retain_bytes is None else at_least(retain_bytes, 1, "retain_bytes"),
        None if dedupe is None else microseconds(dedupe, "dedupe"),
        arguments.read_encoding(encoding),
        declaring_place(),
        arguments.read_extra(extra, type),
    )
