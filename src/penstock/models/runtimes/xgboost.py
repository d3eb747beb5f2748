"""XGBoost models in its own formats, JSON and UBJSON. Loading executes nothing of the file.

Before the native parser is given a file, all of it is read here for what would harm a process: depth, sizes, the end.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from ...errors import ModelRefused, install
from ..interface import Signature
from ..packing import Matrix, Packer, column_of
from ..trial import require_rowwise, rows_to_try
from . import ubjson
from .categories import Categories
from .columns import (
    MOST_ANSWERS,
    OutputPart,
    Pick,
    choose_outputs,
    described,
    name_inputs,
    pick,
    probabilities,
    vector,
    width,
)

JSON = re.compile(rb'\s*\{\s*"(learner|version)"\s*:\s*[\[{]')
UBJSON = re.compile(rb"\{(?:L\0{7}\x07|[iU]\x07)(learner|version)[\[{]")
KEEPS_CATEGORIES = (3, 1)
"""The first version whose files hold the values behind the codes of a frame's categories."""

WIDEST = 1_000_000  # columns


class Shape(msgspec.Struct):
    num_feature: str = "0"
    num_class: str = "0"
    num_target: str = "1"


class Named(msgspec.Struct):
    name: str = ""


class Learner(msgspec.Struct):
    learner_model_param: Shape
    gradient_booster: Named
    objective: Named
    feature_names: list[str] = []
    feature_types: list[str] = []
    attributes: dict[str, str] = {}


class Document(msgspec.Struct):
    """What a file says of itself."""

    learner: Learner
    version: list[int]


class XgboostRuntime:
    name = "xgboost"
    trust: Literal["data", "code"] = "data"

    def claims(self, head: bytes, name: str) -> bool:
        return JSON.match(head) is not None or UBJSON.match(head) is not None

    def inspect(self, artifact: Path, *, inputs: pa.Schema | None, outputs: list[str]) -> Signature:
        booster, document = open_booster(artifact)
        categories = _categories(booster, document)
        count = booster.num_features()
        if count > 1 and not categories.values and (field := vector(inputs, count)) is not None:
            reads = pa.schema([(field.name, pa.list_(pa.float32(), count))])
        else:
            reads = name_inputs(inputs, booster.feature_names or [], kinds(categories, count))
        rows = rows_to_try(reads, categories.known(reads))
        model = XgboostModel(booster, document, categories)
        model.choose(rows, outputs)
        require_rowwise(model, rows)
        return Signature(reads, pa.schema([(name, pa.float64()) for name in model.names]))

    def load(self, artifact: Path, signature: Signature) -> XgboostModel:
        booster, document = open_booster(artifact)
        model = XgboostModel(
            booster, document, categories_of(booster, told=tuple(document.version) >= KEEPS_CATEGORIES)
        )
        model.choose(rows_to_try(signature.inputs, model.categories.known(signature.inputs)), signature.outputs.names)
        return model


class XgboostModel:
    """Answers as ``Booster.predict`` does; a file that an estimator saved, as that estimator's ``predict_proba`` or
    ``predict``, which stop at the best of its rounds."""

    def __init__(self, booster: Any, document: Document, categories: Categories) -> None:
        self._booster, self.categories = booster, categories
        self._pack = Packer(np.float32)  # what it compares in: the same answers as for float64
        self._linear = document.learner.gradient_booster.name == "gblinear"
        self._rounds = _rounds(document.learner.attributes)
        self._picks: list[Pick] = []

    @property
    def names(self) -> list[str]:
        return [p.name for p in self._picks]

    def choose(self, rows: pa.RecordBatch, outputs: list[str]) -> None:
        """Settle which answers become columns. Raises ``ModelRefused``."""
        try:
            answer = self._answer(rows)
        except ValueError as error:  # its own errors are such
            first = str(error).strip().splitlines()[0][:300]
            raise ModelRefused(f"the model failed on a trial of {rows.num_rows} rows: {first}") from error
        part = OutputPart("prediction", width(answer, rows.num_rows), classes=probabilities(answer))
        self._picks = choose_outputs([part], outputs)

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        answer = self._answer(rows)
        return pa.RecordBatch.from_arrays([column_of(pick(answer, p.place)) for p in self._picks], names=self.names)

    def _answer(self, rows: pa.RecordBatch) -> Matrix:
        values = self._pack(self.categories.coded(rows))
        if self._linear:
            import xgboost

            answer: Matrix = self._booster.predict(xgboost.DMatrix(values, nthread=1), validate_features=False)
        else:
            answer = self._booster.inplace_predict(values, iteration_range=self._rounds, validate_features=False)
        return answer


