"""What stands behind ``ps.Models`` while one event, or one batch, is handled."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa

from ...declare.handles.models import Predictor
from ...errors import Unavailable
from ...models.runtimes.choose import serialise
from ..handles.models import AskedModels
from ..interface import Artifact, Services, SetAlias, Wish
from ..loaded_models import Scoring


class ModelHandle:
    """Loads here, asks the parent to resolve and register, and collects what shall move with the commit."""

    def __init__(self, services: Services | None, scoring: Scoring) -> None:
        self._services, self._scoring = services, scoring
        self._registered = 0
        self.commands: list[Wish] = []

    def load(self, ref: str) -> Predictor:
        return _Predictor(self._asked().resolve(ref), self._scoring)

    def register(
        self, name: str, artifact: Path | object, *, dataset_id: str | None, metrics: Mapping[str, float]
    ) -> int:
        self._registered += 1
        nth = self._registered - 1
        made, _ = serialise(artifact)
        if isinstance(made, Path):
            return self._asked().register(name, made.absolute(), dataset_id=dataset_id, metrics=dict(metrics), nth=nth)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "artifact")
            path.write_bytes(made)
            return self._asked().register(name, path, dataset_id=dataset_id, metrics=dict(metrics), nth=nth)

    def set_alias(self, name: str, alias: str, version: int, *, expected: int | None) -> None:
        self.commands.append(SetAlias(name, alias, version, expected))

    def _asked(self) -> AskedModels:
        if self._services is None:
            raise Unavailable("no registry can be reached from here")
        return AskedModels(self._services)


class _Predictor:
    def __init__(self, artifact: Artifact, scoring: Scoring) -> None:
        self._artifact, self._scoring = artifact, scoring
        scoring.load(artifact)

    def __call__(self, rows: pl.DataFrame, /) -> pl.DataFrame:
        self._scoring.load(self._artifact)  # others may have been loaded since, in its place
        answer = self._scoring.predict(self._artifact.version.name, self._artifact.version.version, one_batch(rows))
        made = pl.from_arrow(answer)
        assert isinstance(made, pl.DataFrame)
        return made


def one_batch(rows: pl.DataFrame) -> pa.RecordBatch:
    """A frame as one RecordBatch, with the plain Arrow types that topics have."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    if table.num_columns == 0 or table.num_rows == 0:
        return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in table.schema], schema=table.schema)
    return table.to_batches()[0]
