"""scikit-learn estimators: skops files, and pickles of a digest that somebody has trusted.

A skops file names its types; those beyond scikit-learn's plain ones are refused with their list. A pickle or joblib
file *is* a program: it runs when it is loaded.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ...errors import ModelRefused, install
from ..artifacts import LIMIT
from ..casts import is_text
from ..interface import Signature
from ..packing import Matrix, Packer, column_of, zeros
from .columns import Part, Pick, choose_outputs, described, name_inputs, one_a_row, pick, vector

TRIALS = (2, 3)  # rows: of one number alone an array a target could pass for an array a row

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
        estimator = self.open(artifact)
        reads = _reads(estimator, inputs)
        parts, answers = _trial(estimator, reads)
        picks = choose_outputs(parts, outputs)
        columns = [column_of(pick(list(answers.values())[p.part], p.place)) for p in picks]
        return Signature(reads, pa.schema([(p.name, c.type) for p, c in zip(picks, columns, strict=True)]))

    def load(self, artifact: Path, signature: Signature) -> SklearnModel:
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)
        estimator = self.open(artifact)
        parts, answers = _trial(estimator, signature.inputs)
        picks = choose_outputs(parts, signature.outputs.names)
        return SklearnModel(estimator, signature, list(answers), picks)


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


class SklearnModel:
    def __init__(self, estimator: Any, signature: Signature, methods: list[str], picks: list[Pick]) -> None:
        self._estimator = estimator
        self._signature = signature
        self._methods = methods
        self._used = sorted({p.part for p in picks})
        self._picks = picks

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        given = _given(self._estimator, rows)
        answers = {n: _call(self._estimator, self._methods[n], given) for n in self._used}
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
    if size > LIMIT:
        raise ModelRefused(f"a zip archive of {size} bytes when unpacked; {LIMIT} are allowed")
    if "schema.json" not in names:
        raise ModelRefused(
            "a zip archive without the schema.json of skops: it is no scikit-learn model that skops wrote"
        )
    return data


def _reads(estimator: Any, offer: pa.Schema | None) -> pa.Schema:
    count = getattr(estimator, "n_features_in_", None)
    if count is None or not hasattr(estimator, "predict"):
        raise ModelRefused(f"the file holds a {type(estimator).__name__}, not a fitted estimator with predict")
    if count > 1 and (field := vector(offer, count)) is not None:
        return pa.schema([(field.name, pa.list_(pa.float64(), count))])
    named = [str(n) for n in getattr(estimator, "feature_names_in_", ())]
    reads = name_inputs(offer, named, [pa.float64()] * count)
    if not named or offer is None:
        return reads
    # Fitted on a frame: columns may be texts; what the source has is what it reads.
    kinds = [offer.field(n).type if offer.field(n).type != pa.null() else pa.float64() for n in reads.names]
    return pa.schema(list(zip(reads.names, kinds, strict=True)))


def _trial(estimator: Any, reads: pa.Schema) -> tuple[list[Part], dict[str, Matrix]]:
    """What the estimator answers by each of its methods: the label or value, then the probabilities."""
    methods = ["predict", "predict_proba"] if hasattr(estimator, "predict_proba") else ["predict"]
    try:
        trials = {rows: _answers(estimator, methods, _given(estimator, zeros(reads, rows))) for rows in TRIALS}
    except Exception as error:  # an estimator may raise anything
        if not any(map(is_text, reads.types)):
            first = (str(error) or type(error).__name__).splitlines()[0][:300]
            raise ModelRefused(f"the model failed on a trial of a few rows of zeros: {first}") from error
        # An encoder may refuse texts that it was not fitted on, and the empty one is such a text.
        trials = {rows: _fitted(estimator, rows) for rows in TRIALS}
    first_trial = trials[TRIALS[0]]
    by_method = {method: {rows: found[method] for rows, found in trials.items()} for method in first_trial}
    return [_part(method, answers, label_too=len(by_method) > 1) for method, answers in by_method.items()], first_trial


def _answers(estimator: Any, methods: list[str], given: Any) -> dict[str, Matrix]:
    return {method: _call(estimator, method, given) for method in methods}


def _fitted(estimator: Any, rows: int) -> dict[str, Matrix]:
    """Answers of the shape and type that the fitted attributes tell of."""
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, list) or getattr(estimator, "n_outputs_", 1) > 1:
        raise ModelRefused("what a model of several targets answers cannot be told from texts: answer one target each")
    if classes is None or not hasattr(estimator, "predict_proba"):
        return {"predict": np.zeros(rows) if classes is None else classes[:1].repeat(rows)}
    return {"predict": classes[:1].repeat(rows), "predict_proba": np.zeros((rows, len(classes)))}


def _part(method: str, trials: dict[int, Matrix], *, label_too: bool) -> Part:
    """A label is what is no number, and what ``predict`` answers beside probabilities."""
    is_number = trials[TRIALS[0]].dtype.kind in "fiu"
    label = not is_number or (label_too and method == "predict")
    return Part(method, one_a_row(trials), label=label, shares=method == "predict_proba")


def _given(estimator: Any, rows: pa.RecordBatch) -> Any:
    if hasattr(estimator, "feature_names_in_") and not pa.types.is_fixed_size_list(rows.schema.types[0]):
        import polars as pl

        frame = pl.DataFrame(pl.from_arrow(rows))
        return frame.rename(dict(zip(frame.columns, estimator.feature_names_in_, strict=True)))
    return Packer(np.float64)(rows)


def _call(estimator: Any, method: str, given: Any) -> Matrix:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of feature names, at every batch
        answer = getattr(estimator, method)(given)
    if isinstance(answer, list) and answer and np.ndim(answer[0]) == 2:
        # Of several targets the probabilities are a list of arrays, one a target: beside each other they are one a row.
        return np.concatenate(answer, axis=1)
    made: Matrix = np.asarray(answer)
    return made


def save(estimator: Any) -> bytes:
    import skops.io

    data: bytes = skops.io.dumps(estimator)
    return data
