"""What an app needs of any cloud, derived from its plan: what there must be, and who may do what with it.

Every row has its reason: a line of the app, or a rule of the house (``house.py``). Nothing else grants anything, so
what no row says is not needed. The rows are plain data; a target makes its own resources of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..batch import DEAD, RETRY, SYSTEM, TopicSpec
from ..errors import DeclarationError
from ..plan.edges import START, edges, references
from ..plan.plan import ANY, LADDER, Edge, ModelSpec, Plan, SubscriptionSpec, Verb, router_of
from ..plan.references import ReferenceSpec
from ..plan.webhook_url import split_url
from ..run.compose.bootstrap import all_topics
from ..stages.registry_owner import GROUP
from .house import (
    ARTIFACTS,
    DELIVERIES,
    DELIVERING,
    DOORS,
    MEANING,
    MEANING_OF_DELIVERY,
    MEANING_OF_FORWARD,
    OWNER,
    PRODUCE,
    SCALE,
    SELF,
    STARTING,
    Grant,
    of_doors,
    of_producers,
    of_router,
    of_scale,
    of_stage,
)

Kind = Literal["log", "store", "secret", "host"]
KINDS: Mapping[Verb, Kind] = {
    "read": "log",
    "append": "log",
    "get": "store",
    "put": "store",
    "secret": "secret",
    "deliver": "host",
}
"""What each right is about."""

BROKER_PORT = 9092  # where an address of brokers says none
GATEWAY, WORKER = "gateway", "worker"
COURIER = "courier"  # there where the app has subscriptions
SCALER, PRODUCERS = "scaler", "producers"  # outside of the services
IDENTITIES = (GATEWAY, WORKER, COURIER, SCALER, PRODUCERS)
HOUSE: Mapping[str, str] = {
    DOORS: GATEWAY,
    GROUP: WORKER,
    START: WORKER,
    LADDER: COURIER,
    DELIVERIES: COURIER,
    SCALE: SCALER,
    PRODUCE: PRODUCERS,
}
"""What the house's own are known as; every stage is a worker's, every subscription and its router a courier's."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there is a row. ``place``: file:line of the app; empty: a rule of the house."""

    text: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place or 'house rule'}: {self.text}"


@dataclass(frozen=True, slots=True)
class Right:
    """``who``, a stage, a subscription or one of the house's own, may do ``verb`` to ``what``: a log, a store, a secret
    or a host (``ANY``: one that only the environment names).

    ``group``: the consumer group in which a log is read; empty where it is read without one.
    """

    who: str
    verb: Verb
    what: str
    reason: Reason
    group: str = ""

    @property
    def kind(self) -> Kind:
        """Of ``what``: a log and a store may share a name."""
        return KINDS[self.verb]


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that must be there."""

    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class RequiredLog(Requirement):
    """A topic. Its events are kept for ``retain_us`` microseconds and up to ``retain_bytes``; None: without limit."""

    partitions: int
    retain_us: int | None
    retain_bytes: int | None
    readers: tuple[Right, ...]  # one a consumer group
    is_domain: bool = False

    @property
    def is_internal(self) -> bool:
        return not self.reason.place


@dataclass(frozen=True, slots=True)
class RequiredStore(Requirement):
    """Object storage."""


@dataclass(frozen=True, slots=True)
class RequiredService(Requirement):
    """A program that always runs. ``parts``: the stages and the house's own in it."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequiredModel(Requirement):
    """``artifact``: the file that its first version is made of, as the app names it; None: it brings none along."""

    alias: str
    artifact: str | None


@dataclass(frozen=True, slots=True)
class RequiredSecret(Requirement):
    """A secret by the name of its environment variable; whoever deploys has its value."""


@dataclass(frozen=True, slots=True)
class RequiredSetting(Requirement):
    """An environment variable that is no secret. ``default``: the app's own; None: it must be given. ``parts``: who
    looks it up."""

    default: str | None
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequiredHost(Requirement):
    """A host outside that requests go to; ``ANY``: one that only the environment names. ``is_private``: it may be
    inside of a network."""

    ports: tuple[int, ...]
    is_private: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """What a service, or one of those outside that a deployment lets in, is known as, and all that it may do."""

    service: str  # its name, or ``SCALER`` or ``PRODUCERS``
    rights: tuple[Right, ...]


@dataclass(frozen=True, slots=True)
class Requirements:
    app: str
    reason: Reason
    logs: tuple[RequiredLog, ...]
    stores: tuple[RequiredStore, ...]
    services: tuple[RequiredService, ...]
    models: tuple[RequiredModel, ...]
    secrets: tuple[RequiredSecret, ...]
    settings: tuple[RequiredSetting, ...]
    hosts: tuple[RequiredHost, ...]
    identities: tuple[Identity, ...]

    @property
    def rights(self) -> Iterator[Right]:
        for identity in self.identities:
            yield from identity.rights

    def rights_of(self, service: str) -> tuple[Right, ...]:
        return next((identity.rights for identity in self.identities if identity.service == service), ())

    def secrets_of(self, service: str) -> list[str]:
        """Those that something in the service looks up; nobody else sees them."""
        return list(dict.fromkeys(right.what for right in self.rights_of(service) if right.kind == "secret"))

    def settings_of(self, service: str) -> frozenset[str]:
        """Those that something in the service looks up."""
        parts = next(each.parts for each in self.services if each.name == service)
        return frozenset(setting.name for setting in self.settings if not set(parts).isdisjoint(setting.parts))

    def has_models(self, service: str) -> bool:
        """Whether the service comes to the models' files."""
        return any(right.kind == "store" for right in self.rights_of(service))


