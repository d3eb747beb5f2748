"""``ps.Models`` between a runner and its worker: what is asked, in which words, and who answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from ...errors import NotOffered
from ...plan.plan import Verb
from ..interface import Artifact, Services
from ..wire import WireVersion, from_wire, to_wire

NAME = "Models"
METHODS: Mapping[str, Verb] = {"resolve": "load", "register": "register"}
"""What may be asked at once, and the verb that allows it. Aliases move with the commit: see ``SetAlias``."""


class ModelServices(Protocol):
    """The registry, for one event."""

    def resolve(self, ref: str) -> Artifact:
        """``name@alias`` or ``name/version``. Raises ``NotFound``."""
        ...

    def register(
        self, name: str, artifact: Path, *, dataset_id: str | None, metrics: dict[str, float], nth: int
    ) -> int:
        """Register now and wait for the version.

        ``nth`` numbers the calls within one event, so that a repeat is recognised.
        """
        ...


class ResolveBody(msgspec.Struct, frozen=True):
    ref: str


class RegisterBody(msgspec.Struct, frozen=True):
    name: str
    path: str
    dataset_id: str | None
    metrics: dict[str, float]
    nth: int


class AskedModels:
    """In the runner: each call is one question to the worker. Raises what the worker raised."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def resolve(self, ref: str) -> Artifact:
        return from_wire(msgspec.msgpack.decode(self._ask("resolve", ResolveBody(ref)), type=WireVersion))

    def register(
        self, name: str, artifact: Path, *, dataset_id: str | None, metrics: dict[str, float], nth: int
    ) -> int:
        body = RegisterBody(name, str(artifact), dataset_id, metrics, nth)
        return msgspec.msgpack.decode(self._ask("register", body), type=int)

    def _ask(self, method: str, body: msgspec.Struct) -> bytes:
        return self._services.answer(NAME, method, msgspec.msgpack.encode(body))


def answer(models: ModelServices, method: str, body: bytes) -> bytes:
    """In the worker. Raises ``NotOffered``, ``msgspec.DecodeError`` for a body that is none, and what the registry
    raises."""
    if method == "resolve":
        asked = msgspec.msgpack.decode(body, type=ResolveBody)
        return msgspec.msgpack.encode(to_wire(models.resolve(asked.ref)))
    if method == "register":
        new = msgspec.msgpack.decode(body, type=RegisterBody)
        version = models.register(new.name, Path(new.path), dataset_id=new.dataset_id, metrics=new.metrics, nth=new.nth)
        return msgspec.msgpack.encode(version)
    raise NotOffered.by(NAME, method, METHODS)
