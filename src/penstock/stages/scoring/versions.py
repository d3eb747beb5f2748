"""Which version scores a work, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np

from ...batch import SYSTEM
from ...errors import NotFound
from ...models.interface import Alias
from ...models.messages import Activated
from ...models.registry import Registry
from ...plan.plan import ModelSpec, ScoreSpec
from ...system.messages import to_rows
from ..failures.poison_policy import NotYet, Sick
from ..interface import Output, Work
from .deployment import Deployment, PinnedVersion


class Versions(Protocol):
    """Chosen once a work and once a call, so neither is ever of two versions."""

    def for_work(self, work: Work) -> AbstractContextManager[PinnedVersion]:
        """Raises ``NotYet`` while there is none, and ``Sick`` when the one that there is must not score this work."""
        ...

    def for_call(self) -> AbstractContextManager[PinnedVersion]:
        """Raises ``NotFound`` while there is none, and ``Sick``."""
        ...

    def records(self, work: Work, version: PinnedVersion) -> Sequence[Output]:
        """What the log is to say of it, stored with the predictions."""
        ...


class AliasVersions:
    """The version that an alias points to, as soon as it is loaded beside the one before (``deployment``).

    A partition's change of version is recorded in ``penstock.system`` (``Activated``) in the transaction that stores
    its first outputs: which version made a prediction follows from the log alone, and no partition ever goes back.
    """

    def __init__(self, spec: ScoreSpec, model: ModelSpec, registry: Registry, deployment: Deployment) -> None:
        self._stage, self._source = spec.name, spec.source
        self._model, self._registry, self._deployment = model, registry, deployment

    @contextmanager
    def for_work(self, work: Work) -> Iterator[PinnedVersion]:
        # After the read: whoever had these partitions before committed its last activation before it lost them.
        self._registry.refresh()
        with self._deployment.version(self._alias()) as pinned:
            self._check_epochs(work, pinned.alias)
            yield pinned

    @contextmanager
    def for_call(self) -> Iterator[PinnedVersion]:
        self._registry.refresh()
        try:
            alias = self._alias()
        except NotYet as error:
            raise NotFound(error.reason) from error
        with self._deployment.version(alias) as pinned:
            yield pinned

    def records(self, work: Work, version: PinnedVersion) -> Sequence[Output]:
        if work.again:  # their positions say nothing of from where on a version scores
            return []
        alias = version.alias
        partitions, firsts = np.unique(work.partitions, return_index=True)
        rows: list[int] = []
        records: list[Activated] = []
        for partition, first in zip(partitions.tolist(), firsts.tolist(), strict=True):
            last = self._registry.activation(self._stage, self._source, partition)
            if last is not None and (last.model, last.version) == (alias.model, alias.version):
                continue
            rows.append(first)
            records.append(self._record(partition, int(work.positions[first]), alias))
        return [Output(SYSTEM, to_rows(records), np.array(rows, np.int64))] if records else []

    def _alias(self) -> Alias:
        model, name = self._model.name, self._model.alias
        alias = self._registry.alias(model, name)
        if alias is None:
            raise NotYet(f"model '{model}' has no version yet that '{name}' points to: register one")
        return alias

    def _check_epochs(self, work: Work, alias: Alias) -> None:
        """A partition never goes back behind the move of the alias that it was last scored after."""
        for partition in np.unique(work.partitions).tolist():
            last = self._registry.activation(self._stage, self._source, partition)
            if last is None or (last.model, last.alias) != (alias.model, alias.alias) or last.epoch <= alias.epoch:
                continue
            place = f"{self._source}/{partition}, which another member scored with {last.model}/{last.version},"
            standing = self._deployment.standing
            if standing.failed:
                raise Sick(f"{place} cannot go back: {standing.behind}")
            raise NotYet(f"{place} waits: {standing.behind or f'epoch {last.epoch} is not known here yet'}")

    def _record(self, partition: int, position: int, alias: Alias) -> Activated:
        return Activated(
            stage=self._stage,
            topic=self._source,
            partition=partition,
            from_offset=position,
            model=alias.model,
            version=alias.version,
            epoch=alias.epoch,
            alias=alias.alias,
        )
