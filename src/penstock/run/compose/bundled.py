"""Models whose file the app brings along: the first version of each, and what becomes of a file that has changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from ...clock import Clock
from ...errors import CannotStart
from ...models.artifacts import Artifacts
from ...models.messages import SEED, MoveAlias, Register
from ...models.registry import Registry
from ...notices import Notices
from ...plan.places import Site
from ...plan.plan import ModelSpec, OnChange, Plan
from ...plan.references import ReferenceSpec, value_of
from ...system.messages import Command
from ...telemetry import logger

KEY = "changed model"  # of the notices, followed by the model's name and the digest of its file

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Bundled:
    """A model's file. ``named``: as messages name it, for the value of a reference is not theirs to tell."""

    model: ModelSpec
    file: Path
    named: str
    trust: str | None


def commands(
    plan: Plan,
    registry: Registry,
    artifacts: Artifacts,
    clock: Clock,
    told: Notices,
    on_change: OnChange,
    site: Site | None = None,
) -> Iterable[Command]:
    """What a start asks of the registry. ``on_change`` is for models that do not say it themselves.

    Raises ``CannotStart`` for a file that cannot be read.
    """
    for found in bundled(plan, site or Site(Path(), os.environ), told):
        model = found.model
        try:
            if not registry.versions(model.name):
                yield _registration(found, artifacts, clock, first=True)
            else:
                yield from _changed(found, registry, artifacts, clock, told, model.on_change or on_change)
        except OSError as error:
            reason = f"the artifact {found.named} cannot be read: {error.strerror}"
            raise CannotStart(f"{model.place}: {reason}") from None


def bundled(plan: Plan, site: Site, told: Notices) -> Iterator[Bundled]:
    """The models that have a file here. What has no value in the environment is told, and its model waits."""
    for model in plan.models:
        given = [ref for ref in (model.artifact, model.trust) if isinstance(ref, ReferenceSpec)]
        unset = [ref for ref in given if not ref.is_given(site.environ)]
        for ref in unset:
            reason = f"the file of model '{model.name}' is not registered: {ref} has no value"
            mend = f"set the environment variable {ref.variable} and start again"
            told.tell(f"registration/{model.name}", reason, place=model.place, mend=mend)
        file = site.file(model)
        if file is None or unset or (isinstance(model.artifact, ReferenceSpec) and not file.is_file()):
            continue
        named = str(model.artifact if isinstance(model.artifact, ReferenceSpec) else file)
        yield Bundled(model, file, named, value_of(model.trust, site.environ))


def is_own_code(artifact: Path) -> bool:
    """Python source that the app's file names is the app's own code, as a module that it imports would be."""
    return artifact.suffix == ".py"


def _registration(
    found: Bundled, artifacts: Artifacts, clock: Clock, *, first: bool = False, promote: bool = False
) -> Register:
    model, digest = found.model, artifacts.put(found.file)
    return Register(
        # Another id at each start: an answer given before, such as that a library is missing, may not hold any more.
        id=f"{SEED}{model.name}/{digest}/{clock.now()}",
        name=model.name,
        digest=digest,
        outputs=model.outputs,
        inputs=model.inputs,
        alias=model.alias,
        trust=f"sha256:{digest}" if found.trust is None and is_own_code(found.file) else found.trust,
        only_if_none=first,
        promote=promote,
    )


def _changed(
    found: Bundled, registry: Registry, artifacts: Artifacts, clock: Clock, told: Notices, wanted: OnChange
) -> Iterable[Command]:
    """Of a model that has versions, where its file is not the one in service: retrained, or rolled back from."""
    model = found.model
    digest, serving = digest_of(found.file), in_service(model, registry)
    if serving is None or digest == serving:
        return
    known = _version_of(digest, model, registry)
    if wanted == "promote" and known is not None:
        log.info("the model's file is a version that is not in service: promoted", model=model.name, version=known)
        move = f"{SEED}{model.name}/{known}/{clock.now()}"
        yield MoveAlias(id=move, model=model.name, alias=model.alias, version=known)
        return
    if wanted != "promote":
        _tell(found, registry, digest, known, wanted, told)
    if wanted != "keep" and known is None:
        log.info("the model's file has changed: registered", model=model.name, promoted=wanted == "promote")
        yield _registration(found, artifacts, clock, promote=wanted == "promote")


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


def _tell(found: Bundled, registry: Registry, digest: str, known: int | None, wanted: OnChange, told: Notices) -> None:
    model, file = found.model, found.named
    alias = registry.alias(model.name, model.alias)
    assert alias is not None
    serves = f"version {alias.version} of model '{model.name}' goes on"
    promote = f"penstock models promote {model.name}"
    if model.alias != "champion":
        promote = f"penstock models alias {model.name} {model.alias}"
    if known is not None:
        reason, mend = f"{file} is version {known}, and {serves}", f"{promote} {known}"
    elif wanted == "register":
        next_one = len(registry.versions(model.name)) + 1
        reason, mend = f"{file} has changed and is registered; {serves}", f"{promote} {next_one}"
    else:
        reason = f"{file} has changed since it was registered, and {serves}"
        mend = f"penstock models register {model.name} {file}, or write on_change='promote'"
    told.tell(key_of(model.name, digest), reason, place=model.place, mend=mend)
