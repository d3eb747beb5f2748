"""Models whose file the app brings along: the first version of each, and what becomes of a file that has changed."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import file_digest
from pathlib import Path

from ...clock import Clock
from ...declare.parts import OnChange
from ...declare.plan import ModelSpec, Plan
from ...errors import CannotStart
from ...models.artifacts import Artifacts
from ...models.messages import SEED, MoveAlias, Register
from ...models.registry import Registry
from ...notices import Notices
from ...system.messages import Command
from ...telemetry import logger

KEY = "changed model"  # of the notices, followed by the model's name and the digest of its file

log = logger(__name__)


def commands(
    plan: Plan, registry: Registry, artifacts: Artifacts, clock: Clock, told: Notices, on_change: OnChange
) -> Iterable[Command]:
    """What a start asks of the registry. ``on_change`` is for models that do not say it themselves.

    Raises ``CannotStart`` for a file that cannot be read.
    """
    for model in plan.models:
        if model.artifact is None:
            continue
        try:
            if not registry.versions(model.name):
                yield _registration(model, artifacts, clock, first=True)
            else:
                yield from _changed(model, registry, artifacts, clock, told, model.on_change or on_change)
        except OSError as error:
            reason = f"the artifact {model.artifact} cannot be read: {error.strerror}"
            raise CannotStart(f"{model.place}: {reason}") from None


def is_own_code(artifact: Path) -> bool:
    """Python source that the app's file names is the app's own code, as a module that it imports would be."""
    return artifact.suffix == ".py"


def _registration(
    model: ModelSpec, artifacts: Artifacts, clock: Clock, *, first: bool = False, promote: bool = False
) -> Register:
    assert model.artifact is not None
    file = Path(model.artifact)
    digest = artifacts.put(file)
    return Register(
        # Another id at each start: an answer given before, such as that a library is missing, may not hold any more.
        id=f"{SEED}{model.name}/{digest}/{clock.now()}",
        name=model.name,
        digest=digest,
        outputs=model.outputs,
        inputs=model.inputs,
        alias=model.alias,
        trust=f"sha256:{digest}" if model.trust is None and is_own_code(file) else model.trust,
        only_if_none=first,
        promote=promote,
    )


def _changed(
    model: ModelSpec, registry: Registry, artifacts: Artifacts, clock: Clock, told: Notices, wanted: OnChange
) -> Iterable[Command]:
    """Of a model that has versions, where its file is not the one in service: retrained, or rolled back from."""
    assert model.artifact is not None
    digest, serving = digest_of(Path(model.artifact)), in_service(model, registry)
    if serving is None or digest == serving:
        return
    known = _version_of(digest, model, registry)
    if wanted == "promote" and known is not None:
        log.info("the model's file is a version that is not in service: promoted", model=model.name, version=known)
        move = f"{SEED}{model.name}/{known}/{clock.now()}"
        yield MoveAlias(id=move, model=model.name, alias=model.alias, version=known)
        return
    if wanted != "promote":
        _tell(model, registry, digest, known, wanted, told)
    if wanted != "keep" and known is None:
        log.info("the model's file has changed: registered", model=model.name, promoted=wanted == "promote")
        yield _registration(model, artifacts, clock, promote=wanted == "promote")


def in_service(model: ModelSpec, registry: Registry) -> str | None:
    """The digest of the version that the model's alias points to."""
    alias = registry.alias(model.name, model.alias)
    return None if alias is None else registry.versions(model.name)[alias.version - 1].digest


def settle(models: tuple[ModelSpec, ...], registry: Registry, told: Notices) -> None:
    """What was told is over once the file's version is the one in service."""
    for model in models:
        told.settle(key_of(model.name, in_service(model, registry) or ""))


def key_of(model: str, digest: str) -> str:
    return f"{KEY}/{model}/{digest}"


def digest_of(file: Path) -> str:
    with file.open("rb") as source:
        return file_digest(source, "sha256").hexdigest()


def _version_of(digest: str, model: ModelSpec, registry: Registry) -> int | None:
    """The last version with this artifact."""
    return next((v.version for v in reversed(registry.versions(model.name)) if v.digest == digest), None)


def _tell(
    model: ModelSpec, registry: Registry, digest: str, known: int | None, wanted: OnChange, told: Notices
) -> None:
    alias = registry.alias(model.name, model.alias)
    assert alias is not None and model.artifact is not None
    serves = f"version {alias.version} of model '{model.name}' goes on"
    promote = f"penstock models promote {model.name}"
    if model.alias != "champion":
        promote = f"penstock models alias {model.name} {model.alias}"
    if known is not None:
        reason, mend = f"{model.artifact} is version {known}, and {serves}", f"{promote} {known}"
    elif wanted == "register":
        next_one = len(registry.versions(model.name)) + 1
        reason, mend = f"{model.artifact} has changed and is registered; {serves}", f"{promote} {next_one}"
    else:
        reason = f"{model.artifact} has changed since it was registered, and {serves}"
        mend = f"penstock models register {model.name} {model.artifact}, or write on_change='promote'"
    told.tell(key_of(model.name, digest), reason, place=model.place, mend=mend)
