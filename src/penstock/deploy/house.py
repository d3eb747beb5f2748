"""The rules of the house: what an app's edges mean in rights, and what Penstock's own processes do besides.

A row here is a right in every deployment, so each says what breaks without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..batch import DEAD, RETRY, SNAPSHOTS, SYSTEM
from ..plan.plan import LADDER, Plan, Verb
from ..stages.redrive import group_of
from ..stages.registry_owner import GROUP

ARTIFACTS = "artifacts"
"""The store of the models' files."""

DOORS = "penstock.gateway"
"""The doors; no stage has such a name."""

SCALE = "penstock.scale"
"""Whoever decides how many workers there are; it is the platform's, and runs nothing of ours."""

PRODUCE = "penstock.producers"
"""Whoever has events and sends them to the log itself."""

DELIVERIES = "penstock.courier"
"""The process that delivers what the subscriptions ask for, beside the routers and the ladder in it."""

SELF = "*"
"""A group that is called as whoever reads."""


@dataclass(frozen=True, slots=True)
class Grant:
    """``what`` is empty where it is what the app's edge leads to. ``text`` may name the model of that edge as
    ``{model}``."""

    verb: Verb
    what: str
    text: str
    group: str = ""


_COMPARED = Grant("get", ARTIFACTS, "a file that is there already is compared with the one put")

MEANING: Mapping[Verb, tuple[Grant, ...]] = {
    "read": (Grant("read", "", "it reads from there", SELF),),
    "append": (Grant("append", "", "it feeds it"),),
    "score": (
        Grant("get", ARTIFACTS, "it loads the versions of {model}"),
        Grant("append", SYSTEM, "which version scores from where on is stored with its scores"),
    ),
    "load": (Grant("get", ARTIFACTS, "it loads models"),),
    "register": (
        Grant("put", ARTIFACTS, "it registers {model}"),
        _COMPARED,
        Grant("append", SYSTEM, "it asks for the registration of {model}"),
    ),
    "alias": (Grant("append", SYSTEM, "it moves aliases of models"),),
    "secret": (Grant("secret", "", "it looks it up"),),
    "subscribe": (Grant("append", SYSTEM, "it puts and deletes subscriptions"),),
}
"""What each verb of an app's edges takes."""

MEANING_OF_DELIVERY: Mapping[Verb, tuple[Grant, ...]] = {
    **MEANING,
    "read": (Grant("read", "", "it goes on from a place of its own where the others do not wait for it"),),
    "append": (Grant("append", "", "what it could not deliver goes there"),),
    "deliver": (Grant("deliver", "", "it sends there"),),
}
"""The same of the edges of subscriptions to the outside: the group in which their topic is read is the router's."""

MEANING_OF_FORWARD: Mapping[Verb, tuple[Grant, ...]] = {
    **MEANING,
    "append": (Grant("append", "", "what it passes on goes there, or what it could not"),),
}
"""The same of those to a topic of the app: each is a stage of its own."""

_KNOWS = (
    Grant("read", SYSTEM, "which topics and models there are"),
    Grant("read", SNAPSHOTS, "a process starts from the newest snapshot"),
)

OWNER: tuple[Grant, ...] = (
    Grant("read", SYSTEM, "commands to the registry", GROUP),
    *_KNOWS,
    Grant("append", SYSTEM, "the answers to commands"),
    Grant("append", SNAPSHOTS, "what is known is saved there"),
    Grant("get", ARTIFACTS, "a file is looked at before it is a version"),
)
"""Of the registry's owner."""

STARTING: tuple[Grant, ...] = (
    *_KNOWS,
    Grant("append", SYSTEM, "topics are declared there"),
    Grant("get", ARTIFACTS, "which files are there is asked at each start"),
)
"""Of what a start does before the stages run, also where the app brings no model along."""


def of_stage(name: str) -> Iterator[Grant]:
    """Of every stage, beside its edges."""
    yield from _KNOWS
    yield Grant("read", DEAD, "events that are put back come from there", group_of(name))
    yield Grant("append", DEAD, "events that no attempt could deal with go there, and what became of them")


def of_router(name: str, source: str) -> Iterator[Grant]:
    """Of the stage that reads a topic for all subscriptions to the outside. It puts nothing back: the ladder does."""
    yield Grant("read", source, "its events are matched with the subscriptions", name)
    yield from _KNOWS
    yield Grant("append", DEAD, "rows that cannot be read go there")


DELIVERING: Mapping[str, tuple[Grant, ...]] = {
    LADDER: (*of_stage(LADDER), Grant("read", RETRY, "what failed is tried again when its time comes", SELF)),
    DELIVERIES: (*_KNOWS, Grant("append", SYSTEM, "how each subscription is, and from where on it delivers")),
}
"""Of what there is once in a courier, of whichever subscriptions."""


def of_doors(topics: Iterable[str]) -> Iterator[Grant]:
    """Of the doors: any topic of the app can be published to and read over HTTP."""
    for topic in topics:
        yield Grant("append", topic, "a door takes its events")
        yield Grant("read", topic, "a door hands out its events, ?wait= follows them, repeats are looked for")
    yield from _KNOWS
    yield Grant("append", SYSTEM, "commands of the models' doors, and reminders to save")
    yield Grant("read", DEAD, "the dead letters are shown")
    yield Grant("append", DEAD, "dead letters are put back or dropped")
    yield Grant("put", ARTIFACTS, "a model is registered over HTTP")
    yield _COMPARED


def of_scale(plan: Plan) -> Iterator[Grant]:
    """Of who asks how far behind the stages are."""
    for stage in plan.stages:
        yield Grant("read", stage.source, "how far behind it is decides how many workers there are", stage.name)


def of_producers(plan: Plan) -> Iterator[Grant]:
    """Of who sends events past the doors: where records are JSON, as any client writes them, and nothing of the app
    feeds the topic."""
    fed = {stage.to for stage in plan.stages} | {subscription.topic for subscription in plan.subscriptions}
    for topic in plan.topics:
        if topic.encoding == "json" and topic.name not in fed:
            yield Grant("append", topic.name, "encoding='json': whoever has events sends them to the log itself")