def open_booster(artifact: Path) -> tuple[Any, Document]:
    """Raises ``ModelRefused``."""
    try:
        import xgboost
    except ImportError as error:
        raise ModelRefused(f"an XGBoost model needs: {install('xgboost')}") from error
    data = artifact.read_bytes()
    document = read_document(data)
    try:
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(data))
        booster.set_param({"nthread": 1})
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        raise ModelRefused(f"not a model that XGBoost can load: {described(artifact, error)}") from error
    return booster, document


def read_document(data: bytes) -> Document:
    """What the file says of itself, once all of it has been read. Raises ``ModelRefused``."""
    try:
        if UBJSON.match(data):
            document = msgspec.convert(ubjson.read(data), Document)
        else:
            document = msgspec.json.decode(data, type=Document)
        says = document.learner.learner_model_param
        features, answers = int(says.num_feature), (int(says.num_class), int(says.num_target))
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        mend = "write it with booster.save_model('model.json')"
        raise ModelRefused(f"not a whole XGBoost model: {error}; {mend}") from error
    if not 0 < features <= WIDEST:
        raise ModelRefused(f"the XGBoost model says that it reads {features} columns; {WIDEST} are the most")
    if not 0 <= min(answers) <= max(answers) <= MOST_ANSWERS:  # its library makes room for them before it looks
        raise ModelRefused(
            f"the XGBoost model says that it answers {max(answers)} values a row; {MOST_ANSWERS} are the most"
        )
    return document


def categories_of(booster: Any, *, told: bool) -> Categories:
    """The values behind the codes that a booster reads.

    ``told``: had it been fitted on values, they would be in it; without any, the columns hold codes as they did in
    training. Raises ``ModelRefused`` where that is left open.
    """
    places = [n for n, kind in enumerate(booster.feature_types or []) if kind == "c"]
    if not places:
        return Categories()
    kept = booster.get_categories(export_to_arrow=True)
    listed: Mapping[str, pa.Array | None] = dict(kept.to_arrow()) if kept is not None and not kept.empty() else {}
    values = {n: found for n, found in enumerate(listed.values()) if found is not None and n in places}
    if not values and not told:
        raise ModelRefused(
            "the model has categorical columns, and nothing in it says which values their codes stand for: fit it on a "
            "frame and save it with XGBoost 3.1 or newer"
        )
    return Categories(values, strict=True)


def _categories(booster: Any, document: Document) -> Categories:
    return categories_of(booster, told=tuple(document.version) >= KEEPS_CATEGORIES)


def kinds(categories: Categories, count: int) -> list[pa.DataType]:
    return [pa.float32() if kind == pa.float64() else kind for kind in categories.kinds(count)]


def _rounds(attributes: Mapping[str, str]) -> tuple[int, int]:
    """An estimator stops at the best of its rounds; a booster takes them all, which (0, 0) says."""
    best = attributes.get("best_iteration", "")
    return (0, int(best) + 1) if "scikit_learn" in attributes and best.isdecimal() else (0, 0)


def save(model: Any) -> bytes:
    """The UBJSON of a ``Booster``, or of a fitted ``XGBModel`` with what it knows beside its booster."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.ubj")
        model.save_model(path)
        return path.read_bytes()
