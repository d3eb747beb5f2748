"""Events in, predictions out: the public names. Nothing heavy is imported here."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# Before any process of ours imports ONNX Runtime, which reads it then and would report to its vendor. Who wants that
# sets 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from .declare.app import JSON, App
from .declare.events import (
    Event,
    EventDeadLettered,
    ModelDeployed,
    ModelPromoted,
    ModelRegistered,
    SubscriptionDisabled,
    SystemEvent,
)
from .declare.handles.models import Loaded, Models
from .declare.handles.subscriptions import Subscriptions
from .declare.parts import Domain, DomainTopic, Model, Source, Topic
from .declare.values import Duration, Ref, Retry, env, secret
from .errors import Reject, Unavailable

if TYPE_CHECKING:
    from . import errors
    from .client.connection import Client, connect
    from .destinations.kafka.target import KafkaTopic
    from .filters import eventgrid

# Loaded when they are asked for: an app's file has no use for an HTTP client, and most for no Kafka topic.
_LATER = {
    "Client": "client.connection",
    "KafkaTopic": "destinations.kafka.target",
    "connect": "client.connection",
    "errors": "errors",
    "eventgrid": "filters.eventgrid",
    "testing": "testing",
}

__all__ = [
    "JSON",
    "App",
    "Client",
    "Domain",
    "DomainTopic",
    "Duration",
    "Event",
    "EventDeadLettered",
    "KafkaTopic",
    "Loaded",
    "Model",
    "ModelDeployed",
    "ModelPromoted",
    "ModelRegistered",
    "Models",
    "Ref",
    "Reject",
    "Retry",
    "Source",
    "SubscriptionDisabled",
    "Subscriptions",
    "SystemEvent",
    "Topic",
    "Unavailable",
    "connect",
    "env",
    "errors",
    "eventgrid",
    "secret",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_LATER[name]}", __name__)
    return module if name == _LATER[name].rpartition(".")[2] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_LATER, *(name for name in globals() if name.startswith("__"))})
