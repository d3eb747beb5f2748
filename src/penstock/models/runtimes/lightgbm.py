"""LightGBM boosters in their text format. Loading executes nothing of the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ...errors import ModelRefused, install
from ..interface import Signature
from ..packing import Packer, column_of, zeros
from .columns import Part, are_shares, choose_outputs, described, name_inputs, pick, vector, width

UNNAMED = re.compile(r"Column_\d+")
TRIAL = 2  # rows


class LightgbmRuntime:
    name = "lightgbm"
    trust: Literal["data", "code"] = "data"

    def claims(self, head: bytes, name: str) -> bool:
        return head.startswith((b"tree\n", b"tree\r\n"))

    def inspect(self, artifact: Path, *, inputs: pa.Schema | None, outputs: list[str]) -> Signature:
        booster = open_booster(artifact)
        count = booster.num_feature()
        if count > 1 and (field := vector(inputs, count)) is not None:
            reads = pa.schema([(field.name, pa.list_(pa.float64(), count))])
        else:
            named = [] if all(map(UNNAMED.fullmatch, booster.feature_name())) else booster.feature_name()
            reads = name_inputs(inputs, named, [pa.float64()] * count)
        picks = choose_outputs([_part(booster, reads)], outputs)
        return Signature(reads, pa.schema([(p.name, pa.float64()) for p in picks]))

    def load(self, artifact: Path, signature: Signature) -> LightgbmModel:
        booster = open_booster(artifact)
        picks = choose_outputs([_part(booster, signature.inputs)], signature.outputs.names)
        return LightgbmModel(booster, signature.outputs.names, [p.place for p in picks])


def _part(booster: Any, reads: pa.Schema) -> Part:
    answer = booster.predict(Packer(np.float64)(zeros(reads, TRIAL)), num_threads=1)
    return Part("prediction", width(answer, TRIAL), shares=are_shares(answer))


class LightgbmModel:
    def __init__(self, booster: Any, names: list[str], places: list[int]) -> None:
        self._booster = booster
        self._pack = Packer(np.float64)
        self._names = names
        self._places = places

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        answer = self._booster.predict(self._pack(rows), num_threads=1)
        return pa.RecordBatch.from_arrays([column_of(pick(answer, p)) for p in self._places], names=self._names)


def open_booster(artifact: Path) -> Any:
    """Raises ``ModelRefused``."""
    try:
        import lightgbm
    except ImportError as error:
        raise ModelRefused(f"a LightGBM model needs: {install('lightgbm')}") from error
    text = artifact.read_bytes()
    if b"\nend of trees" not in text:
        # The native parser is not to be tried with half a file.
        raise ModelRefused("not a whole LightGBM model: its line 'end of trees' is missing")
    try:
        return lightgbm.Booster(model_str=text.decode())
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise ModelRefused(f"not a model that LightGBM can load: {described(artifact, error)}") from error


def save(model: Any) -> bytes:
    """The text of a ``Booster``, or of the one inside a fitted ``LGBMModel``."""
    booster = getattr(model, "booster_", model)
    text: str = booster.model_to_string()
    return text.encode()
