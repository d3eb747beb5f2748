"""scikit-learn estimators: skops files, and pickles of a digest that somebody has trusted.

A skops file names its types; those beyond scikit-learn's plain ones are refused with their list. A pickle or joblib
file *is* a program: it runs when it is loaded.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ...errors import ModelRefused, install
from ..artifacts import LIMIT_BYTES
from ..casts import castable
from ..interface import Signature
from ..packing import Matrix, Packer, column_of
from ..trial import ROWS, require_rowwise, rows_to_try
from . import recipes
from .categories import Categories
from .columns import OutputPart, Pick, choose_outputs, described, name_inputs, pick, vector, width
from .estimators import boosted, seen_values

# Compiled parts of scikit-learn's trees that skops does not know: arrays of numbers, no code.
KNOWN = frozenset({"sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", "sklearn.tree._tree.Tree"})
COMPRESSED = (
    b"x\x01",
    b"x\x5e",
    b"x\x9c",
    b"x\xda",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x5d\x00\x00",
    b"\x04\x22\x4d\x18",
)


class _Estimators:
    """What both formats share: an estimator, once it is loaded."""

    def open(self, artifact: Path) -> Any:
        raise NotImplementedError

    def inspect(self, artifact: Path, *, inputs: pa.Schema | None, outputs: list[str]) -> Signature:
        fitted = Fitted(self.open(artifact))
        reads = _reads(fitted, inputs)
        rows = rows_to_try(reads, fitted.known(reads))
        answers = fitted.trial(rows)
        picks = choose_outputs(_parts(answers), outputs)
        columns = [column_of(pick(answers[p.part].values, p.place)) for p in picks]
        signature = Signature(reads, pa.schema([(p.name, c.type) for p, c in zip(picks, columns, strict=True)]))
        require_rowwise(SklearnModel(fitted, signature, answers, picks), rows)
        return signature

    def load(self, artifact: Path, signature: Signature) -> SklearnModel:
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)
        fitted = Fitted(self.open(artifact))
        answers = fitted.trial(rows_to_try(signature.inputs, fitted.known(signature.inputs)))
        return SklearnModel(fitted, signature, answers, choose_outputs(_parts(answers), signature.outputs.names))


class SkopsRuntime(_Estimators):
    name = "sklearn"
    trust: Literal["data", "code"] = "data"

    def __init__(self, trusted: bool) -> None:
        self._trusted = trusted

    def claims(self, head: bytes, name: str) -> bool:
        return head.startswith(b"PK\x03\x04")

    def open(self, artifact: Path) -> Any:
        """Raises ``ModelRefused``: no skops file, or types that nobody trusts."""
        try:
            import skops.io
        except ImportError as error:
            raise ModelRefused(f"a scikit-learn model needs: {install('sklearn')}") from error
        if tuple(int(n) for n in version("skops").split(".")[:2]) < (0, 13):
            # Older ones fell back to joblib without a word.
            raise ModelRefused(f"skops before 0.13 does not load safely; a newer one comes with: {install('sklearn')}")
        data = _skops_bytes(artifact)
        try:
            unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - KNOWN)
            if unknown and not self._trusted:
                raise ModelRefused(
                    f"the model holds types beyond scikit-learn's own: {', '.join(unknown)}; if you know where it "
                    "comes from, trust this very file with trust='sha256:…'"
                )
            return skops.io.loads(data, trusted=[*KNOWN, *unknown])
        except ModelRefused:
            raise
        except Exception as error:  # a hostile schema may break it anywhere
            raise ModelRefused(f"not a model that skops can load: {described(artifact, error)}") from error


class PickleRuntime(_Estimators):
    """pickle and joblib, plain or compressed. Never opened before somebody has trusted the digest."""

    name = "pickle"
    trust: Literal["data", "code"] = "code"

    def __init__(self, trusted: bool) -> None:
        self._trusted = trusted

    def claims(self, head: bytes, name: str) -> bool:
        plain = len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5
        return plain or head.startswith(COMPRESSED) or name.endswith((".pkl", ".pickle", ".joblib"))

    def open(self, artifact: Path) -> Any:
        if not self._trusted:
            raise ModelRefused("a pickle runs code when it is loaded, and nobody has trusted this one")
        try:
            import joblib
        except ImportError as error:
            raise ModelRefused(f"a pickled model needs: {install('sklearn')}") from error
        try:
            return joblib.load(io.BytesIO(artifact.read_bytes()))
        except Exception as error:  # it may run anything
            raise ModelRefused(f"the pickle does not load: {described(artifact, error)}") from error


@dataclass(frozen=True, slots=True)
class Answered:
    """What a method answered, one row a row. ``targets``: how many things are predicted at once."""

    method: str
    values: Matrix
    targets: int


class Fitted:
    """An estimator and how it is asked: by a frame where it knows its columns' names, else by a matrix."""

    def __init__(self, estimator: Any) -> None:
        """Raises ``ModelRefused`` for what is no estimator, or one whose categories cannot be told."""
        if not hasattr(estimator, "n_features_in_") or not hasattr(estimator, "predict"):
            raise ModelRefused(f"the file holds a {type(estimator).__name__}, not a fitted estimator with predict")
        self.count = int(estimator.n_features_in_)
        self._estimator = estimator
        self._boosted = boosted(estimator)
        self.names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
        self.categories = Categories() if self._boosted is None else self._boosted
        self._pack = Packer(np.float64)

    @property
    def by_name(self) -> bool:
        return bool(self.names) and self._boosted is None

    def known(self, reads: pa.Schema) -> dict[str, pa.Array]:
        """Values that its columns were fitted on."""
        if self.categories.values:
            return self.categories.known(reads)
        if not self.by_name or pa.types.is_fixed_size_list(reads.types[0]):
            return {}
        own = dict(zip(self.names, reads.names, strict=True))
        found = {own[n]: v for n, v in seen_values(self._estimator, self.names).items() if n in own}
        return {name: values for name, values in found.items() if castable(values.type, reads.field(name).type)}

    def trial(self, rows: pa.RecordBatch) -> list[Answered]:
        """What each of its methods answers to a few rows: the label or value, then the probabilities."""
        methods = ["predict", "predict_proba"] if hasattr(self._estimator, "predict_proba") else ["predict"]
        try:
            given = self.given(rows)
            return [self.ask(method, given) for method in methods]
        except ModelRefused:
            raise
        except Exception as error:  # an estimator may raise anything
            first = (str(error) or type(error).__name__).splitlines()[0][:300]
            example = f"{rows.slice(0, 1).to_pylist()[0]!r:.200}"
            raise ModelRefused(
                f"the model failed on a trial of {rows.num_rows} rows such as {example}: {first}; "
                "if no made-up row will do, register a Python file that holds it"
            ) from error

    def given(self, rows: pa.RecordBatch) -> Any:
        if not self.by_name or pa.types.is_fixed_size_list(rows.schema.types[0]):
            return self._pack(self.categories.coded(rows))
        import polars as pl

        frame = pl.DataFrame(pl.from_arrow(rows))
        return frame.rename(dict(zip(frame.columns, self._estimator.feature_names_in_, strict=True)))

    def ask(self, method: str, given: Any) -> Answered:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of feature names, at every batch
            answer = getattr(self._estimator, method)(given)
        if isinstance(answer, list):  # of several targets: the probabilities of each
            return Answered(method, np.concatenate([np.asarray(part) for part in answer], axis=1), len(answer))
        values: Matrix = np.asarray(answer)
        return Answered(method, values, values.shape[1] if method == "predict" and values.ndim > 1 else 1)


