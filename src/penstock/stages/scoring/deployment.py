"""Which version a scorer scores with: the one before goes on until the next is loaded and warm beside it.

Why in a second runner, and what that costs, is decision record 0006; which runner has which version, ``slots``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock

import pyarrow as pa

from ...clock import Clock
from ...errors import ArtifactDamaged, LogFull, NotFound, RunnerDied, StoreError
from ...models.artifacts import Artifacts
from ...models.interface import Alias, ModelVersion
from ...models.packing import zeros
from ...models.registry import Registry
from ...runner.interface import Artifact
from ...settings import Settings
from ...telemetry import logger
from ..failures.backoff import Backoff
from ..failures.poison_policy import NotYet, Sick
from .loading import Background, Trouble, VersionLoad, check_alive, in_thread, ref_of
from .slots import Loan, Slot, Slots

log = logger(__name__)

Failed = Callable[[ModelVersion], None]
"""Told of each load that failed while another version went on."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user asks: which version scores (``name/version``; empty: none yet), and why not the alias's."""

    version: str = ""
    behind: str = ""
    failed: bool = False  # it was tried and could not be loaded


@dataclass(frozen=True, slots=True)
class PinnedVersion:
    """A version for one pass or one call. ``alias``: the move of the alias that made it the current one. ``behind``:
    why it is not the one that was asked for; empty: it is."""

    alias: Alias
    artifact: Artifact
    predict: Callable[[pa.RecordBatch, float], pa.RecordBatch]
    """Score within so many seconds. Errors are those of ``Runner.predict``."""

    behind: str = ""


@dataclass(frozen=True, slots=True)
class ServingVersion:
    """A version since the move ``alias``, and where it is loaded. ``slot`` is pinned."""

    alias: Alias
    artifact: Artifact
    slot: Slot


