"""The runner in this process: for tests and notebooks. It enforces no limits; user code that hangs, hangs here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from ..declare.app import App
from ..errors import ArtifactDamaged, InputInvalid, ModelRefused, PredictionInvalid, TaskFailed
from ..models.interface import RuntimeModel, Signature
from ..models.packing import zeros
from ..models.runtimes.choose import inspect
from ..models.signature import check_answer
from ..plan.plan import Plan
from ..schema.casts import cast_column
from .calling.functions import Functions
from .calling.model_handle import one_batch
from .interface import Applied, Artifact, Services
from .loaded_models import Scoring, from_artifact
from .user_errors import task_failed

_AS_THEY_ARE = (ModelRefused, ArtifactDamaged, InputInvalid, PredictionInvalid, TaskFailed)


class InlineRunner:
    """A real runner without a second process: the same calls, and the same errors but ``RunnerDied``.

    ``models`` answer instead of the artifacts of those names, ``resources`` are given by type instead of opened, and
    ``env`` gives ``ps.env`` and ``ps.secret`` their values. ``timeout`` is accepted and not enforced.
    """

    def __init__(
        self,
        app: App,
        plan: Plan,
        *,
        models: Mapping[str, Callable[[pl.DataFrame], pl.DataFrame]] | None = None,
        resources: Mapping[Any, object] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._stand_ins = dict(models or {})
        self._scoring = Scoring(self._model)
        self._functions = Functions(app, plan, self._scoring, ready=resources or {}, environ=env or {})

    def apply(self, stage: str, rows: pa.RecordBatch, *, timeout: float, services: Services | None = None) -> Applied:
        if rows.num_rows == 0:
            self._functions.open(stage)
            return Applied(None, np.empty(0, np.int64))
        return self._functions.apply(stage, rows, services, lambda row: None)

    def predict(self, model: Artifact, rows: pa.RecordBatch, *, timeout: float) -> pa.RecordBatch:
        try:
            self._scoring.load(model)
            if rows.num_rows == 0:
                return zeros(model.version.signature.outputs, 0)
            return self._scoring.predict(model.version.name, model.version.version, rows)
        except _AS_THEY_ARE:
            raise
        except BaseException as error:
            raise task_failed(error) from error

    def inspect(
        self, artifact: Path, *, name: str, inputs: pa.Schema | None, outputs: list[str], trusted: bool, timeout: float
    ) -> tuple[str, Signature]:
        try:
            return inspect(artifact, name=name, inputs=inputs, outputs=outputs, trusted=trusted)
        except _AS_THEY_ARE:
            raise
        except BaseException as error:
            raise task_failed(error) from error

    def start(self) -> None:
        """There is no process to start."""

    def close(self) -> None:
        self._functions.close()

    def _model(self, artifact: Artifact) -> RuntimeModel:
        stand_in = self._stand_ins.get(artifact.version.name)
        if stand_in is None:
            return from_artifact(artifact)
        return _StandIn(stand_in, artifact.version.signature, artifact.version.ref)


class _StandIn:
    """A plain function in a model's place, held to the model's signature."""

    def __init__(self, function: Callable[[pl.DataFrame], pl.DataFrame], signature: Signature, name: str) -> None:
        self._function, self._outputs, self._signature, self._name = function, signature.outputs, signature, name

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        answer = one_batch(self._function(pl.DataFrame(pl.from_arrow(rows))))
        missing = [name for name in self._outputs.names if name not in answer.schema.names]
        if missing:
            raise PredictionInvalid(f"{self._name} answered no column {', '.join(missing)}")
        try:
            columns = [cast_column(answer.column(f.name), f.type) for f in self._outputs]
        except (TypeError, ValueError) as error:
            raise PredictionInvalid(f"{self._name}: {error}") from error
        made = pa.RecordBatch.from_arrays(columns, schema=self._outputs)
        return check_answer(self._signature, made, rows.num_rows, model=self._name)
