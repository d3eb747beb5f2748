"""The one table of doors: what routing, /openapi.json and /docs are made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from ..access.rights import HEALTH as WORKS
from ..access.rights import KEYS, Verb
from .catching.catcher import ANSWERS
from .catching.paths import PATH
from .doors import (
    caught,
    dead,
    eventgrid,
    handshakes,
    health,
    infer,
    keys,
    models,
    publish,
    read,
    subscriptions,
    topics,
)
from .handshakes import CALLBACKS
from .parameters import (
    ARTIFACT,
    AS_EVENTS,
    BACK,
    MOVE,
    PUBLISHED,
    READ,
    REGISTER,
    SELECTION,
    TAKEN_UP,
    TENSORS,
    WAITED_FOR,
    WHICH,
)
from .principal import ALIVE, CONSENT
from .services import GatewayServices

Handler = Callable[[Request, GatewayServices], Awaitable[Response]]
BareDoor = Callable[..., Awaitable[None]]
"""What a request costs matters here, so nothing is between it and ASGI: it takes ``Scope``, ``Receive``, ``Send`` and
the parameters of its path, one or two."""


@dataclass(frozen=True, slots=True)
class Route:
    """``verb``: what it lets its caller do, ``on``: to what, a name with the path's parameters in it, or ``EACH``.
    ``door``: a handler of requests, or what makes a ``BareDoor``. ``query``: parameter names and what they mean.
    ``body``: content types read, with a line on each. ``looks_into_domains``: where ``on`` is a domain, the door itself
    asks for the right to the topic of each event. ``also``: rights that it asks for beside that, to what its body
    names."""

    group: str
    verb: Verb
    on: str
    method: str
    path: str
    summary: str
    door: Handler | type[publish.Publish] | type[eventgrid.EventGrid]
    query: tuple[tuple[str, str], ...] = ()
    body: tuple[tuple[str, str], ...] = ()
    success: int = 200
    looks_into_domains: bool = False
    also: tuple[tuple[Verb, str], ...] = ()


EACH = ""
"""Several things at once: the door deals with those that its caller may do this to, and shows no others."""

TOPIC, LETTER, MODEL, SUBSCRIBED = "{topic}", "dead/{topic}", "models/{model}", "subscriptions/{subscription}"
EVENTS, MODELS, INFER, HEALTH = "Events", "Models", "Open Inference Protocol v2", "Health"
LETTERS, SUBSCRIPTIONS, CAUGHT, ACCESS = "Dead letters", "Subscriptions", "Caught webhooks", "Access"
EVENT_GRID, GRID = "Azure Event Grid", "/eventgrid/{topic}/api/events"
PUBLISH = Route(
    EVENTS,
    "append",
    TOPIC,
    "POST",
    "/topics/{topic}/events",
    "Append events. The answer comes when they are on disk; a refused request stores nothing.",
    publish.Publish,
    query=WAITED_FOR,
    body=PUBLISHED,
)
IN_DOMAIN, WHOLE_DOMAIN = "{domain}/{topic}", "{domain}/*"
DOMAINS = "Domains"
SUBSCRIPTION = "/subscriptions/{subscription}"
ALIAS, VERSION = "/models/{model}/aliases/{alias}", "/v2/models/{model}/versions/{version}"

ROUTES: tuple[Route, ...] = (
    PUBLISH,
    Route(
        EVENTS,
        "read",
        TOPIC,
        "GET",
        "/topics/{topic}/events",
        "Read events: JSON, NDJSON or Arrow, as Accept says. The header penstock-next says where to go on.",
        read.read,
        query=READ,
    ),
    Route(
        EVENTS, "read", EACH, "GET", "/topics", "Every topic; those of Penstock's own can only be read.", topics.topics
    ),
    Route(EVENTS, "read", TOPIC, "GET", "/topics/{topic}", "A topic's type, retention and partitions.", topics.topic),
    Route(
        EVENTS,
        "read",
        EACH,
        "GET",
        "/groups",
        "Every consumer group: position, owner and lag by partition.",
        topics.groups,
    ),
    Route(
        DOMAINS,
        "append",
        EACH,
        "POST",
        "/domains/{domain}/events",
        "Append events, each to the topic that it says: _topic in JSON and Arrow, domaintopic of a CloudEvent.",
        publish.PublishToDomain,
        query=PUBLISH.query,
        body=PUBLISH.body,
    ),
    Route(
        DOMAINS,
        "append",
        IN_DOMAIN,
        "POST",
        "/domains/{domain}/topics/{topic}/events",
        "Append events to one topic of a domain. Its first ones make it.",
        publish.PublishToDomain,
        query=PUBLISH.query,
        body=PUBLISH.body,
    ),
    Route(
        DOMAINS,
        "read",
        WHOLE_DOMAIN,
        "GET",
        "/domains/{domain}/events",
        "Read the events of all topics of a domain, as those of a topic; domain_topic says of which each is.",
        read.read_domain,
        query=READ,
    ),
    Route(
        DOMAINS,
        "read",
        IN_DOMAIN,
        "GET",
        "/domains/{domain}/topics/{topic}/events",
        "Read the events of one. An answer may have fewer than there are: penstock-next says where to look on.",
        read.read_domain,
        query=READ,
    ),
    Route(
        DOMAINS,
        "read",
        EACH,
        "GET",
        "/domains/{domain}/topics",
        "The topics of a domain, in the order of their names.",
        topics.domain_topics,
        query=(
            ("after", "those behind this name; none when absent"),
            ("limit", f"names at most, {topics.NAMES} when absent, up to {topics.NAMES_MOST}"),
        ),
    ),
    Route(DOMAINS, "read", EACH, "GET", "/domains", "Every domain.", topics.domains),
    Route(
        EVENT_GRID,
        "append",
        TOPIC,
        "POST",
        GRID,
        "Append events as to a topic of Azure Event Grid, or be its webhook. 200 without a body: they are on disk.",
        eventgrid.EventGrid,
        query=(("api-version", "2018-01-01, or any other: it changes nothing"),),
        body=(
            ("application/json", "an array of events in Event Grid's schema, also of one; 1 MiB and 5,000 at most"),
            ("application/cloudevents+json", "one CloudEvent"),
            ("application/cloudevents-batch+json", "an array of CloudEvents"),
        ),
        looks_into_domains=True,
    ),
    Route(
        EVENT_GRID,
        "append",
        TOPIC,
        "OPTIONS",
        GRID,
        "May who asks with WebHook-Request-Origin deliver here (CloudEvents' web hooks)? Yes.",
        eventgrid.grant,
    ),
    Route(
        LETTERS,
        "read",
        EACH,
        "GET",
        "/dead",
        "Events that no attempt could deal with, and what became of each.",
        dead.letters,
        WHICH,
    ),
    Route(
        LETTERS,
        "read",
        LETTER,
        "GET",
        "/dead/{topic}/{partition}/{offset}",
        "One event's letters, of every stage.",
        dead.letter,
        AS_EVENTS,
    ),
    Route(
        LETTERS,
        "redrive",
        EACH,
        "POST",
        "/dead/redrive",
        "Put events back to the stage that failed, and to no other. Again until left is 0; none is put back twice.",
        dead.redrive,
        body=SELECTION,
    ),
    Route(
        LETTERS,
        "redrive",
        EACH,
        "POST",
        "/dead/drop",
        "Say that nothing is to be done about them.",
        dead.drop,
        body=SELECTION,
    ),
    Route(
        SUBSCRIPTIONS,
        "read",
        EACH,
        "GET",
        "/subscriptions",
        "Every subscription: where it goes, its state, what waits for it, and its endpoint's last answer.",
        subscriptions.subscriptions,
        query=(
            ("limit", f"subscriptions at most, {subscriptions.LIMIT} when absent, up to {subscriptions.MOST}"),
            ("after", "those that follow this name; or the header penstock-next of the answer before"),
        ),
    ),
    Route(SUBSCRIPTIONS, "read", SUBSCRIBED, "GET", SUBSCRIPTION, "The same of one.", subscriptions.subscription),
    Route(
        SUBSCRIPTIONS,
        "subscribe",
        SUBSCRIBED,
        "PUT",
        SUBSCRIPTION,
        "Have events delivered to a webhook from now on, while the app runs; asks for read:SOURCE too.",
        subscriptions.put,
        body=(
            (
                "application/json",
                "source, a topic or a type of system event; to, an https URL; and what app.subscribe takes: "
                "where, filter, retry (attempts, ttl), batch, format, secret, headers, start, concurrency, rate, "
                "disable_after, ordered, handshake",
            ),
        ),
        also=(("read", "*"),),
    ),
    Route(
        SUBSCRIPTIONS,
        "subscribe",
        SUBSCRIBED,
        "DELETE",
        SUBSCRIPTION,
        "End one that was put while the app ran: what waits for another attempt becomes dead letters.",
        subscriptions.delete,
    ),
    Route(
        SUBSCRIPTIONS,
        "steer",
        SUBSCRIBED,
        "POST",
        f"{SUBSCRIPTION}/pause",
        "Deliver nothing to it for now: its events wait, for as long as the topic keeps them.",
        subscriptions.pause,
    ),
    Route(
        SUBSCRIPTIONS,
        "steer",
        SUBSCRIBED,
        "POST",
        f"{SUBSCRIPTION}/resume",
        "Deliver again, from where it was: one that was paused, or that is disabled; or ask its endpoint again.",
        subscriptions.resume,
    ),
    Route(
        SUBSCRIPTIONS,
        "consent",
        CONSENT,
        "GET",
        f"{CALLBACKS}/{{token}}",
        "Grant the handshake that this URL was made for, once; a header WebHook-Allowed-Rate limits what is sent.",
        handshakes.granted,
    ),
    Route(
        SUBSCRIPTIONS,
        "consent",
        CONSENT,
        "POST",
        f"{CALLBACKS}/{{token}}",
        "The same; a body is not read.",
        handshakes.granted,
    ),
    Route(MODELS, "read", EACH, "GET", "/models", "Every model.", models.models),
    Route(
        MODELS,
        "read",
        MODEL,
        "GET",
        "/models/{model}",
        "Its versions and aliases, and what each scorer uses.",
        models.model,
    ),
    Route(
        MODELS,
        "register",
        MODEL,
        "POST",
        "/models/{model}/versions",
        "Register an artifact as the next version: ONNX, LightGBM text, XGBoost, skops. 400 says why it was refused.",
        models.register,
        query=REGISTER,
        body=ARTIFACT,
        success=201,
    ),
    Route(
        MODELS,
        "alias",
        MODEL,
        "PUT",
        ALIAS,
        "Point an alias to a version.",
        models.set_alias,
        query=TAKEN_UP,
        body=MOVE,
    ),
    Route(MODELS, "alias", MODEL, "POST", ALIAS, "The same.", models.set_alias, query=TAKEN_UP, body=MOVE),
    Route(
        MODELS,
        "alias",
        MODEL,
        "POST",
        "/models/{model}/promote",
        "Point the alias champion to a version: scorers take it at their next batch.",
        models.promote,
        query=TAKEN_UP,
        body=MOVE,
    ),
    Route(
        MODELS,
        "alias",
        MODEL,
        "POST",
        "/models/{model}/rollback",
        "Point an alias to the version that it pointed to before; 409 when there is none, or it moved meanwhile.",
        models.rollback,
        query=TAKEN_UP,
        body=BACK,
    ),
    Route(
        INFER,
        "score",
        MODEL,
        "POST",
        "/v2/models/{model}/infer",
        "Score rows with the same worker, version and batches as the stream.",
        infer.infer,
        body=TENSORS,
    ),
    Route(
        INFER,
        "read",
        MODEL,
        "GET",
        "/v2/models/{model}",
        "The version in service, its inputs and outputs.",
        infer.model,
    ),
    Route(
        INFER,
        "read",
        MODEL,
        "GET",
        "/v2/models/{model}/ready",
        "Is a version in service? 404 when none is.",
        infer.model_ready,
    ),
    Route(
        INFER,
        "score",
        MODEL,
        "POST",
        f"{VERSION}/infer",
        "The same, of a version: the one in service.",
        infer.infer,
        body=TENSORS,
    ),
    Route(INFER, "read", MODEL, "GET", VERSION, "The same, of a version.", infer.model),
    Route(INFER, "read", MODEL, "GET", f"{VERSION}/ready", "The same, of a version.", infer.model_ready),
    Route(INFER, "look", WORKS, "GET", "/v2", "The server and what it can do.", infer.server),
    Route(INFER, "look", ALIVE, "GET", "/v2/health/live", "Does it live?", infer.live),
    Route(INFER, "look", WORKS, "GET", "/v2/health/ready", "Is everything at work? 503 when not.", infer.ready),
    Route(
        ACCESS,
        "manage",
        KEYS,
        "GET",
        "/keys",
        "Every key: whose it is, what it may do, when it expires; never the key itself.",
        keys.keys,
    ),
    Route(
        ACCESS,
        "manage",
        KEYS,
        "POST",
        "/keys",
        "Make a key. It is in the answer, and nowhere else: what is kept does not tell it.",
        keys.create,
        body=(("application/json", "name: whose it is; allow: its rights; days: how long it opens something"),),
        success=201,
    ),
    Route(
        ACCESS,
        "manage",
        KEYS,
        "DELETE",
        "/keys/{key}",
        "Revoke the key of this id: it opens nothing any more, on no host.",
        keys.revoke,
    ),
    Route(HEALTH, "look", ALIVE, "GET", "/healthz", "Does it live?", health.healthz),
    Route(HEALTH, "look", WORKS, "GET", "/readyz", "Is everything at work? 503 with reasons when not.", health.readyz),
    Route(
        HEALTH,
        "look",
        WORKS,
        "GET",
        "/metrics",
        "Counters and gauges of all processes, for Prometheus.",
        health.metrics,
    ),
)

CATCHER_ROUTES: tuple[Route, ...] = (
    Route(CAUGHT, "read", EACH, "GET", PATH, "A page of what `penstock dev` has caught, by subscription.", caught.look),
    Route(
        CAUGHT,
        "read",
        EACH,
        "GET",
        f"{PATH}/requests",
        "The same as JSON: each request as it would have been sent, and what it was answered.",
        caught.requests,
        query=(("since", "only those with a higher number; count of the answer before"),),
    ),
    Route(
        CAUGHT,
        "catch",
        SUBSCRIBED,
        "POST",
        f"{PATH}/{{subscription}}",
        "Where the courier sends a subscription's webhooks, whatever they are.",
        caught.catch,
        body=(("any", "an event, as its receiver would get it"),),
    ),
    Route(
        CAUGHT,
        "steer",
        SUBSCRIBED,
        "PUT",
        f"{PATH}/{{subscription}}/answer",
        "Choose what they are answered, to see what a receiver that fails does.",
        caught.choose,
        body=(("application/json", f"answer: one of {', '.join(ANSWERS)}"),),
    ),
)
"""Where webhooks are caught."""
