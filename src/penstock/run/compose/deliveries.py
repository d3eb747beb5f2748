"""How an app's subscriptions are put together: a router for each topic that has some, and the ladder for all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from threading import Event, Thread
from urllib.parse import urlsplit

from ...batch import DEAD, SYSTEM, TopicSpec
from ...destinations.interface import AskingDestination, Destination
from ...destinations.measured import MeasuredDestination
from ...destinations.webhook.endpoint import Endpoint
from ...errors import CannotStart, DeclarationError, PenstockError, install
from ...filters.domain_topic import OfDomainTopic
from ...filters.eventgrid.predicate import FilterPredicate
from ...filters.interface import Predicate
from ...filters.where import parse
from ...gateway.catching.catcher import shown_headers, signing_secrets
from ...gateway.catching.paths import path_of
from ...gateway.handshakes import CALLBACKS
from ...models.registry import Registry
from ...plan.plan import Plan, SubscriptionSpec
from ...plan.references import ReferenceSpec
from ...schema.egress.render import Format
from ...schema.rows import is_json
from ...settings import Settings
from ...stages.deliver.attempts import RetryPolicy
from ...stages.deliver.handshakes.asking import AskedEndpoint, Handshakes, endpoint_digest
from ...stages.deliver.ladder import Ladder
from ...stages.deliver.redelivery import Redelivery
from ...stages.deliver.routing import FilterRouting, SystemRouting, SystemSelection
from ...stages.deliver.run_time.router import ChangingRouter, ChangingRouting
from ...stages.deliver.state import DeliveryState
from ...stages.deliver.subscriptions import Subscription
from ...stages.failures.dead import DEAD_TOPIC
from ...stages.forward import Forward
from ...telemetry import logger
from .bootstrap import SYSTEM_TOPIC, open_registry
from .destinations import kind_of
from .run_time import RunTimeRoutes
from .stages import RunningStage, StageLines
from .warming import WarmVersion

LADDER_ROWS = 1_024  # in one pass; those of a rung that are under way are read again
LABELLED = 1_000  # subscriptions of a plan, up to which each has metrics of its own
LOOK_S = 1.0  # seconds between two looks at which subscriptions are halted
ALL_LOOKS = 30  # looks from one that asks what is stored of all of them to the next; others ask of those that changed
COMING_S = 0.25  # seconds between two looks at which have come and gone, which costs the same however many there are

log = logger(__name__)

OpenLane = Callable[[Endpoint], AskingDestination]


def origin_of(plan: Plan, settings: Settings) -> str:
    """Who sends, as the handshake of CloudEvents has it: the host at which others reach us, or else the app's name."""
    return urlsplit(settings.public_url).hostname or plan.app


def endpoint_of(spec: SubscriptionSpec, environ: Mapping[str, str], origin: str) -> Endpoint:
    """Of a subscription to a webhook, with what it looks up. ``origin``: who sends. Raises ``DeclarationError`` where
    that has no value, and for an endpoint that cannot be."""

    def value(given: str | ReferenceSpec) -> str:
        return given.resolve(environ) if isinstance(given, ReferenceSpec) else given

    assert spec.url is not None
    return Endpoint(
        value(spec.url),
        [value(secret) for secret in spec.secrets],
        [(name, value(header)) for name, header in spec.headers],
        spec.concurrency,
        spec.rate or "",
        spec.allow_http,
        spec.allow_private,
        handshake=spec.handshake,
        origin=origin,
    )


def caught_endpoint(spec: SubscriptionSpec, environ: Mapping[str, str], catcher: str, trusted: str = "") -> Endpoint:
    """Where its requests are caught in the place of its own, whose URL is not looked up. ``catcher``: the address of a
    gateway on this machine; ``trusted``: the file of its certificate, if it speaks TLS. Raises ``DeclarationError`` for
    a secret that is set and is none."""
    return Endpoint(
        f"{catcher}{path_of(spec.name)}",
        signing_secrets(spec, environ),
        shown_headers(spec, environ),
        spec.concurrency,
        spec.rate or "",
        allow_http=True,
        allow_private=True,
        authorities=trusted,
    )


def _digest(endpoint: Endpoint, format: Format) -> str:
    """Of what an endpoint says yes to. By the handshake of CloudEvents that is an origin."""
    origin = endpoint.origin if endpoint.handshake == "cloudevents" else ""
    return endpoint_digest(endpoint.handshake, endpoint.url, format, origin)


@dataclass(frozen=True, slots=True)
class OpenedDestination:
    """A destination with how events are rendered for it, and where it is, for people. ``asking``: what asks its
    endpoint before any event goes there, and the endpoint's digest."""

    destination: Destination
    format: Format
    place: str
    asking: tuple[AskingDestination, str] | None = None