def requirements_of(plan: Plan) -> Requirements:
    """Raises ``DeclarationError`` for a stage that does what no right is known for."""
    plan = _with_places(plan)
    rights = _rights(plan)
    parts = _parts(plan)
    return Requirements(
        plan.app,
        Reason("the app", plan.place),
        tuple(_log(topic, rights) for topic in all_topics(plan)),
        (RequiredStore(ARTIFACTS, Reason("the models' files lie there for every process")),),
        _services(parts),
        tuple(map(_model, plan.models)),
        tuple(_secrets(plan)),
        tuple(_settings(plan)),
        (*(host for each in plan.subscriptions if each.is_delivered for host in _hosts(each)), *_invited_hosts(plan)),
        tuple(Identity(name, tuple(r for who in parts[name] for r in rights if r.who == who)) for name in parts),
    )


def _with_places(plan: Plan) -> Plan:
    """A plan that was written down before topics had places has some for all that is the app's."""
    there = plan.place or plan.target or "the app's file"
    return replace(
        plan,
        place=there,
        topics=tuple(replace(topic, place=topic.place or there) for topic in plan.topics),
        stages=tuple(replace(stage, place=stage.place or there) for stage in plan.stages),
        subscriptions=tuple(replace(each, place=each.place or there) for each in plan.subscriptions),
        models=tuple(replace(model, place=model.place or there) for model in plan.models),
        resources=tuple(replace(resource, place=resource.place or there) for resource in plan.resources),
    )


# -- rights -------------------------------------------------------------------


def _rights(plan: Plan) -> list[Right]:
    """Each once, with its first reason: the app's own before those of the house."""
    found: dict[tuple[str, Verb, str, str], Right] = {}
    for right in (*_of_the_app(plan), *_of_the_house(plan)):
        found.setdefault((right.who, right.verb, right.what, right.group), right)
    return list(found.values())


def _of_the_app(plan: Plan) -> Iterator[Right]:
    meanings = {each.name: _meaning_of(each) for each in plan.subscriptions}
    places = {stage.name: stage.place for stage in plan.stages} | {each.name: each.place for each in plan.subscriptions}
    models = {model.name: model.place for model in plan.models}
    looked_up = {(who, ref.variable): place for who, ref, place in references(plan)}
    for edge in edges(plan):
        if edge.verb == "secret":
            place = looked_up[edge.who, edge.what]
        elif edge.who == START:
            place = models.get(edge.what, "")
        else:
            place = places[edge.who]
        for grant in _granted(edge, place, meanings.get(edge.who, MEANING)):
            yield _right(edge.who, grant, place, edge.what)
    hidden = {edge.what for edge in edges(plan) if edge.verb == "secret"}
    for who, ref, place in references(plan):
        if ref.kind == "env" and ref.variable in hidden:  # another takes it for a secret, so it is kept as one
            yield from (_right(who, grant, place, ref.variable) for grant in MEANING["secret"])


def _meaning_of(subscription: SubscriptionSpec) -> Mapping[Verb, tuple[Grant, ...]]:
    return MEANING_OF_DELIVERY if subscription.topic is None else MEANING_OF_FORWARD


def _of_the_house(plan: Plan) -> Iterator[Right]:
    rules: dict[str, Iterable[Grant]] = {
        DOORS: of_doors(topic.name for topic in plan.topics),
        GROUP: OWNER,
        START: STARTING,
        SCALE: of_scale(plan),
        PRODUCE: of_producers(plan),
    }
    rules |= {who: DELIVERING[who] for who in _delivering(plan)}
    rules |= {router_of(source): of_router(router_of(source), source) for source in _sources(plan)}
    forwards = [each.name for each in plan.subscriptions if each.topic is not None]
    rules |= {name: of_stage(name) for name in (*(stage.name for stage in plan.stages), *forwards)}
    for who, grants in rules.items():
        yield from (_right(who, grant) for grant in grants)


def _right(who: str, grant: Grant, place: str = "", what: str = "") -> Right:
    """``what``: what the app's edge leads to; where a grant names nothing itself, it is of that."""
    group = who if grant.group == SELF else grant.group
    text = grant.text.format(model="any model" if what == ANY else f"model '{what}'")
    return Right(who, grant.verb, grant.what or what, Reason(text, place), group)


