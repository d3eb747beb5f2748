"""What stands behind ``ps.Models`` in the process that owns the lease: the registry, asked for one event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from ..batch import SYSTEM, Write
from ..declare.plan import ModelSpec
from ..errors import ModelRefused
from ..log.interface import Log
from ..models.artifacts import Artifacts
from ..models.messages import MoveAlias, Register, Registered
from ..models.registry import Registry
from ..runner.interface import Artifact, Services, SetAlias
from ..system.messages import to_rows

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
class ModelServices:
    """Makes the services of each event. ``models`` are those declared, by name."""

    log: Log
    registry: Registry
    artifacts: Artifacts
    models: Mapping[str, ModelSpec]

    def at(self, place: Place) -> Services:
        return _AtEvent(self, place)


@dataclass(frozen=True, slots=True)
class _AtEvent:
    desk: ModelServices
    place: Place

    def resolve(self, ref: str) -> Artifact:
        """Raises ``NotFound``, ``ArtifactDamaged``, ``StoreError``."""
        self.desk.registry.refresh()
        version = self.desk.registry.resolve(ref)
        return Artifact(version, self.desk.artifacts.path(version.digest, model=version.ref))

    def register(
        self, name: str, artifact: Path, *, dataset_id: str | None, metrics: dict[str, float], nth: int
    ) -> int:
        """Raises ``ModelRefused``, ``TooLarge``, ``LogFull``, ``StoreError`` or ``TimeoutError``."""
        declared = self.desk.models.get(name)
        stored = self.desk.artifacts.store(artifact)
        digest = stored.digest
        command = Register(
            id=self.place.command_id("register", nth),
            name=name,
            digest=digest,
            outputs=declared.outputs if declared else (),
            inputs=declared.inputs if declared else None,
            alias=declared.alias if declared else "champion",
            dataset_id=dataset_id,
            metrics=metrics,
            trust=declared.trust if declared and declared.trust == f"sha256:{digest}" else None,
        )
        self.desk.log.append([Write(SYSTEM, 0, to_rows([command]))])
        try:
            answer = self.desk.registry.wait_for(command.id, ANSWER_S)
        except ModelRefused:
            if not self.desk.registry.uses(digest):
                self.desk.artifacts.forget(stored)
            raise
        assert isinstance(answer, Registered)
        return answer.version
