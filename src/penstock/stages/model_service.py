"""What stands behind ``ps.Models`` in the process that owns the lease: the registry, asked for one event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from ..batch import SYSTEM, Write
from ..errors import ModelRefused, NotOffered
from ..log.interface import Log
from ..models.artifacts import Artifacts
from ..models.messages import MoveAlias, Register, Registered
from ..models.registry import Registry
from ..plan.plan import HandleSpec, ModelSpec
from ..plan.references import value_of
from ..runner.handles import models
from ..runner.interface import Artifact, ChangeSubscription, Services, SetAlias, Wish
from ..system.messages import Command, to_rows
from .deliver.run_time.messages import DeleteSubscription, PauseSubscription, PutSubscription

ANSWER_S = 60.0  # seconds that a registration may take; its inspection loads the model once


@dataclass(frozen=True, slots=True)
class Place:
    """The event that a function is called for."""

    stage: str
    topic: str
    partition: int
    position: int

    def command_id(self, kind: str, nth: int) -> str:
        """Equal whenever this event is handled again, so that the registry knows a repeat."""
        text = "\0".join(map(str, (self.stage, self.topic, self.partition, self.position, kind, nth)))
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def command(self, wish: Wish, nth: int) -> Command:
        """What a function asks for with its commit."""
        return self.move(wish, nth) if isinstance(wish, SetAlias) else self._change(wish, nth)

    def _change(self, wish: ChangeSubscription, nth: int) -> Command:
        id, by = self.command_id("subscription", nth), f"function {self.stage}"
        if wish.put is not None:
            return PutSubscription(id=id, put=wish.put, by=by)
        if wish.change == "delete":
            return DeleteSubscription(id=id, subscription=wish.name, by=by)
        return PauseSubscription(id=id, subscription=wish.name, paused=wish.change == "pause", by=by)

    def move(self, wanted: SetAlias, nth: int) -> MoveAlias:
        return MoveAlias(
            id=self.command_id("alias", nth),
            model=wanted.model,
            alias=wanted.alias,
            version=wanted.version,
            expected=wanted.expected,
            cause=f"{self.topic}/{self.partition}/{self.position}",
        )


@dataclass(frozen=True, slots=True)
class EventServices:
    """Makes the services of each event. ``models`` are those declared, by name."""

    log: Log
    registry: Registry
    artifacts: Artifacts
    models: Mapping[str, ModelSpec]
    environ: Mapping[str, str]  # of the digests that are references

    def at(self, place: Place, asked: Sequence[HandleSpec]) -> Services:
        """``asked``: the function's handles, with what it may do; all else is refused, whatever its runner asks."""
        return _AtEvent(self, place, {handle.name: handle.verbs for handle in asked})


@dataclass(frozen=True, slots=True)
class _AtEvent:
    services: EventServices
    place: Place
    verbs: Mapping[str, Sequence[str]]  # by handle

    def answer(self, handle: str, method: str, body: bytes) -> bytes:
        methods = models.METHODS if handle == models.NAME else {}
        offered = [name for name, verb in methods.items() if verb in self.verbs.get(handle, ())]
        if method not in offered:
            raise NotOffered.by(handle, method, offered)
        return models.answer(self, method, body)

    def resolve(self, ref: str) -> Artifact:
        """Raises ``NotFound``, ``ArtifactDamaged``, ``StoreError``."""
        self.services.registry.refresh()
        version = self.services.registry.resolve(ref)
        return Artifact(version, self.services.artifacts.path(version.digest, model=version.ref))

    def register(
        self, name: str, artifact: Path, *, dataset_id: str | None, metrics: dict[str, float], nth: int
    ) -> int:
        """Raises ``ModelRefused``, ``TooLarge``, ``LogFull``, ``StoreError`` or ``TimeoutError``."""
        declared = self.services.models.get(name)
        stored = self.services.artifacts.store(artifact)
        digest = stored.digest
        trust = value_of(declared.trust, self.services.environ) if declared else None
        command = Register(
            id=self.place.command_id("register", nth),
            name=name,
            digest=digest,
            outputs=declared.outputs if declared else (),
            inputs=declared.inputs if declared else None,
            alias=declared.alias if declared else "champion",
            dataset_id=dataset_id,
            metrics=metrics,
            trust=trust if trust == f"sha256:{digest}" else None,
        )
        self.services.log.append([Write(SYSTEM, 0, to_rows([command]))])
        try:
            answer = self.services.registry.wait_for(command.id, ANSWER_S)
        except ModelRefused:
            if not self.services.registry.uses(digest):
                self.services.artifacts.forget(stored)
            raise
        assert isinstance(answer, Registered)
        return answer.version
