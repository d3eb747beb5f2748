"""Which library an artifact belongs to, by its content; and its model, checked at every batch.

Other libraries plug in by the entry point group ``penstock.runtimes``: a callable that is told whether the artifact is
trusted and returns a ``Runtime``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import ModelRefused
from ..artifacts import verify
from ..interface import ModelVersion, Runtime, RuntimeModel, Signature
from ..packing import zeros
from ..signature import FeatureColumns, check_answer, fits
from . import lightgbm, onnx, python, recipes, sklearn, xgboost

HEAD_BYTES = 4_096  # bytes that a runtime is shown to claim an artifact
Factory = Callable[[bool], Runtime]

# In the order of asking: what a head proves before what it, or a file's name, only suggests.
BUILT_IN: dict[str, Factory] = {
    "onnx": lambda trusted: onnx.OnnxRuntime(),
    "lightgbm": lambda trusted: lightgbm.LightgbmRuntime(),
    "xgboost": lambda trusted: xgboost.XgboostRuntime(),
    "sklearn": sklearn.SkopsRuntime,
    "pickle": sklearn.PickleRuntime,
    "python": python.PythonRuntime,
}
SAVERS: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "lightgbm": ("lightgbm", lightgbm.save),
    "onnx": ("onnx", onnx.save),
    "sklearn": ("sklearn", sklearn.save),
    "xgboost": ("xgboost", xgboost.save),
}


def inspect(
    artifact: Path, *, name: str, inputs: pa.Schema | None, outputs: list[str], trusted: bool
) -> tuple[str, Signature]:
    """The runtime that claims an artifact, and its signature. Raises ``ModelRefused``.

    ``name`` is the file's name as its owner calls it; ``inputs`` as from ``signature.offer``.
    """
    runtime = claim(artifact, name, trusted)
    _need_trust(runtime, name, trusted)
    signature = runtime.inspect(artifact, inputs=inputs, outputs=outputs)
    if inputs is not None:
        fits(signature, inputs)
    return runtime.name, signature


def load(runtime: str, artifact: Path, signature: Signature, *, trusted: bool, name: str) -> RuntimeModel:
    """A model whose every answer is checked. ``name`` is for messages.

    Raises ``ModelRefused``; the model's ``predict`` raises that for rows that do not fit, ``PredictionInvalid`` for
    answers that do not, and whatever the library raises.
    """
    found = _named(runtime)(trusted)
    _need_trust(found, name, trusted)
    return CheckedModel(found.load(artifact, signature), signature, name)


def load_version(version: ModelVersion, artifact: Path) -> RuntimeModel:
    """``load`` for a registered version, once its bytes have their SHA-256. Raises ``ArtifactDamaged`` too."""
    verify(artifact, version.digest, model=version.ref)
    return load(version.runtime, artifact, version.signature, trusted=version.trusted, name=version.ref)


class CheckedModel:
    """A model between the checks of its signature."""

    def __init__(self, model: RuntimeModel, signature: Signature, name: str) -> None:
        self._model = model
        self._signature = signature
        self._name = name
        self._intake = FeatureColumns(signature)

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Any rows that have the input columns, among others."""
        if rows.num_rows == 0:
            return zeros(self._signature.outputs, 0)
        answer = self._model.predict(self._intake(rows))
        return check_answer(self._signature, answer, rows.num_rows, model=self._name)


def claim(artifact: Path, name: str, trusted: bool) -> Runtime:
    head = _head(artifact, name)
    for factory in BUILT_IN.values():
        if (runtime := factory(trusted)).claims(head, name):
            return runtime
    plugged = entry_points(group="penstock.runtimes")
    for point in plugged:
        runtime = point.load()(trusted)
        if runtime.claims(head, name):
            return runtime  # type: ignore[no-any-return]  # what an entry point gives is the plug-in's promise
    known = ", ".join([*BUILT_IN, *plugged.names])
    recipe = recipes.recipe_for(head) or f"it begins with {head[:8]!r}; {recipes.PAGE} has a recipe for each library"
    raise ModelRefused(f"{name} is no model of a library known here ({known}): {recipe}")


def _head(artifact: Path, name: str) -> bytes:
    try:
        with artifact.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except IsADirectoryError:
        raise ModelRefused(
            f"{name} is a directory; a version is one file: see {recipes.page(recipes.REFUSED)}"
        ) from None
    except OSError as error:
        raise ModelRefused(f"{name} cannot be read: {error.strerror}") from error
    if not head:
        raise ModelRefused(f"{name} is empty")
    return head


def serialise(model: object) -> tuple[bytes | Path, str | None]:
    """What to store for ``models.register(name, model)``, and its runtime (None: see ``inspect``).

    A path to a file, a LightGBM or XGBoost booster or estimator, a scikit-learn estimator (as skops), or an ONNX
    ``ModelProto``.
    """
    if isinstance(model, (Path, str)):
        return Path(model), None
    for kind in type(model).__mro__:
        if (saver := SAVERS.get(kind.__module__.partition(".")[0])) is not None:
            return saver[1](model), saver[0]
    raise ModelRefused(
        f"a {type(model).__name__} cannot be stored as a model: give the path of its file, or a LightGBM, XGBoost, "
        "scikit-learn or ONNX object"
    )


def _named(name: str) -> Factory:
    if (factory := BUILT_IN.get(name)) is not None:
        return factory
    for point in entry_points(group="penstock.runtimes", name=name):
        return point.load()  # type: ignore[no-any-return]
    raise ModelRefused(f"no runtime '{name}' is installed; there are {', '.join(BUILT_IN)}")


def _need_trust(runtime: Runtime, name: str, trusted: bool) -> None:
    if runtime.trust == "code" and not trusted:
        raise ModelRefused(
            f"{name} is a {runtime.name} file: loading it runs its code. If you know where it comes from, trust this "
            "very file with trust='sha256:…' (the SHA-256 of its bytes), or export the model to ONNX or skops: see "
            f"{recipes.page(recipes.PYTHON if runtime.name == 'python' else recipes.PICKLE)}"
        )