class Deployment:
    """The version of one scorer, which follows its alias from slot to slot. For any thread.

    The first version has nothing beside it and is loaded by the first call. From then on what scores never loads:
    the next version takes over when it is warm in another slot. What scored before stays warm for ``keep_warm``
    seconds. Before the first one a runner may be lent, to look at the artifact that it will score with.

    The lock guards the fields alone: neither registry, store nor runner is asked while it is held, since every call
    waits for it. That of the slots is taken under it, never the other way round.
    """

    def __init__(
        self,
        stage: str,
        registry: Registry,
        artifacts: Artifacts,
        slots: Slots,
        clock: Clock,
        settings: Settings,
        *,
        failed: Failed = lambda _version: None,
        background: Background = in_thread,
    ) -> None:
        """Two slots at least: a next version is loaded beside the one that scores."""
        if len(slots) < 2:
            raise ValueError(f"{len(slots)} slots: a next version could not be loaded beside the one that scores")
        self._stage, self._registry, self._artifacts = stage, registry, artifacts
        self._slots, self._clock, self._settings = slots, clock, settings
        self._failed, self._background = failed, background
        self._lock = Lock()
        self._serving: ServingVersion | None = None  # once it has answered
        self._target: Alias | None = None
        self._load: VersionLoad | None = None
        self._checking = False  # is somebody looking whether a warm version may take over?
        self._trouble: Trouble | None = None

    @contextmanager
    def version(self, target: Alias) -> Iterator[PinnedVersion]:
        """What to score with, now that the alias is known to have made the move ``target``.

        That version if it is warm, or if there is none yet that could go on; else the one before, whose epoch is the
        lease's. Epochs never go back. Raises ``Sick`` when there is none to go on with and its artifact is away, and
        ``NotYet`` when every runner is at work on other first versions.
        """
        self.look(target)
        with self._lock:
            chosen = self._pinned()
        if chosen is None:
            chosen = self._first(target)
        try:
            self._slots.clear(chosen.slot)
            behind = self.standing.behind if chosen.alias.epoch < target.epoch else ""
            yield PinnedVersion(chosen.alias, chosen.artifact, partial(self._predict, chosen), behind)
        finally:
            self._slots.release(chosen.slot)

    def look(self, target: Alias) -> None:
        """Take the alias's version if it is warm, and begin to load it if it is not. As often as one likes."""
        if not self.cold and not self._is_ahead(target):
            return  # as nearly always, so it takes no lock
        with self._lock:
            self._advance(target)
            warm = self._to_take_over(target)
            load = self._to_load(target) if warm is None else None
            given_up = self._to_give_up()
        if given_up is not None:
            given_up.runner.close()
            self._slots.release(given_up)
        if load is not None:
            self._background(partial(self._run, load))
        if warm is not None and not self._take_over(target, warm):
            self.look(target)  # it is no longer warm: load it

    def begin(self) -> None:
        """Start the process that the first version will be loaded in, while that is still on its way."""
        self._slots.start()

    def lend(self, digest: str) -> Loan | None:
        """The runner that the first version will be loaded in, to look at that artifact; None: it is not to be had.

        A start would else wait for two processes that import the same libraries. Whoever scores waits for no loan.
        """
        return self._slots.lend(digest)

    def retire(self) -> None:
        """Give back the memory of what was of no use for ``keep_warm`` seconds."""
        self._slots.retire(self._settings.keep_warm)

    @property
    def standing(self) -> Standing:
        with self._lock:
            if self._serving is None:
                return Standing()
            alias, goes_on, target = self._serving.alias, self._serving.artifact.version.ref, self._target
            if target is None or target.epoch <= alias.epoch:
                return Standing(goes_on)
            wanted = f"{target.model}@{target.alias} is {target.model}/{target.version}"
            if self._trouble is not None and self._trouble.target == target:
                return Standing(
                    goes_on, f"{wanted}, which cannot be loaded: {self._trouble.reason}; {goes_on} goes on", failed=True
                )
            return Standing(goes_on, f"{wanted}, which is being loaded; {goes_on} goes on")

    @property
    def cold(self) -> bool:
        """No version has answered yet."""
        return self._serving is None

    def close(self) -> None:
        """Also while something is loaded, which ends soon after."""
        self._slots.close()

    # -- which version, under the lock ----------------------------------------

    def _pinned(self) -> ServingVersion | None:
        if self._serving is not None:
            self._slots.pin(self._serving.slot)
        return self._serving

    def _advance(self, target: Alias) -> None:
        if self._target is None or target.epoch > self._target.epoch:
            self._target = target
        if self._is_ahead(target) and self._serving is not None and target.version == self._serving.alias.version:
            self._serving = replace(self._serving, alias=target)

    def _is_ahead(self, target: Alias) -> bool:
        """Of what scores. The moves before it are never gone back to."""
        serving = self._serving
        return serving is not None and target.epoch > serving.alias.epoch

    def _to_take_over(self, target: Alias) -> Slot | None:
        """What is warm with that version, for one thread at a time to look at."""
        if self._checking or not self._is_ahead(target):
            return None
        slot = self._slots.use(ref_of(target))
        self._checking = slot is not None
        return slot

    def _to_load(self, target: Alias) -> VersionLoad | None:
        """What to load now, if anything."""
        if self._load is not None or self._checking or target != self._target or not self._is_ahead(target):
            return None
        if self._trouble is not None and self._trouble.target != target:
            self._trouble = None
        if self._trouble is not None and self._trouble.backoff.left() > 0:
            return None
        slot = self._slots.claim(ref_of(target))
        self._load = None if slot is None else VersionLoad(target, slot)
        return self._load

    def _to_give_up(self) -> Slot | None:
        """Where a version is loaded that nobody wants any more; pinned, so that no other load is ended for it."""
        if self._load is None or self._wanted(self._load):
            return None
        self._load.superseded = True
        self._slots.pin(self._load.slot)
        return self._load.slot

    def _wanted(self, load: VersionLoad) -> bool:
        """A version that is loaded in vain is let be after a roll-back to the one that scores: nothing waits for it."""
        assert self._target is not None and self._serving is not None
        return self._target.version in (load.target.version, self._serving.alias.version)

    def _note(self, load: VersionLoad, reason: str) -> None:
        backoff = self._trouble.backoff if self._trouble is not None else Backoff(self._clock)
        backoff.hold(Sick(reason))
        self._trouble = Trouble(load.target, reason, backoff)

    # -- calls ----------------------------------------------------------------

    def _first(self, target: Alias) -> ServingVersion:
        artifact = self._artifact(target)
        with self._lock:
            if (serving := self._pinned()) is not None:  # it has answered meanwhile
                return serving
            slot = self._slots.claim(ref_of(target), artifact.version.digest)
        if slot is None:
            raise NotYet(f"{ref_of(target)} waits: no runner is free to load it")
        return ServingVersion(target, artifact, slot)

    def _predict(self, chosen: ServingVersion, rows: pa.RecordBatch, timeout: float) -> pa.RecordBatch:
        slot = chosen.slot
        try:
            answer = slot.combiner.predict(chosen.artifact, rows, timeout)
        except RunnerDied:
            self._slots.cooled(slot)
            raise
        if not slot.warm:
            self._slots.warmed(slot)
            self._answered(chosen)
        return answer

    def _answered(self, chosen: ServingVersion) -> None:
        with self._lock:
            if self._serving is None:
                self._serving = chosen
                self._slots.pin(chosen.slot)  # for as long as it scores

    def _artifact(self, alias: Alias) -> Artifact:
        version = self._registry.versions(alias.model)[alias.version - 1]
        try:
            return Artifact(version, self._artifacts.path(version.digest, model=version.ref))
        except (NotFound, ArtifactDamaged, StoreError, LogFull) as error:
            raise Sick(str(error)) from error

    # -- a next version -------------------------------------------------------

    def _take_over(self, target: Alias, slot: Slot) -> bool:
        """Score with what is warm from now on; False: it is not. Calls go on with the version before meanwhile."""
        try:
            artifact = self._alive(target, slot)
        except Exception as error:
            self._slots.cooled(slot)
            log.warning("the warm runner is gone", stage=self._stage, version=ref_of(target), reason=str(error))
            artifact = None
        surplus = slot
        with self._lock:
            self._checking = False
            assert self._serving is not None
            # Else the one that scores has become current once more meanwhile.
            if artifact is not None and self._is_ahead(target):
                surplus, self._serving = self._serving.slot, ServingVersion(target, artifact, slot)
                self._trouble = None
        if surplus is not slot:
            log.info("version takes over", stage=self._stage, version=ref_of(target), epoch=target.epoch)
        self._slots.release(surplus)
        return artifact is not None

    def _alive(self, target: Alias, slot: Slot) -> Artifact:
        artifact = self._artifact(target)
        check_alive(slot, artifact)
        return artifact

    def _run(self, load: VersionLoad) -> None:
        version = self._registry.versions(load.target.model)[load.target.version - 1]
        slot, reason = load.slot, ""
        try:
            artifact, nothing = self._artifact(load.target), zeros(version.signature.inputs, 0)
            self._slots.clear(slot)
            with slot.combiner.turn:
                slot.runner.predict(artifact, nothing, timeout=self._settings.runner_start)
        except Exception as error:  # whatever it is, the version before goes on
            reason = str(error)
        with self._lock:
            self._load = None
            reason = "" if load.superseded else reason
            if reason:
                self._note(load, reason)
            elif not load.superseded:
                self._slots.warmed(slot)
        self._slots.release(slot)
        if reason and not self._slots.closed:
            log.error(
                "version not loaded, the one before goes on", stage=self._stage, version=version.ref, reason=reason
            )
            self._failed(version)