class SklearnModel:
    def __init__(self, fitted: Fitted, signature: Signature, methods: list[Answered], picks: list[Pick]) -> None:
        self._fitted = fitted
        self._signature = signature
        self._methods = [answered.method for answered in methods]
        self._used = sorted({p.part for p in picks})
        self._picks = picks

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        given = self._fitted.given(rows)
        answers = {n: self._fitted.ask(self._methods[n], given).values for n in self._used}
        columns = [column_of(pick(answers[p.part], p.place)) for p in self._picks]
        return pa.RecordBatch.from_arrays(columns, names=self._signature.outputs.names)


def _skops_bytes(artifact: Path) -> bytes:
    data = artifact.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise ModelRefused(f"not a whole zip archive: {described(artifact, error)}") from error
    if size > LIMIT_BYTES:
        raise ModelRefused(f"a zip archive of {size} bytes when unpacked; {LIMIT_BYTES} are allowed")
    if "schema.json" not in names:
        recipe = recipes.recipe_for_zip(data) or "it is no scikit-learn model that skops wrote"
        raise ModelRefused(f"a zip archive without the schema.json of skops: {recipe}")
    return data


def _reads(fitted: Fitted, offer: pa.Schema | None) -> pa.Schema:
    count = fitted.count
    if count > 1 and not fitted.categories.values and (field := vector(offer, count)) is not None:
        return pa.schema([(field.name, pa.list_(pa.float64(), count))])
    reads = name_inputs(offer, fitted.names, fitted.categories.kinds(count))
    if not fitted.by_name or offer is None:
        return reads
    # Fitted on a frame: columns may be texts; what the source has is what it reads.
    kinds = [offer.field(n).type if offer.field(n).type != pa.null() else pa.float64() for n in reads.names]
    return pa.schema(list(zip(reads.names, kinds, strict=True)))


def _parts(answers: list[Answered]) -> list[OutputPart]:
    label_first = len(answers) > 1
    return [
        OutputPart(
            answered.method,
            width(answered.values, ROWS),
            label=answered.values.dtype.kind not in "fiu" or (label_first and n == 0),
            classes=answered.method == "predict_proba" and answered.targets == 1,
        )
        for n, answered in enumerate(answers)
    ]


def save(estimator: Any) -> bytes:
    import skops.io

    data: bytes = skops.io.dumps(estimator)
    return data
