"""What the tests of an app and of a backend need: run an app in memory, and the suites that every backend passes.

The names are loaded when they are asked for: the suites need pytest, and running an app does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .destination_contract import DestinationContract
    from .door_contract import DoorContract
    from .log_contract import LogContract
    from .objects_contract import ObjectsContract
    from .rowwise import assert_rowwise
    from .running import DeadLetter, Running, run
    from .runtime_contract import RuntimeContract
    from .stage_contract import StageContract

_PLACES = {
    "DeadLetter": "running",
    "DestinationContract": "destination_contract",
    "DoorContract": "door_contract",
    "LogContract": "log_contract",
    "ObjectsContract": "objects_contract",
    "Running": "running",
    "RuntimeContract": "runtime_contract",
    "StageContract": "stage_contract",
    "assert_rowwise": "rowwise",
    "run": "running",
}

__all__ = [
    "DeadLetter",
    "DestinationContract",
    "DoorContract",
    "LogContract",
    "ObjectsContract",
    "Running",
    "RuntimeContract",
    "StageContract",
    "assert_rowwise",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