def _granted(edge: Edge, place: str, meaning: Mapping[Verb, tuple[Grant, ...]]) -> tuple[Grant, ...]:
    if edge.verb not in meaning:
        raise DeclarationError(
            f"{place}: '{edge.who}' does '{edge.verb}' to '{edge.what}', and no deployment knows the right for it yet; "
            f"those known are {', '.join(meaning)}"
        )
    return meaning[edge.verb]


# -- what there must be -------------------------------------------------------


def _log(topic: TopicSpec, rights: Iterable[Right]) -> RequiredLog:
    whose = "every app with subscriptions has it" if topic.name == RETRY else "every app has it"
    text = "the app's topic" if topic.place else whose
    readers = tuple(right for right in rights if right.what == topic.name and right.group and right.who != SCALE)
    reason = Reason(text, topic.place)
    bounds = topic.retain_us, topic.retain_bytes
    return RequiredLog(topic.name, reason, topic.partitions, *bounds, readers, topic.domain)


def _parts(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    """Who is known as what."""
    own: Mapping[str, Sequence[str]] = {
        WORKER: [stage.name for stage in plan.stages],
        COURIER: [*(each.name for each in plan.subscriptions), *map(router_of, _sources(plan))],
    }
    idle = DELIVERING.keys() - set(_delivering(plan))
    return {
        name: (*own.get(name, ()), *(who for who, known_as in HOUSE.items() if known_as == name and who not in idle))
        for name in IDENTITIES
        if name != COURIER or plan.delivers
    }


def _sources(plan: Plan) -> list[str]:
    """The topics that go outside, each once: a router reads each. Where subscriptions come at run time any may."""
    own = [each.source for each in plan.subscriptions if each.topic is None]
    invited = [topic.name for topic in plan.topics] + [SYSTEM, DEAD] if plan.invites_subscriptions else []
    return list(dict.fromkeys([*own, *invited]))


def _delivering(plan: Plan) -> list[str]:
    """What there is in the courier once; what goes to a topic of the app climbs no ladder."""
    if not plan.delivers:
        return []
    return [LADDER, DELIVERIES] if _sources(plan) else [DELIVERIES]


def _services(parts: Mapping[str, tuple[str, ...]]) -> tuple[RequiredService, ...]:
    whats = {
        GATEWAY: "the doors: events and calls come in, answers go out",
        WORKER: "runs every stage, the registry's owner and what a start does",
        COURIER: "delivers to subscriptions: it alone speaks to hosts outside, and knows their secrets",
    }
    return tuple(RequiredService(name, Reason(text), parts[name]) for name, text in whats.items() if name in parts)


def _invited_hosts(plan: Plan) -> Iterator[RequiredHost]:
    if plan.invites_subscriptions:
        yield RequiredHost(ANY, Reason("subscriptions are put at run time, to any host", plan.place), (443,), False)


def _hosts(subscription: SubscriptionSpec) -> Iterator[RequiredHost]:
    """A URL that only the environment knows has the port of its scheme, as far as anybody can tell, and brokers theirs;
    whose addresses nobody vetoes, so they may be anywhere."""
    reason = Reason(f"'{subscription.name}' sends there", subscription.place)
    if (destination := subscription.destination) is not None:
        for name, port in destination.addresses or ((ANY, None),):
            yield RequiredHost(name, reason, (port or BROKER_PORT,), is_private=True)
        return
    if isinstance(subscription.url, str):
        url = split_url(subscription.url)
        ports = [url.port or (443 if url.scheme == "https" else 80)]
    else:
        ports = [80, 443] if subscription.allow_http else [443]
    yield RequiredHost(subscription.host or ANY, reason, tuple(ports), subscription.allow_private)


def _model(model: ModelSpec) -> RequiredModel:
    artifact = None if model.artifact is None else str(model.artifact)
    return RequiredModel(model.name, Reason("the app's model", model.place), model.alias, artifact)


def _secrets(plan: Plan) -> Iterator[RequiredSecret]:
    for variable, asked in _variables(plan).items():
        reasons = [reason for _, ref, reason in asked if ref.kind == "secret"]
        if reasons:
            yield RequiredSecret(variable, reasons[0])


def _settings(plan: Plan) -> Iterator[RequiredSetting]:
    """Without those that somebody takes for a secret: they are no less secret elsewhere. One that anybody looks up
    without a default must be given."""
    for variable, asked in _variables(plan).items():
        if all(ref.kind == "env" for _, ref, _ in asked):
            defaults = [ref.default for _, ref, _ in asked]
            parts = tuple(dict.fromkeys(who for who, _, _ in asked))
            yield RequiredSetting(variable, asked[0][2], None if None in defaults else defaults[0], parts)


def _variables(plan: Plan) -> Mapping[str, list[tuple[str, ReferenceSpec, Reason]]]:
    """All that is looked up of the environment, by name and with who does, in the order of the plan."""
    found: dict[str, list[tuple[str, ReferenceSpec, Reason]]] = {}
    for who, ref, place in references(plan):
        found.setdefault(ref.variable, []).append((who, ref, Reason(f"'{who}' looks it up", place)))
    return found
