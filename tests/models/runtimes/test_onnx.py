"""The ONNX runtime: how columns become tensors and answers columns, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper

from penstock.errors import InputInvalid, ModelRefused
from penstock.models.interface import Runtime, Signature
from penstock.models.runtimes import choose
from penstock.models.runtimes import onnx as onnx_runtime
from penstock.models.runtimes.onnx import OnnxRuntime
from penstock.models.signature import offer
from penstock.testing.runtime_contract import OFFER, RuntimeContract

Keep = Callable[..., Path]
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


class TestOnnx(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return OnnxRuntime()

    @pytest.fixture
    def artifact(self, keep: Keep, graph: onnx.ModelProto) -> Path:
        data, runtime = choose.serialise(graph)
        assert runtime == "onnx"
        return keep(data)


def build(nodes: list, inputs: dict, outputs: dict, weights: dict | None = None) -> onnx.ModelProto:  # type: ignore[type-arg]
    def infos(named: dict) -> list:  # type: ignore[type-arg]
        return [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in named.items()]

    held = [numpy_helper.from_array(v, n) for n, v in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", infos(inputs), infos(outputs), held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def product(width: int, answers: int = 1, columns: object = None) -> onnx.ModelProto:
    """[N, columns] times ones [width, answers]."""
    return build(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, [None, columns or width])},
        {"y": (FLOAT, [None, answers])},
        {"w": np.arange(1, width * answers + 1, dtype=np.float32).reshape(width, answers)},
    )


def signed(artifact: Path, columns: pa.Schema | None, outputs: list[str] | None = None) -> Signature:
    return OnnxRuntime().inspect(artifact, inputs=columns, outputs=["y"] if outputs is None else outputs)


def test_exactly_as_many_numeric_columns_as_it_reads_are_taken_in_order(keep: Keep) -> None:
    assert signed(keep(product(3).SerializeToString()), OFFER).inputs == pa.schema([(n, pa.float32()) for n in "abc"])


def test_otherwise_the_message_says_what_to_write(keep: Keep) -> None:
    artifact = keep(product(2).SerializeToString())
    with pytest.raises(ModelRefused, match=r"reads 2 numeric columns .* 'id', 'a', 'b', 'c', of which 3 .* inputs=\["):
        signed(artifact, OFFER)
    with pytest.raises(ModelRefused, match=r"inputs=\["):
        signed(artifact, None)
    assert signed(artifact, offer(OFFER, ["c", "a"])).inputs.names == ["c", "a"]
    assert signed(artifact, offer(None, ["u", "v"])).inputs.names == ["u", "v"]


def test_the_file_may_name_its_inputs(keep: Keep) -> None:
    model = product(2)
    helper.set_model_props(model, {"penstock.inputs": json.dumps(["c", "b"])})
    artifact = keep(model.SerializeToString())
    assert signed(artifact, OFFER).inputs.names == ["c", "b"]
    assert signed(artifact, offer(OFFER, ["a", "b"])).inputs.names == ["a", "b"]


@pytest.mark.parametrize("names", ["{", '"a"', "[1, 2]"])
def test_names_that_are_no_list_are_refused(keep: Keep, names: str) -> None:
    model = product(2)
    helper.set_model_props(model, {"penstock.inputs": names})
    with pytest.raises(ModelRefused, match=r"penstock\.inputs"):
        signed(keep(model.SerializeToString()), OFFER)


def test_a_free_width_is_settled_by_the_declared_inputs(keep: Keep) -> None:
    artifact = keep(product(2, columns="k").SerializeToString())
    assert signed(artifact, offer(OFFER, ["c", "a"])).inputs.names == ["c", "a"]
    with pytest.raises(ModelRefused, match="how many columns"):
        signed(artifact, OFFER)


def test_a_vector_column_feeds_the_whole_matrix(keep: Keep) -> None:
    artifact = keep(product(3).SerializeToString())
    signature = signed(artifact, pa.schema([("id", pa.string()), ("v", pa.list_(pa.float64()))]))
    assert signature.inputs == pa.schema([("v", pa.list_(pa.float32(), 3))])
    model = choose.load("onnx", artifact, signature, trusted=False, name="m/1")
    rows = pa.RecordBatch.from_pydict({"v": [[1.0, 0, 0], [0, 1, 0], [1, 1, 1]]})
    assert model.predict(rows)["y"].to_pylist() == [1, 2, 6]


def test_one_tensor_a_column(keep: Keep) -> None:
    nodes = [
        helper.make_node("Cast", ["n"], ["m"], to=FLOAT),
        helper.make_node("Equal", ["t", "want"], ["e"]),
        helper.make_node("Cast", ["e"], ["f"], to=FLOAT),
        helper.make_node("Sum", ["m", "f", "x"], ["y"]),
    ]
    model = build(
        nodes,
        {"n": (INT64, [None, 1]), "t": (STRING, [None, 1]), "x": (FLOAT, [None, 1])},
        {"y": (FLOAT, [None, 1])},
        {"want": np.array(["UA"], object)},
    )
    artifact = keep(model.SerializeToString())
    columns = pa.schema([("x", "f8"), ("t", "string"), ("n", "int64"), ("rest", "string")])
    signature = signed(artifact, columns)
    assert signature.inputs == pa.schema([("n", "int64"), ("t", "string"), ("x", "f4")])
    given = pa.schema([("t", "string"), ("x", "f8"), ("n", "int64")])
    rows = pa.RecordBatch.from_pydict({"t": ["UA", "B6"], "x": [0.5, 0.25], "n": [2**40, 3]}, given)
    loaded = choose.load("onnx", artifact, signature, trusted=False, name="m/1")
    assert loaded.predict(rows)["y"].to_pylist() == [2.0**40, 3.25]
    for name in ("t", "n"):  # a text or an integer has no NaN to stand for what is missing
        lacking = rows.set_column(given.get_field_index(name), given.field(name), pa.nulls(2, given.field(name).type))
        with pytest.raises(InputInvalid, match=f"'{name}' is null, .*, in row 0 and 1 more"):
            loaded.predict(lacking)
    with pytest.raises(ModelRefused, match="'t'"):
        signed(artifact, pa.schema([("x", "f8"), ("n", "int64")]))


def classifier() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("ArgMax", ["p"], ["label"], axis=1, keepdims=0),
    ]
    outputs = {"label": (INT64, [None]), "p": (FLOAT, [None, 2])}
    return build(nodes, {"x": (FLOAT, [None, 1])}, outputs, {"w": np.array([[1, 10]], np.float32)})


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (["score"], {"score": [20.0]}),
        ([], {"p": [20.0]}),
        (["label"], {"label": [1]}),
        (["p"], {"p": [20.0]}),
        (["class", "score"], {"class": [1], "score": [20.0]}),
    ],
)
def test_a_classifier_answers_the_probability_of_the_positive_class(
    keep: Keep, names: list[str], answer: dict[str, list[float]]
) -> None:
    artifact = keep(classifier().SerializeToString())
    signature = signed(artifact, pa.schema([("v", "f8")]), names)
    model = choose.load("onnx", artifact, signature, trusted=False, name="m/1")
    assert model.predict(pa.RecordBatch.from_pydict({"v": [2.0]})).to_pydict() == answer


def test_several_values_a_row_are_several_columns(keep: Keep) -> None:
    artifact = keep(product(1, answers=3).SerializeToString())
    columns = pa.schema([("v", "f8")])
    model = OnnxRuntime().load(artifact, signed(artifact, columns, ["a", "b", "c"]))
    assert model.predict(pa.RecordBatch.from_pydict({"v": [2.0]})).to_pydict() == {"a": [2], "b": [4], "c": [6]}
    for names in (["a"], ["a", "b"], []):
        with pytest.raises(ModelRefused, match="3 a row"):
            signed(artifact, columns, names)


def test_a_batch_dimension_that_is_fixed_is_refused(keep: Keep) -> None:
    model = product(1)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ModelRefused, match="trial of 2 rows"):
        signed(keep(model.SerializeToString()), pa.schema([("v", "f8")]))


INTEGERS = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]


@pytest.mark.parametrize("name", [*INTEGERS, "BOOL", "FLOAT16", "FLOAT"])
def test_no_number_becomes_another_one(keep: Keep, name: str) -> None:
    kind = getattr(TensorProto, name)
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE)
    artifact = keep(build([cast], {"x": (kind, [None, 1])}, {"y": (TensorProto.DOUBLE, [None, 1])}).SerializeToString())
    signature = signed(artifact, pa.schema([("x", "i8")]))
    model = choose.load("onnx", artifact, signature, trusted=False, name="m/1")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    least, most = {"b": (0, 1), "f": (-65_504, 65_504)}.get(dtype.kind) or (np.iinfo(dtype).min, np.iinfo(dtype).max)
    least, most = max(int(least), -(2**63)), min(int(most), 2**63 - 1)
    given = [n for n in (0, 1, least, most) if abs(n) < 2**53]
    assert model.predict(numbers(given))["y"].to_pylist() == given
    beyond = [n for n in (least - 1, most + 1, most + 2**32 + 5) if -(2**63) <= n < 2**63 and dtype.kind != "f"]
    says = f"column 'x' has a value that is no {signature.inputs.types[0]}, as which the model reads it, in row 1"
    for n in beyond:
        with pytest.raises(InputInvalid, match=says) as said:
            model.predict(numbers([1, n, 0, n]))
        assert said.value.rows == [1, 3]


def numbers(values: list[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, pa.int64())], names=["x"])


def test_pictures_are_refused(keep: Keep) -> None:
    model = build([helper.make_node("Identity", ["x"], ["y"])], {"x": (FLOAT, [None, 3, 8, 8])}, {"y": (FLOAT, None)})
    with pytest.raises(ModelRefused, match="only rows of numbers"):
        signed(keep(model.SerializeToString()), OFFER)


# -- external data ------------------------------------------------------------


def pointing_outside(place: str, where: str) -> onnx.ModelProto:
    """A model with a tensor whose bytes lie in file ``place``: an initializer, a constant, or one inside a branch."""
    tensor = numpy_helper.from_array(np.ones((3, 1), np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    model = product(3)
    if where == "initializer":
        model.graph.initializer[0].CopyFrom(tensor)
    elif where == "attribute":
        model.graph.node.insert(0, helper.make_node("Constant", [], ["k"], value=tensor))
    elif where == "subgraph":
        inner = helper.make_graph([], "inner", [], [], [tensor])
        model.graph.node.insert(0, helper.make_node("If", ["x"], ["k"], then_branch=inner, else_branch=inner))
    else:
        constant = helper.make_node("Constant", [], ["k"], value=tensor)
        function = helper.make_function("d", "f", [], ["k"], [constant], [helper.make_opsetid("", 19)])
        model.functions.append(function)
    return model


@pytest.mark.parametrize("where", ["initializer", "attribute", "subgraph", "function"])
@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "weights.bin"])
def test_data_outside_the_artifact_is_refused(keep: Keep, place: str, where: str) -> None:
    keep(np.ones((3, 1), np.float32).tobytes(), "weights.bin")
    artifact = keep(pointing_outside(place, where).SerializeToString())
    with pytest.raises(ModelRefused, match=f"keeps tensor 'w' outside itself .location={place}"):
        signed(artifact, OFFER)


def test_the_refusal_of_outside_data_is_tested(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the look for it, a model that points outside is taken."""
    monkeypatch.setattr(onnx_runtime, "refuse_external_data", lambda artifact: None)
    assert signed(keep(pointing_outside("../secret", "function").SerializeToString()), OFFER)
