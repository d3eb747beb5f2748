"""Which version a scorer scores with: the one before goes on until the next is loaded and warm beside it.

Why in a second runner, and what that costs, is decision record 0006.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import pyarrow as pa

from ...clock import Clock
from ...errors import ArtifactDamaged, LogFull, NotFound, RunnerDied, StoreError
from ...models.artifacts import Artifacts
from ...models.interface import Alias, ModelVersion
from ...models.packing import zeros
from ...models.registry import Registry
from ...runner.interface import Artifact, Runner
from ...settings import Settings
from ...telemetry import logger
from ..failures.backoff import Backoff
from ..failures.poison_policy import Sick
from .call_batcher import Combiner, Observe
from .loading import Background, Loan, Slot, Trouble, VersionLoad, feel, in_thread, in_use, ref_of

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


class Deployment:
    """Two runners of one scorer: the active one scores, the standby loads what the alias has moved to. For any thread.

    The first version has nothing beside it and is loaded by the first call. From then on the active runner never
    loads: roles change when the standby is warm. What it scored with before stays warm for ``keep_warm`` seconds.
    Before the first one the active runner may be lent, to look at the artifact that it will score with.
    """

    def __init__(
        self,
        stage: str,
        registry: Registry,
        artifacts: Artifacts,
        runners: tuple[Runner, Runner],
        clock: Clock,
        settings: Settings,
        *,
        observe: Observe = lambda _version, _rows, _seconds: None,
        failed: Failed = lambda _version: None,
        background: Background = in_thread,
    ) -> None:
        self._stage, self._registry, self._artifacts = stage, registry, artifacts
        self._clock, self._settings = clock, settings
        self._failed, self._background = failed, background
        self._active, self._standby = (
            Slot(runner, Combiner(runner, clock, rows=settings.batch_rows, observe=observe)) for runner in runners
        )
        self._guard = Lock()  # never held while a model is loaded
        self._serving: tuple[Alias, Artifact] | None = None  # once it has answered
        self._target: Alias | None = None
        self._load: VersionLoad | None = None
        self._lent: Slot | None = None
        self._trouble: Trouble | None = None
        self._idle_since = math.inf  # when the standby was last of use; infinite: it holds nothing
        self._closed = False

    @contextmanager
    def version(self, target: Alias) -> Iterator[PinnedVersion]:
        """What to score with, now that the alias is known to have made the move ``target``.

        That version if it is warm, or if there is none yet that could go on; else the one before, whose epoch is the
        lease's. Epochs never go back. Raises ``Sick`` when there is none to go on with and its artifact is away.
        """
        self.look(target)
        current = self._serving or (target, self._artifact(target))  # not under the guard: it may come from far
        with self._guard:
            self._advance(target)
            alias, artifact = self._serving or current
            side, others = self._side(artifact)
            side.users += 1
        if others:
            with side.combiner.turn:
                side.runner.close()
        try:
            yield PinnedVersion(
                alias,
                artifact,
                lambda rows, timeout: self._predict(side, alias, artifact, rows, timeout),
                self.standing.behind if alias.epoch < target.epoch else "",
            )
        finally:
            with self._guard:
                side.users -= 1

    def look(self, target: Alias) -> None:
        """Take the alias's version if it is warm, and begin to load it if it is not. As often as one likes."""
        surplus: Runner | None = None
        with self._guard:
            self._advance(target)
            load = self._next(target)
            if load is None and self._load is not None and not self._wanted(self._load):
                self._load.superseded, surplus = True, self._load.side.runner
        if surplus is not None:
            surplus.close()
        if load is not None:
            self._background(lambda: self._run(load))

    def begin(self) -> None:
        """Start the process that the first version will be loaded in, while that is still on its way."""
        self._active.combiner.start()

    def lend(self, digest: str) -> Loan | None:
        """The runner that the first version will be loaded in, to look at that artifact; None: it is not to be had.

        A start would else wait for two processes that import the same libraries. Whoever scores waits for no loan.
        """
        with self._guard:
            side = self._active
            free = self.cold and self._lent is None and not in_use(side) and not self._closed
            if not free or side.looked not in ("", digest):
                return None
            self._lent, side.looked = side, digest
            side.users += 1
        return Loan(side.runner, lambda fits: self._give_back(side, fits), side.combiner.turn)

    def _give_back(self, side: Slot, fits: bool) -> None:
        with self._guard:
            self._lent = None
            if fits and side is self._active:
                side.users -= 1
                return
        side.runner.close()
        with self._guard:
            side.users -= 1
            side.looked = ""

    def retire(self) -> None:
        """Give back the memory of a standby that was of no use for ``keep_warm`` seconds."""
        with self._guard:
            side = self._standby
            idle = self._clock.monotonic() - self._idle_since
            if in_use(side) or self._load is not None or idle < self._settings.keep_warm:
                return
            self._idle_since = math.inf
            side.ref = ""
            side.users += 1  # nothing is loaded into what is being closed
        side.runner.close()
        with self._guard:
            side.users -= 1

    @property
    def standing(self) -> Standing:
        with self._guard:
            if self._serving is None:
                return Standing()
            alias, artifact = self._serving
            goes_on, target = artifact.version.ref, self._target
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
        with self._guard:
            self._closed = True
        for side in (self._active, self._standby):
            side.runner.close()

    # -- which version, under the guard ---------------------------------------

    def _side(self, artifact: Artifact) -> tuple[Slot, bool]:
        """What scores, or will score first; and whether that process has looked at another artifact."""
        if self._lent is self._active:  # another version is first: it does not wait
            self._active, self._standby = self._standby, self._active
        others = self.cold and self._active.looked not in ("", artifact.version.digest)
        self._active.looked = ""
        return self._active, others

    def _advance(self, target: Alias) -> None:
        if self._target is None or target.epoch > self._target.epoch:
            self._target = target
        if self._serving is None or target.epoch <= self._serving[0].epoch:
            return
        alias, artifact = self._serving
        if target.version == alias.version:
            self._serving = target, artifact
        elif self._standby.ref == ref_of(target) and self._load is None:
            self._take_over(target)

    def _take_over(self, target: Alias) -> None:
        side = self._standby
        try:
            artifact = self._artifact(target)
            feel(side, artifact)
        except Exception as error:
            side.ref = ""
            log.warning("the warm runner is gone", stage=self._stage, version=ref_of(target), reason=str(error))
            return
        self._active, self._standby = side, self._active
        self._serving, self._trouble = (target, artifact), None
        self._idle_since = self._clock.monotonic()
        log.info("version takes over", stage=self._stage, version=ref_of(target), epoch=target.epoch)

    def _next(self, target: Alias) -> VersionLoad | None:
        """What to load now, if anything."""
        if self._closed or self._serving is None or target != self._target or target.epoch <= self._serving[0].epoch:
            return None
        if self._load is not None or in_use(self._standby) or self._standby.ref == ref_of(target):
            return None
        if self._trouble is not None and self._trouble.target != target:
            self._trouble = None
        if self._trouble is not None and self._trouble.backoff.left() > 0:
            return None
        self._standby.ref = ""
        self._load = VersionLoad(target, self._standby)
        return self._load

    def _wanted(self, load: VersionLoad) -> bool:
        """A version that is loaded in vain is let be after a roll-back to the one that scores: nothing waits for it."""
        assert self._target is not None and self._serving is not None
        return self._target.version in (load.target.version, self._serving[0].version)

    def _artifact(self, alias: Alias) -> Artifact:
        version = self._registry.versions(alias.model)[alias.version - 1]
        try:
            return Artifact(version, self._artifacts.path(version.digest, model=version.ref))
        except (NotFound, ArtifactDamaged, StoreError, LogFull) as error:
            raise Sick(str(error)) from error

    # -- calls ----------------------------------------------------------------

    def _predict(
        self, side: Slot, alias: Alias, artifact: Artifact, rows: pa.RecordBatch, timeout: float
    ) -> pa.RecordBatch:
        try:
            answer = side.combiner.predict(artifact, rows, timeout)
        except RunnerDied:
            side.ref = ""
            raise
        if side.ref != artifact.version.ref:
            with self._guard:
                side.ref = artifact.version.ref
                self._serving = self._serving or (alias, artifact)
        return answer

    # -- loading --------------------------------------------------------------

    def _run(self, load: VersionLoad) -> None:
        version = self._registry.versions(load.target.model)[load.target.version - 1]
        reason = ""
        try:
            artifact, nothing = self._artifact(load.target), zeros(version.signature.inputs, 0)
            load.side.runner.predict(artifact, nothing, timeout=self._settings.runner_start)
        except Exception as error:  # whatever it is, the version before goes on
            reason = str(error)
        with self._guard:
            self._load, closed = None, self._closed
            self._idle_since = self._clock.monotonic()
            reason = "" if load.superseded else reason
            if reason:
                self._note(load.target, reason)
            elif not load.superseded:
                load.side.ref = version.ref
        if closed:
            load.side.runner.close()
        elif reason:
            log.error(
                "version not loaded, the one before goes on", stage=self._stage, version=version.ref, reason=reason
            )
            self._failed(version)

    def _note(self, target: Alias, reason: str) -> None:
        backoff = self._trouble.backoff if self._trouble is not None else Backoff(self._clock)
        backoff.hold(Sick(reason))
        self._trouble = Trouble(target, reason, backoff)
