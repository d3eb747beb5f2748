"""Events in, predictions out: the public names. Nothing heavy is imported here."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# Before any process of ours imports ONNX Runtime, which reads it then and would report to its vendor. Who wants that
# sets 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from .declare.app import JSON as JSON
from .declare.app import App as App
from .declare.events import Event as Event
from .declare.events import ModelPromoted as ModelPromoted
from .declare.events import ModelRegistered as ModelRegistered
from .declare.events import SystemEvent as SystemEvent
from .declare.handles import Loaded as Loaded
from .declare.handles import Models as Models
from .declare.parts import Model as Model
from .declare.parts import Source as Source
from .declare.parts import Topic as Topic
from .declare.values import Duration as Duration
from .declare.values import Ref as Ref
from .declare.values import Retry as Retry
from .declare.values import env as env
from .declare.values import secret as secret
from .errors import Reject as Reject
from .errors import Unavailable as Unavailable

if TYPE_CHECKING:
    from . import errors as errors
    from .client.connection import Client as Client
    from .client.connection import connect as connect

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
