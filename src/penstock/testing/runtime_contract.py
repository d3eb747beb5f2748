"""What every model runtime promises. Subclass ``RuntimeContract`` in a pytest file and give it its fixtures."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ..errors import ModelRefused
from ..models.interface import Runtime, RuntimeModel, Signature
from ..models.signature import check_answer, from_json, offer, to_json

FEATURES = ("a", "b", "c")
OFFER = pa.schema([("id", pa.string()), *((name, pa.float64()) for name in FEATURES)])


class RuntimeContract:
    """``artifact`` reads three numbers, the columns a, b and c, and answers one number a row, not the same for all."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        raise NotImplementedError

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Path:
        raise NotImplementedError

    @pytest.fixture
    def signature(self, runtime: Runtime, artifact: Path) -> Signature:
        return runtime.inspect(artifact, inputs=offer(OFFER, FEATURES), outputs=["score"])

    @pytest.fixture
    def model(self, runtime: Runtime, artifact: Path, signature: Signature) -> RuntimeModel:
        return runtime.load(artifact, signature)

    def rows(self, count: int) -> pa.RecordBatch:
        columns = [pa.array([((7 * i + n) % 11) / 11 for i in range(count)], pa.float64()) for n in range(3)]
        return pa.RecordBatch.from_arrays(columns, names=list(FEATURES))

    def test_it_claims_its_artifact_by_content(self, runtime: Runtime, artifact: Path) -> None:
        assert runtime.claims(artifact.read_bytes()[:4096], "model.bin")

    @pytest.mark.parametrize("head", [b"", b"\0" * 64, b"%PDF-1.7", b"hello, world", b'{"a": 1}', b"\x89PNG\r\n"])
    def test_it_claims_nothing_else(self, runtime: Runtime, head: bytes) -> None:
        assert not runtime.claims(head, "model.bin")

    def test_the_signature_names_inputs_and_outputs(self, signature: Signature) -> None:
        assert signature.inputs.names == list(FEATURES)
        assert signature.outputs.names == ["score"]
        assert signature.outputs.field("score").type == pa.float64()

    def test_the_signature_survives_json(self, signature: Signature) -> None:
        assert from_json(to_json(signature)) == signature

    @pytest.mark.parametrize("count", [1, 2, 1_000])
    def test_one_answer_a_row(self, model: RuntimeModel, signature: Signature, count: int) -> None:
        check_answer(signature, model.predict(self.rows(count)), count, model="m/1")

    def test_an_answer_depends_on_its_row_alone(self, model: RuntimeModel) -> None:
        rows = self.rows(50)
        whole = model.predict(rows).column(0).to_pylist()
        single = [model.predict(rows.slice(n, 1)).column(0)[0].as_py() for n in range(50)]
        assert len(set(whole)) > 1
        assert whole == pytest.approx(single, rel=1e-6)

    def test_a_slice_is_scored_from_its_own_start(self, model: RuntimeModel) -> None:
        rows = self.rows(50)
        whole = model.predict(rows).column(0).to_pylist()
        assert model.predict(rows.slice(20, 10)).column(0).to_pylist() == pytest.approx(whole[20:30], rel=1e-6)

    def test_numbers_of_other_widths_are_read(self, model: RuntimeModel, signature: Signature) -> None:
        ints = pa.RecordBatch.from_arrays(
            [pa.array([0, 1], kind) for kind in (pa.int8(), pa.int64(), pa.float32())], names=list(FEATURES)
        )
        check_answer(signature, model.predict(ints), 2, model="m/1")

    def test_outputs_that_it_does_not_have_are_refused(self, runtime: Runtime, artifact: Path) -> None:
        with pytest.raises(ModelRefused):
            runtime.inspect(artifact, inputs=offer(OFFER, FEATURES), outputs=["x", "y", "z", "w", "v"])

    def test_a_file_cut_in_the_middle_is_refused(self, runtime: Runtime, artifact: Path, tmp_path: Path) -> None:
        data = artifact.read_bytes()
        cut = tmp_path / "cut"
        cut.write_bytes(data[: len(data) // 2])
        with pytest.raises(ModelRefused):
            runtime.inspect(cut, inputs=offer(OFFER, FEATURES), outputs=["score"])

    def test_scoring_leaves_its_rows_alone(self, model: RuntimeModel) -> None:
        rows = self.rows(10)
        before = rows.to_pylist()
        model.predict(rows)
        assert rows.to_pylist() == before
