"""A Python file with one class that has ``predict(self, rows: pl.DataFrame) -> pl.DataFrame``. Loading runs it.

The class is made without arguments. ``inputs``, a list of column names on the class, says what it reads; without it
(and without ``inputs=``) it is given every column of its source.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pyarrow as pa

from ...errors import ModelRefused
from ..interface import Signature
from ..packing import zeros
from ..signature import is_declared, listed
from ..trial import require_rowwise, rows_to_try
from .columns import MEND, described

CLASS = re.compile(r"^class [A-Za-z_]", re.MULTILINE)


class PythonRuntime:
    name = "python"
    trust: Literal["data", "code"] = "code"

    def __init__(self, trusted: bool) -> None:
        self._trusted = trusted

    def claims(self, head: bytes, name: str) -> bool:
        try:
            text = head.decode(errors="strict" if len(head) < 4096 else "ignore")
        except UnicodeDecodeError:
            return False
        return "\0" not in text and (CLASS.search(text) is not None or name.endswith(".py"))

    def inspect(self, artifact: Path, *, inputs: pa.Schema | None, outputs: list[str]) -> Signature:
        model = self._make(artifact)
        reads = _reads(model, inputs)
        try:
            answer = _call(model, zeros(reads, 0))
        except Exception as error:  # the user's code
            raise ModelRefused(f"the model failed on a frame without rows: {described(artifact, error)}") from error
        missing = [name for name in outputs if name not in answer.schema.names]
        if missing:
            raise ModelRefused(f"the model answers {listed(answer.schema.names)}, and outputs= names {listed(missing)}")
        answer = answer.select(outputs or answer.schema.names)
        for field in answer.schema:
            if pa.types.is_null(field.type):
                raise ModelRefused(f"the type of output '{field.name}' cannot be told without rows: cast it to a dtype")
        if answer.num_rows:
            raise ModelRefused(
                f"the model answered {answer.num_rows} rows for a frame without rows: it must answer each row, in "
                "their order, and nothing else (no mean or other aggregate of the batch)"
            )
        signature = Signature(reads, pa.schema([(f.name, f.type) for f in answer.schema]))
        # It may fail on rows that were made up: what it can read, only its author knows.
        require_rowwise(PythonModel(model, signature), rows_to_try(reads), must=False)
        return signature

    def load(self, artifact: Path, signature: Signature) -> PythonModel:
        return PythonModel(self._make(artifact), signature)

    def _make(self, artifact: Path) -> Any:
        if not self._trusted:
            raise ModelRefused("a Python file runs when it is loaded, and nobody has trusted this one")
        module = _run(artifact)
        classes = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
        models = [c for c in classes if callable(getattr(c, "predict", None))]
        if len(models) != 1:
            found = listed([c.__name__ for c in models])
            raise ModelRefused(f"a model file has one class with a method predict; this one has {found}")
        try:
            return models[0]()
        except Exception as error:  # the user's code
            raise ModelRefused(f"{models[0].__name__}() failed: {described(artifact, error)}") from error


class PythonModel:
    def __init__(self, model: Any, signature: Signature) -> None:
        self._model = model
        self._outputs = signature.outputs.names

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        answer = _call(self._model, rows)
        have = set(answer.schema.names)
        return answer.select([name for name in self._outputs if name in have])


def _run(artifact: Path) -> ModuleType:
    data = artifact.read_bytes()
    # Registered under a name of its own, so that dataclasses and pickles inside the file find their module.
    module = ModuleType(f"penstock_model_{hashlib.sha256(data).hexdigest()[:16]}")
    module.__file__ = str(artifact)
    try:
        code = compile(ast.parse(data), str(artifact), "exec", dont_inherit=True)
        sys.modules[module.__name__] = module
        exec(code, module.__dict__)
    except Exception as error:  # the user's code
        sys.modules.pop(module.__name__, None)
        raise ModelRefused(f"the Python file does not run: {described(artifact, error)}") from error
    return module


def _reads(model: Any, offer: pa.Schema | None) -> pa.Schema:
    own = getattr(model, "inputs", None)
    if own is not None and not is_declared(offer):
        missing = [name for name in own if offer is not None and name not in offer.names]
        if offer is not None and missing:
            raise ModelRefused(f"the model reads {listed(missing)}, and the columns on offer are {listed(offer.names)}")
        return pa.schema([(n, pa.null()) if offer is None else offer.field(n) for n in own])
    if offer is None:
        raise ModelRefused(f"what the model reads cannot be told: {MEND}, or give the class a list 'inputs'")
    return offer.remove_metadata()


def _call(model: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
    import polars as pl  # here: a runner that scores with another library does without

    answer = model.predict(pl.DataFrame(pl.from_arrow(rows)))
    if not isinstance(answer, pl.DataFrame):
        raise TypeError(f"predict returned a {type(answer).__name__}, not a polars DataFrame")
    table = answer.to_arrow()
    table = table.cast(pa.schema([(f.name, _plain(f.type)) for f in table.schema])).combine_chunks()
    if table.num_rows == 0:
        return zeros(table.schema, 0)
    return table.to_batches()[0]


def _plain(kind: pa.DataType) -> pa.DataType:
    """Arrow's ordinary types for those that polars prefers."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return kind
