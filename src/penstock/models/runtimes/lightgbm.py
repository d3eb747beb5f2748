"""LightGBM boosters in their text format. Loading executes nothing of the file.

A booster fitted on a pandas frame with categories reads their codes, and its file keeps the lists. Rows come with the
values, which are coded here as LightGBM codes a frame's; one that was never seen is missing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ...errors import ModelRefused, install
from ..interface import Signature
from ..packing import Packer, column_of
from ..trial import require_rowwise, rows_to_try
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

UNNAMED = re.compile(r"Column_\d+")
CATEGORICAL = re.compile(r"^\[categorical_feature: ([\d,]*)\]", re.MULTILINE)
SIZES = re.compile(rb"^tree_sizes=([\d ]+)$", re.MULTILINE)
CLASSES = re.compile(rb"^num_class=(\d{1,18})$", re.MULTILINE)
INFOS = re.compile(r"^feature_infos=(.*)$", re.MULTILINE)


class LightgbmRuntime:
    name = "lightgbm"
    trust: Literal["data", "code"] = "data"

    def claims(self, head: bytes, name: str) -> bool:
        return head.startswith((b"tree\n", b"tree\r\n"))

    def inspect(self, artifact: Path, *, inputs: pa.Schema | None, outputs: list[str]) -> Signature:
        booster = open_booster(artifact)
        categories = categories_of(booster)
        count = booster.num_feature()
        if count > 1 and not categories.values and (field := vector(inputs, count)) is not None:
            reads = pa.schema([(field.name, pa.list_(pa.float64(), count))])
        else:
            named = [] if all(map(UNNAMED.fullmatch, booster.feature_name())) else booster.feature_name()
            reads = name_inputs(inputs, named, categories.kinds(count))
        rows = rows_to_try(reads, categories.known(reads))
        picks = choose_outputs([_part(booster, categories, rows)], outputs)
        signature = Signature(reads, pa.schema([(p.name, pa.float64()) for p in picks]))
        require_rowwise(LightgbmModel(booster, categories, picks), rows)
        return signature

    def load(self, artifact: Path, signature: Signature) -> LightgbmModel:
        booster = open_booster(artifact)
        categories = categories_of(booster)
        rows = rows_to_try(signature.inputs, categories.known(signature.inputs))
        picks = choose_outputs([_part(booster, categories, rows)], signature.outputs.names)
        return LightgbmModel(booster, categories, picks)


class LightgbmModel:
    def __init__(self, booster: Any, categories: Categories, picks: list[Pick]) -> None:
        self._booster, self._categories = booster, categories
        self._pack = Packer(np.float64)
        self._names = [p.name for p in picks]
        self._places = [p.place for p in picks]

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        answer = self._booster.predict(self._pack(self._categories.coded(rows)), num_threads=1)
        return pa.RecordBatch.from_arrays([column_of(pick(answer, p)) for p in self._places], names=self._names)


def _part(booster: Any, categories: Categories, rows: pa.RecordBatch) -> OutputPart:
    answer = booster.predict(Packer(np.float64)(categories.coded(rows)), num_threads=1)
    return OutputPart("prediction", width(answer, rows.num_rows), classes=probabilities(answer))


def open_booster(artifact: Path) -> Any:
    """Raises ``ModelRefused``."""
    try:
        import lightgbm
    except ImportError as error:
        raise ModelRefused(f"a LightGBM model needs: {install('lightgbm')}") from error
    text = artifact.read_bytes().replace(b"\r\n", b"\n")
    _require_whole(text)
    try:
        booster = lightgbm.Booster(model_str=text.decode())
    except (lightgbm.basic.LightGBMError, ValueError, TypeError, RecursionError) as error:
        raise ModelRefused(f"not a model that LightGBM can load: {described(artifact, error)}") from error
    if booster.num_model_per_iteration() > max(1, booster.num_trees()):
        raise ModelRefused(
            f"the LightGBM model says that it has {booster.num_model_per_iteration()} trees a round, and has "
            f"{booster.num_trees()} in all"
        )
    return booster


def _require_whole(text: bytes) -> None:
    """The native parser is not to be tried with half a file: it ends the process."""
    if b"\nend of trees" not in text:
        raise ModelRefused("not a whole LightGBM model: its line 'end of trees' is missing")
    if (classes := CLASSES.search(text)) is not None and int(classes.group(1)) > MOST_ANSWERS:
        raise ModelRefused(
            f"the LightGBM model says that it has {int(classes.group(1))} classes; {MOST_ANSWERS} are the most"
        )
    if (sizes := SIZES.search(text)) is None:
        return
    at = text.find(b"Tree=0\n")
    for n, size in enumerate(map(int, sizes.group(1).split())):
        if not text.startswith(b"Tree=%d\n" % n, at):
            raise ModelRefused(f"not a whole LightGBM model: tree {n} is not where the file says that it begins")
        at += size
    if not text.startswith(b"end of trees", at):
        raise ModelRefused("not a whole LightGBM model: its last tree does not end where the file says")


def categories_of(booster: Any) -> Categories:
    """The values behind the codes that a booster fitted on a pandas frame reads; none for any other.

    Its file has a list for each category column of the frame, in their order, and says apart from that which columns
    it treats as categories. Raises ``ModelRefused`` where the two leave open which list belongs to which column.
    """
    lists = booster.pandas_categorical or []
    if not lists:
        return Categories()
    text = booster.model_to_string(num_iteration=1)
    infos, named = INFOS.search(text), CATEGORICAL.search(text)
    features = infos.group(1).split() if infos else []
    places = [int(place) for place in named.group(1).split(",") if place] if named else []
    try:
        values = [pa.array(each) for each in lists]
    except (pa.ArrowException, TypeError) as error:
        raise ModelRefused(f"the model's categories are of several types: {error}; {MEND_CATEGORIES}") from error
    columns = [features[place] for place in places if place < len(features)]
    belong = len(columns) == len(places) == len(values) and all(map(_within, columns, map(len, values)))
    rivals = {f"[0:{len(each) - 1}]" for each in values if not pa.types.is_string(each.type)}
    if not belong or any(info in rivals for n, info in enumerate(features) if n not in places):
        raise ModelRefused(
            f"the model was fitted on a frame with {len(lists)} category columns, and its file does not say which "
            f"columns they were; {MEND_CATEGORIES}"
        )
    return Categories(dict(zip(places, values, strict=True)))


MEND_CATEGORIES = "fit it on the codes, or register a Python file that makes the frame"


def _within(info: str, count: int) -> bool:
    """Are the codes that a column was seen with, as ``feature_infos`` lists them, codes of so many values?"""
    if info == "none":
        return True
    return not info.startswith("[") and all(int(code) < count for code in info.split(":"))


def save(model: Any) -> bytes:
    """The text of a ``Booster``, or of the one inside a fitted ``LGBMModel``."""
    booster = getattr(model, "booster_", model)
    text: str = booster.model_to_string()
    return text.encode()