@dataclass(slots=True)
class CourierComposition(StageLines):
    """``open_lane`` sends to one endpoint of webhooks; None where there is none to send to. ``catcher``: the address of
    a gateway that gets all that would go out, and ``trusted`` the file of its certificate, if it speaks TLS."""

    open_lane: OpenLane | None
    catcher: str = ""
    trusted: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    registry: Registry = field(init=False)
    lines: list[RunningStage] = field(init=False)
    models: Sequence[WarmVersion] = ()  # of a worker's stages; a courier has none
    subscriptions: dict[str, Subscription] = field(init=False, default_factory=dict)
    destinations: dict[str, MeasuredDestination] = field(init=False, default_factory=dict)  # by subscription
    asked: list[AskedEndpoint] = field(init=False, default_factory=list)  # those whose endpoints have to be asked
    run_time: RunTimeRoutes = field(init=False)
    threads: list[Thread] = field(init=False, default_factory=list)  # of those destinations that have one of their own
    _learned: set[str] = field(init=False, default_factory=set)  # subscriptions that something was stored of
    _looks: Iterator[int] = field(init=False, default_factory=count)

    def __post_init__(self) -> None:
        """Raises ``DeclarationError`` for a subscription whose settings have no value here, or one that cannot be."""
        self.registry = open_registry(self.log, self.clock, self.member)
        self.run_time = RunTimeRoutes(self)
        delivered = [spec for spec in self.plan.subscriptions if spec.is_delivered]
        self.subscriptions = {spec.name: self.open(spec) for spec in delivered}
        sources = dict.fromkeys(spec.source for spec in delivered)
        self.lines = [self.router(source, [s for s in delivered if s.source == source]) for source in sources]
        self.lines += [self._ladder()] if delivered or self.plan.invites_subscriptions else []
        self.lines += [self._forward(spec) for spec in self.plan.subscriptions if spec.topic is not None]
        self.registry.refresh()
        self.run_time.sync()

    def close(self) -> None:
        """After the pumps have ended: they leave their groups themselves."""
        for line in self.lines:
            line.close()
        for subscription in self.subscriptions.values():
            subscription.destination.close()
        self.registry.close()

    def label(self, name: str) -> str:
        """Of its metrics: only those of the file, and only few, have each their own."""
        own = self.plan.subscriptions
        return name if len(own) <= LABELLED and any(spec.name == name for spec in own) else "*"

    def handshakes(self) -> Handshakes:
        """For a thread of its own."""
        public = self.settings.public_url
        callbacks = f"{public}{CALLBACKS}" if public else ""
        patience = self.settings.handshake_timeout
        return Handshakes(self.log, self.registry.view, self.clock, self.asked, callbacks, patience)

    def keep_halted(self, stop: Event) -> None:
        """Until told to stop: what somebody put, paused, resumed or ended is known here within a second."""
        for turn in count():
            try:
                if turn % round(LOOK_S / COMING_S) == 0:
                    self.look_at_halted()
                elif self.plan.invites_subscriptions:
                    self.run_time.refresh()
            except PenstockError as error:
                log.warning("which subscriptions there are, and are paused, cannot be read", reason=str(error))
            if stop.wait(COMING_S):
                return

    def look_at_halted(self) -> None:
        self.registry.refresh()
        self.run_time.sync()
        state = self.registry.view.areas.only(DeliveryState)
        with self.registry.view.lock:
            told = state.spoken_of()
        # Of most nothing is stored, nor was at the last look. What one thinks of itself may never come to be stored.
        everyone = next(self._looks) % ALL_LOOKS == 0
        for name in list(self.subscriptions) if everyone else told | self._learned:
            if (subscription := self.subscriptions.get(name)) is not None:
                subscription.learn(state)
        self._learned = told

    def router(self, source: str, specs: Sequence[SubscriptionSpec]) -> RunningStage:
        topic = self.topic(source)
        routing = self._routing(topic, specs)
        behind = self.log.reader(None, [source], self.member)
        subscriptions = [self.subscriptions[spec.name] for spec in specs]

        def ends() -> Mapping[int, int]:
            return {state.partition: state.end for state in self.log.partitions(source)}

        view, app = self.registry.view, self.plan.app
        sync = self.run_time.sync
        stage = ChangingRouter(topic, app, subscriptions, routing, view, behind, ends, self.clock, sync)
        self.run_time.routers[source] = stage
        rows = self.settings.batch_rows
        return self.line(stage, stage.close, lambda: None, lambda: rows, "latest", redrive=None)

    def _routing(self, topic: TopicSpec, specs: Sequence[SubscriptionSpec]) -> ChangingRouting:
        """Of one topic either all want system events, or none does."""
        if topic.name in (SYSTEM, DEAD):
            return SystemRouting(self.plan.app, [system_selection(s, s.event) for s in specs if s.event is not None])
        return FilterRouting(topic, self.plan.app, [self.predicate(spec, topic) for spec in specs])

    def _ladder(self) -> RunningStage:
        topics = {topic.name: topic for topic in (*self.plan.topics, SYSTEM_TOPIC, DEAD_TOPIC)}
        stage = Ladder(self.plan.app, topics, self.subscriptions, self.clock, self.run_time.refresh)
        put_back = partial(Redelivery, stages=self.subscriptions.keys())
        return self.line(stage, lambda: None, lambda: None, lambda: LADDER_ROWS, redrive=put_back)

    def _forward(self, spec: SubscriptionSpec) -> RunningStage:
        source, target = self.topic(spec.source), self.topic(spec.topic or "")
        stage = Forward(spec.name, source, target, self.plan.app, self.predicate(spec, source))
        rows = self.settings.batch_rows
        return self.line(stage, lambda: None, lambda: None, lambda: rows, spec.start)

    def open(self, spec: SubscriptionSpec) -> Subscription:
        try:
            opened = self._destination(spec)
        except PenstockError as error:
            place = f"{spec.place}: " if spec.place else ""
            raise DeclarationError(f"{place}subscription '{spec.name}': {error}") from None
        measured = MeasuredDestination(opened.destination, self.label(spec.name), self.clock)
        destination = self.destinations[spec.name] = measured
        subscription = Subscription(
            spec.name,
            destination,
            RetryPolicy(spec.attempts, spec.ttl),
            opened.format,
            spec.max_events,
            spec.preferred_kb << 10,
            earliest=spec.start == "earliest",
            ordered=spec.ordered,
            concurrency=spec.concurrency,
            event=spec.event,
            source=spec.source,
            endpoint=opened.place,
            disable_after_s=spec.disable_after,
        )
        if opened.asking is not None:
            subscription.unproven = True  # until it is known that its endpoint has said yes
            self.asked.append(AskedEndpoint(subscription, *opened.asking))
        return subscription

    def _destination(self, spec: SubscriptionSpec) -> OpenedDestination:
        if self.catcher or spec.destination is None:
            endpoint = self._endpoint(spec)
            if self.open_lane is None:
                raise CannotStart(f"no webhook can be sent: {install('webhooks')}")
            lane = self.open_lane(endpoint)
            asking = None if endpoint.handshake == "none" else (lane, _digest(endpoint, spec.format))
            return OpenedDestination(lane, spec.format, endpoint.place, asking)
        kind = kind_of(spec)
        opened = kind.open(spec, self.environ, self.clock)
        self.threads.append(opened.thread)
        return OpenedDestination(opened, kind.format(spec), spec.receiver)

    def _endpoint(self, spec: SubscriptionSpec) -> Endpoint:
        if self.catcher:
            return caught_endpoint(spec, self.environ, self.catcher, self.trusted)
        return endpoint_of(spec, self.environ, origin_of(self.plan, self.settings))

    def selection(self, spec: SubscriptionSpec, topic: TopicSpec) -> Predicate | SystemSelection | None:
        """What its router chooses by."""
        return self.predicate(spec, topic) if spec.event is None else system_selection(spec, spec.event)

    def add(self, subscription: Subscription) -> None:
        """One put at run time, opened; from here on the ladder knows it."""
        self.subscriptions[subscription.name] = subscription

    def remove(self, subscription: Subscription) -> None:
        """It is closed, and unknown from here on, unless another has its name by now."""
        name = subscription.name
        if self.subscriptions.get(name) is subscription:
            del self.subscriptions[name]
        if self.destinations.get(name) is subscription.destination:
            del self.destinations[name]
        self.asked[:] = [each for each in self.asked if each.subscription is not subscription]
        subscription.destination.close()

    def predicate(self, spec: SubscriptionSpec, topic: TopicSpec) -> Predicate | None:
        condition = self._condition(spec, topic)
        return condition if spec.domain_topic is None else OfDomainTopic(spec.domain_topic, condition)

    def _condition(self, spec: SubscriptionSpec, topic: TopicSpec) -> Predicate | None:
        schema = None if is_json(topic.schema) else topic.schema
        if spec.filter is not None:
            return FilterPredicate(spec.filter, schema)
        return None if spec.where is None else parse(spec.where, schema)

    def topic(self, name: str) -> TopicSpec:
        own = {topic.name: topic for topic in (SYSTEM_TOPIC, DEAD_TOPIC)}
        return own.get(name) or self.plan.topic(name)


def system_selection(spec: SubscriptionSpec, event: str) -> SystemSelection:
    """``event``: the type of system event that the subscription is for."""
    predicate = None if spec.filter is None else FilterPredicate(spec.filter, None)
    return SystemSelection(event, spec.where, predicate, spec.format)
