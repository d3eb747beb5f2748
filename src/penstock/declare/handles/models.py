"""``ps.Models``: the registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from ...errors import DeclarationError
from .handle import Handle

if TYPE_CHECKING:
    import polars as pl

    from ...plan.plan import Verb

_REF = re.compile(r"[^@/]+(@[^@/]+|/[1-9][0-9]*)")


class Predictor(Protocol):
    def __call__(self, rows: pl.DataFrame, /) -> pl.DataFrame:
        """The model's output columns: same rows, same order."""
        ...


class ModelAccess(Protocol):
    """What stands behind ``Models`` where the function runs."""

    def load(self, ref: str) -> Predictor:
        """Raises ``NotFound``."""
        ...

    def register(
        self, name: str, artifact: Path | object, *, dataset_id: str | None, metrics: Mapping[str, float]
    ) -> int:
        """Register now and wait for the version. Raises ``ModelRefused``."""
        ...

    def set_alias(self, name: str, alias: str, version: int, *, expected: int | None) -> None:
        """Ask for the move; it is applied when the event that led to it is committed."""
        ...


class Loaded:
    """One version of a model, ready to score, as ``Models.load`` gives it. ``ref`` is what was asked for."""

    def __init__(self, ref: str, predictor: Predictor) -> None:
        self.ref = ref
        self._predictor = predictor

    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The model's output columns for these rows, in order; columns that the model does not read are ignored.

        Raises ``ModelRefused`` for rows that do not fit it, ``PredictionInvalid`` for an answer that does not, and what
        the model raises.
        """
        return self._predictor(rows)


class Models(Handle):
    """The registry, for a function that asks for ``models: ps.Models``.

    >>> @app.on(ps.ModelRegistered, where="model = 'risk'", timeout="1h")
    ... def evaluate(new: ps.ModelRegistered, models: ps.Models) -> None:
    ...     if new.metrics["mae"] < 12:
    ...         models.promote("risk", new.version)
    """

    VERBS: ClassVar[tuple[Verb, ...]] = ("load", "register", "alias")

    def __init__(self, access: ModelAccess) -> None:
        self._access = access

    def load(self, ref: str) -> Loaded:
        """``"fraud@champion"`` or ``"fraud/20"``. Raises ``NotFound``, ``DeclarationError`` for another spelling."""
        if not _REF.fullmatch(ref):
            raise DeclarationError(f"{ref!r} is no reference to a model; write 'NAME@ALIAS' or 'NAME/VERSION'")
        return Loaded(ref, self._access.load(ref))

    def register(
        self,
        name: str,
        artifact: Path | object,
        *,
        dataset_id: str | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> int:
        """Register a new version of a model and return its number. Raises ``ModelRefused``.

        ``artifact``: the path of a file, or an object of a library that Penstock writes as one (an ONNX graph, a
        LightGBM booster, a scikit-learn estimator).

        If the event is handled again after a crash, the version made the first time is answered.
        """
        return self._access.register(name, artifact, dataset_id=dataset_id, metrics=dict(metrics or {}))

    def set_alias(self, name: str, alias: str, version: int, *, expected: int | None = None) -> None:
        """Point an alias to a version, together with the commit of this event.

        With ``expected`` only if the alias points there then; otherwise the command is refused in ``penstock.system``.
        Raises nothing here: a version that is not there is refused there too.
        """
        self._access.set_alias(name, alias, version, expected=expected)

    def promote(self, name: str, version: int) -> None:
        """Make a version the champion, together with the commit of this event. Raises nothing, as ``set_alias``."""
        self.set_alias(name, "champion", version)
