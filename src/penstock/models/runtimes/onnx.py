"""ONNX through ONNX Runtime: the recommended interchange. Loading executes nothing of the file.

Inputs: one tensor of k numbers a row, named by the file's ``penstock.inputs`` property (a JSON list); or one tensor a
column, by their names. float32 answers become float64 columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from ...errors import InputInvalid, ModelRefused, install
from ..casts import narrowed
from ..interface import Signature
from ..packing import Matrix, Packer, column_of, zeros
from ..signature import is_declared
from ..trial import require_rowwise, rows_to_try
from .columns import MEND, OutputPart, choose_outputs, described, name_inputs, pick, probabilities, vector, width

MISSING = f"an ONNX model needs: {install('onnx')}"
TRIAL_ROWS = 2  # rows: enough to see that the batch dimension is free

NUMBERS: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64,
    "tensor(uint32)": np.uint32,
    "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
FLOATS = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})

# The little of onnx.proto that can hold a tensor: message -> {field: (number, type, message)}. Parsed with protobuf's
# own parser, so that the runtime need not depend on the onnx package.
CONTAINERS: dict[str, dict[str, tuple[int, str]]] = {
    "Model": {"graph": (7, "Graph"), "training": (20, "Training"), "functions": (25, "Function")},
    "Training": {"initialization": (1, "Graph"), "algorithm": (2, "Graph")},
    "Graph": {"node": (1, "Node"), "initializer": (5, "Tensor"), "sparse": (15, "Sparse")},
    "Function": {"node": (7, "Node"), "attribute": (11, "Attribute")},
    "Node": {"attribute": (5, "Attribute")},
    "Attribute": {
        "t": (5, "Tensor"),
        "g": (6, "Graph"),
        "tensors": (10, "Tensor"),
        "graphs": (11, "Graph"),
        "sparse": (22, "Sparse"),
        "sparses": (23, "Sparse"),
    },
    "Sparse": {"values": (1, "Tensor"), "indices": (2, "Tensor")},
    "Tensor": {"external": (13, "Entry")},
    "Entry": {},
}
FIRST_TAGS = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72})  # of a ModelProto, after its ir_version


class OnnxRuntime:
    name = "onnx"
    trust: Literal["data", "code"] = "data"

    def claims(self, head: bytes, name: str) -> bool:
        # A ModelProto begins with its version, field 1, in one byte; those of 2017 were 1 and 2, as TensorFlow's are.
        return len(head) > 2 and head[0] == 0x08 and 2 < head[1] < 0x40 and head[2] in FIRST_TAGS

    def inspect(self, artifact: Path, *, inputs: pa.Schema | None, outputs: list[str]) -> Signature:
        refuse_external_data(artifact)
        session = open_session(artifact)
        reads = _reads(session, inputs)
        answers = trial(session, reads)
        picks = choose_outputs(_parts(session, answers), outputs)
        columns = [column_of(pick(answers[p.part], p.place)) for p in picks]
        signature = Signature(reads, pa.schema([(p.name, c.type) for p, c in zip(picks, columns, strict=True)]))
        require_rowwise(OnnxModel(session, signature), rows_to_try(reads))
        return signature

    def load(self, artifact: Path, signature: Signature) -> OnnxModel:
        return OnnxModel(open_session(artifact), signature)


class OnnxModel:
    """Which answers to compute is settled at load; a batch costs the packing and the run."""

    def __init__(self, session: Any, signature: Signature) -> None:
        self._session = session
        self._feed = Feed(session)
        self._outputs = signature.outputs
        names = [o.name for o in session.get_outputs()]
        picks = choose_outputs(_parts(session, trial(session, signature.inputs)), signature.outputs.names)
        used = sorted({p.part for p in picks})
        self._wanted = [names[n] for n in used]
        self._places = [(used.index(p.part), p.place) for p in picks]

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        answers = score(self._session, self._wanted, self._feed(rows))
        columns = [column_of(pick(answers[n], place)) for n, place in self._places]
        return pa.RecordBatch.from_arrays(columns, schema=self._outputs)


def open_session(artifact: Path) -> Any:
    """One thread, never spinning: many partitions share the cores. Raises ``ModelRefused``."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise ModelRefused(MISSING) from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        # By its bytes: a path would let the runtime look for files beside it.
        return ort.InferenceSession(artifact.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base
        raise ModelRefused(f"not a model that ONNX Runtime can load: {described(artifact, error)}") from error


class Feed:
    """Columns in the model's order -> the tensors that the session reads."""

    def __init__(self, session: Any) -> None:
        given = session.get_inputs()
        self._whole = len(given) == 1
        self._tensors = [(t.name, t.shape, _filler(t.type)) for t in given]

    def __call__(self, rows: pa.RecordBatch) -> dict[str, Matrix]:
        if self._whole:
            name, shape, fill = self._tensors[0]
            return {name: _shaped(fill(rows), shape)}
        return {name: _shaped(fill(rows.select([n])), shape) for n, (name, shape, fill) in enumerate(self._tensors)}


def _filler(type_name: str) -> Callable[[pa.RecordBatch], Matrix]:
    if type_name not in NUMBERS:
        return _texts
    kind = NUMBERS[type_name]
    if issubclass(kind, np.floating):
        return Packer(kind)
    return lambda rows: _integers(rows, kind)


def _texts(rows: pa.RecordBatch) -> Matrix:
    return np.stack([np.array(_filled(rows, n).to_pylist(), object) for n in rows.schema.names], axis=1)


def _integers(rows: pa.RecordBatch, kind: type[np.generic]) -> Matrix:
    """Not by way of floats, which cannot hold every int64."""
    wanted = pa.from_numpy_dtype(kind)
    columns = [narrowed(_filled(rows, n), wanted, n).to_numpy(zero_copy_only=False) for n in rows.schema.names]
    return np.ascontiguousarray(np.stack(columns, axis=1), kind)


def _filled(rows: pa.RecordBatch, name: str) -> pa.Array:
    """A column without nulls: only floats have a NaN to say that a value is missing, and a 0 would be made up."""
    column = rows.column(name)
    if column.null_count:
        missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist()
        raise InputInvalid(f"column '{name}' is null, and the model reads it as {column.type}: fill it before", missing)
    return column


def _shaped(values: Matrix, shape: Sequence[Any]) -> Matrix:
    return values.ravel() if len(shape) == 1 else values


def score(session: Any, wanted: list[str], feeds: Mapping[str, Matrix]) -> list[Matrix]:
    return [_array(answer) for answer in session.run(wanted, feeds)]


def trial(session: Any, reads: pa.Schema) -> list[Matrix]:
    """Every answer to a few rows of zeros; also warms the session up. Raises ``ModelRefused``."""
    try:
        return score(session, [o.name for o in session.get_outputs()], Feed(session)(zeros(reads, TRIAL_ROWS)))
    except Exception as error:  # its errors share no base
        first = str(error).splitlines()[0][:300]
        raise ModelRefused(f"the model failed on a trial of {TRIAL_ROWS} rows of zeros: {first}") from error


def _array(answer: Any) -> Matrix:
    if isinstance(answer, np.ndarray):
        return answer
    # A ZipMap: one dict of probabilities a row, in the order of the classes.
    return np.array([list(row.values()) for row in answer], np.float32)


def _reads(session: Any, offer: pa.Schema | None) -> pa.Schema:
    given = session.get_inputs()
    kinds = [_column_type(tensor.type) for tensor in given]
    if len(given) > 1:
        return name_inputs(offer, [tensor.name for tensor in given], kinds)
    size = _width(given[0])
    if size is not None and size > 1 and given[0].type in FLOATS and (field := vector(offer, size)) is not None:
        return pa.schema([(field.name, pa.list_(kinds[0], size))])
    named = _named(session)
    count = size if size is not None else _free_width(named, offer)
    if count == 0:
        raise ModelRefused(f"the model does not say how many columns it reads; {MEND}")
    return name_inputs(offer, named, kinds * count)


def _named(session: Any) -> list[str]:
    text = session.get_modelmeta().custom_metadata_map.get("penstock.inputs", "[]")
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError as error:
        raise ModelRefused(f"the model's property penstock.inputs is no JSON list of column names: {error}") from error


def _free_width(named: Sequence[str], offer: pa.Schema | None) -> int:
    if offer is None or (named and not is_declared(offer)):
        return len(named)
    return len(offer) if is_declared(offer) else 0


def _width(tensor: Any) -> int | None:
    sizes = tensor.shape[1:]
    if len(sizes) > 1:
        raise ModelRefused(f"the model reads '{tensor.name}' of shape {tensor.shape}: only rows of numbers can be fed")
    return 1 if not sizes else sizes[0] if isinstance(sizes[0], int) else None


def _column_type(name: str) -> pa.DataType:
    if name == "tensor(string)":
        return pa.string()
    if name not in NUMBERS:
        raise ModelRefused(f"the model reads a {name}, which no column can feed")
    kind = NUMBERS[name]
    return pa.float32() if kind is np.float16 else pa.from_numpy_dtype(kind)


def _parts(session: Any, answers: Sequence[Matrix]) -> list[OutputPart]:
    labels = [answer.dtype.kind != "f" for answer in answers]
    return [
        OutputPart(o.name, width(answer, TRIAL_ROWS), label, classes=any(labels) or probabilities(answer))
        for o, answer, label in zip(session.get_outputs(), answers, labels, strict=True)
    ]


# -- external data ------------------------------------------------------------


def refuse_external_data(artifact: Path) -> None:
    """Raises ``ModelRefused`` when a tensor's bytes are said to lie in another file, wherever that is."""
    try:
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ModelRefused(MISSING) from error
    try:
        model = model_message().FromString(artifact.read_bytes())
    except DecodeError as error:
        raise ModelRefused(f"not a whole ONNX file: {described(artifact, error)}") from error
    for tensor in _tensors(model, "Model"):
        if tensor.external or tensor.location:
            where = ", ".join(f"{e.key}={e.value}" for e in tensor.external) or "another file"
            raise ModelRefused(
                f"the model keeps tensor '{tensor.name}' outside itself ({where}); an artifact is one file: "
                "save it with onnx.save(model, path, save_as_external_data=False)"
            )


def _tensors(message: Any, kind: str) -> Any:
    if kind == "Tensor":
        yield message
        return
    for name, (_, inner) in CONTAINERS[kind].items():
        for item in getattr(message, name):
            yield from _tensors(item, inner)


@cache
def model_message() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="penstock/onnx.proto", package="penstock", syntax="proto2")
    scalar = descriptor_pb2.FieldDescriptorProto
    for kind, fields in CONTAINERS.items():
        message = file.message_type.add(name=kind)
        for name, (number, inner) in fields.items():
            message.field.add(name=name, number=number, label=3, type=11, type_name=f".penstock.{inner}")
    by_name = {message.name: message for message in file.message_type}
    by_name["Tensor"].field.add(name="name", number=8, label=1, type=scalar.TYPE_STRING)
    by_name["Tensor"].field.add(name="location", number=14, label=1, type=scalar.TYPE_INT32)
    by_name["Entry"].field.add(name="key", number=1, label=1, type=scalar.TYPE_STRING)
    by_name["Entry"].field.add(name="value", number=2, label=1, type=scalar.TYPE_STRING)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("penstock.Model"))


def save(model: Any) -> bytes:
    """The bytes of an ``onnx.ModelProto``."""
    data: bytes = model.SerializeToString()
    return data
