"""The one table of doors: what routing and the OpenAPI page are both made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from .doors import health, infer, models, read, topics
from .rooms import Rooms

Handler = Callable[[Request, Rooms], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """``query``: parameter names and what they mean. ``body``: content types read, with a line on each."""

    method: str
    path: str
    summary: str
    handler: Handler | None = None  # None: bare ASGI, see ``app``
    query: tuple[tuple[str, str], ...] = ()
    body: tuple[tuple[str, str], ...] = ()
    success: int = 200


JSON = (("application/json", "an object"),)
PUBLISH = Route(
    "POST",
    "/topics/{topic}/events",
    "Append events; the answer comes when they are on disk",
    query=(
        ("wait", "a topic downstream: the answer carries the rows that it got from these events"),
        ("timeout", "how long to wait for them: 200ms, 2s"),
    ),
    body=(
        ("application/json", "one event or an array of them; with ce-* headers a CloudEvent in binary mode"),
        ("application/x-ndjson", "one event a line"),
        ("application/cloudevents+json", "one CloudEvent"),
        ("application/cloudevents-batch+json", "an array of CloudEvents"),
        ("application/vnd.apache.arrow.stream", "record batches with the topic's columns"),
    ),
)
REGISTER = (
    ("trust", "sha256:HEX of an artifact that may execute code when it is loaded"),
    ("dataset_id", "what it was trained on"),
    ("metrics", "a JSON object of numbers"),
    ("outputs", "names of the output columns, with commas, for a model that the app does not declare"),
    ("inputs", "names of the input columns, likewise"),
)

ROUTES: tuple[Route, ...] = (
    PUBLISH,
    Route(
        "GET",
        "/topics/{topic}/events",
        "Read events: JSON, NDJSON or Arrow, as Accept says; the header penstock-next says where to go on",
        read.read,
        query=(
            ("partition", "one partition; all of them when absent"),
            ("offset", "the first to read, in each partition; or the header penstock-next of the answer before"),
            ("limit", f"events at most, {read.LIMIT} when absent, up to {read.MOST}"),
            ("wait", "how long to wait when there is nothing: 200ms, 2s"),
        ),
    ),
    Route("GET", "/topics", "Every topic", topics.topics),
    Route("GET", "/topics/{topic}", "A topic's type and partitions", topics.topic),
    Route("GET", "/groups", "Every consumer group: position, owner and lag by partition", topics.groups),
    Route("GET", "/models", "Every model", models.models),
    Route("GET", "/models/{model}", "A model's versions and aliases", models.model),
    Route(
        "POST",
        "/models/{model}/versions",
        "Register an artifact as the next version",
        models.register,
        query=REGISTER,
        body=(("application/octet-stream", "the artifact"),),
        success=201,
    ),
    Route("PUT", "/models/{model}/aliases/{alias}", "Point an alias to a version", models.set_alias, body=JSON),
    Route("POST", "/models/{model}/aliases/{alias}", "The same", models.set_alias, body=JSON),
    Route("POST", "/models/{model}/promote", "Point the alias champion to a version", models.promote, body=JSON),
    Route("GET", "/v2", "Open Inference Protocol: the server", infer.server),
    Route("GET", "/v2/health/live", "Open Inference Protocol: does it live", infer.live),
    Route("GET", "/v2/health/ready", "Open Inference Protocol: is it ready", infer.ready),
    Route("GET", "/v2/models/{model}", "Open Inference Protocol: the version in service", infer.model),
    Route("GET", "/v2/models/{model}/ready", "Open Inference Protocol: is there one", infer.model_ready),
    Route("POST", "/v2/models/{model}/infer", "Score rows as the stream does", infer.infer, body=JSON),
    Route("GET", "/v2/models/{model}/versions/{version}", "The same, of a version", infer.model),
    Route("GET", "/v2/models/{model}/versions/{version}/ready", "The same, of a version", infer.model_ready),
    Route("POST", "/v2/models/{model}/versions/{version}/infer", "The same, of a version", infer.infer, body=JSON),
    Route("GET", "/healthz", "Does it live", health.healthz),
    Route("GET", "/readyz", "Does it work, and if not why", health.readyz),
    Route("GET", "/metrics", "Prometheus", health.metrics),
)
