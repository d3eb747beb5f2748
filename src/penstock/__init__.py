"""Events in, predictions out: the public names. Nothing heavy is imported here."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# Before any process of ours imports ONNX Runtime, which reads it then and would report to its vendor. Who wants that
# sets 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from .declare.app import JSON, App
from .declare.events import Event, ModelPromoted, ModelRegistered, SystemEvent
from .declare.handles.models import Loaded, Models
from .declare.parts import Model, Source, Topic
from .declare.values import Duration, Ref, Retry, env, secret
from .errors import Reject, Unavailable

if TYPE_CHECKING:
    from . import errors
    from .client.connection import Client, connect

# Loaded when they are asked for: an app's file has no use for an HTTP client.
_LATER = {"Client": "client.connection", "connect": "client.connection", "errors": "errors", "testing": "testing"}

__all__ = [
    "JSON",
    "App",
    "Client",
    "Duration",
    "Event",
    "Loaded",
    "Model",
    "ModelPromoted",
    "ModelRegistered",
    "Models",
    "Ref",
    "Reject",
    "Retry",
    "Source",
    "SystemEvent",
    "Topic",
    "Unavailable",
    "connect",
    "env",
    "errors",
    "secret",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_LATER[name]}", __name__)
    return module if name == _LATER[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_LATER, *(name for name in globals() if name.startswith("__"))})
