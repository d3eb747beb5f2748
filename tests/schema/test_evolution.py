from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest
from tests.schema.flights import GOOD, Flight

from penstock.batch import JSON_SCHEMA
from penstock.errors import SchemaChanged
from penstock.schema.decode import Decoder
from penstock.schema.evolution import conform, evolved, fingerprint, fits, left_out
from penstock.schema.rows import rules_of, with_rules
from penstock.schema.types import schema_of

N = pa.field("n", pa.int64(), nullable=False)
OPTIONAL = pa.field("more", pa.float64())
SCHEMA = schema_of(Flight)
DECODER = Decoder(SCHEMA)
ROWS = DECODER.columns(DECODER.convert([GOOD, GOOD | {"flight": 2, "tailnum": "N1"}]))


def test_optional_fields_may_be_added_and_rules_loosened() -> None:
    old = pa.schema([with_rules(N, {"ge": 1, "le": 5})])
    new = pa.schema(
        [pa.field("a", pa.string()), with_rules(N, {"ge": 0}), with_rules(N.with_name("b"), {"default": 3})]
    )
    fits(old, new)
    fits(SCHEMA, SCHEMA)


def test_a_version_from_before_a_field_was_added_fits_and_the_field_stays() -> None:
    inner = pa.field("inner", pa.struct([N, OPTIONAL]))
    before, after = (
        pa.schema([with_rules(N, {"default": 1})]),
        pa.schema([inner, with_rules(N, {"default": 2}), OPTIONAL]),
    )
    fits(after, before)
    back = evolved(after, before)
    assert back.names == ["inner", "n", "more"] and left_out(after, before) == ["inner", "more"]
    assert rules_of(back.field("n")) == {"default": 1}  # what the version that runs says
    assert evolved(back, after).equals(after, check_metadata=True)
    assert evolved(before, after) is after
    other = pa.schema([N, pa.field("other", pa.string())])
    assert evolved(after, other).names == ["inner", "n", "more", "other"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ([N], [N.with_name("m")], "'n' was removed"),
        ([N, OPTIONAL], [OPTIONAL], "'n' was removed"),
        ([N, OPTIONAL], [N, OPTIONAL.with_type(pa.string())], "'more' changed"),
        ([N], [N, N.with_name("m")], "'m' was added without a default"),
        ([N], [N.with_type(pa.float64())], "'n' changed from int64"),
        ([N], [N.with_nullable(True)], "'n' changed"),
        ([with_rules(N, {"ge": 0})], [with_rules(N, {"ge": 1})], "'ge' changed from 0 to 1"),
        ([N], [with_rules(N, {"le": 1})], "'le' changed"),
        ([with_rules(N, {"enum": [1, 2]})], [with_rules(N, {"enum": [1]})], "'enum' changed"),
    ],
)
def test_any_other_change_is_refused_by_name(old: list[pa.Field], new: list[pa.Field], says: str) -> None:
    with pytest.raises(SchemaChanged, match=says):
        fits(pa.schema(old), pa.schema(new))


def test_typed_and_json_do_not_change_into_each_other() -> None:
    with pytest.raises(SchemaChanged, match="typed and JSON"):
        fits(JSON_SCHEMA, pa.schema([N]))


def test_fingerprints_tell_schemas_apart_and_never_move() -> None:
    schemas = [pa.schema([N]), pa.schema([N.with_nullable(True)]), pa.schema([with_rules(N, {"ge": 1})]), JSON_SCHEMA]
    assert len({fingerprint(s) for s in schemas}) == 4
    read = pa.ipc.read_schema(pa.py_buffer(SCHEMA.serialize().to_pybytes()))
    assert fingerprint(read) == fingerprint(SCHEMA)
    assert fingerprint(pa.schema([N])) == "e1ef63c8709b5791657aa79945cafe22"


def test_what_a_frame_made_is_brought_back() -> None:
    frame = pl.from_arrow(ROWS)
    assert isinstance(frame, pl.DataFrame)
    changed = (
        frame.select(reversed(frame.columns)).drop("seats", "tailnum").with_columns(pl.col("flight").cast(pl.Int32))
    )
    for table in (frame.to_arrow(), changed.to_arrow()):
        back = conform(table.to_batches()[0], SCHEMA)
        back.validate(full=True)
        expected = ROWS if table.num_columns == len(SCHEMA) else conform(ROWS.drop_columns(["tailnum"]), SCHEMA)
        assert back.equals(expected) and back.schema.equals(SCHEMA, check_metadata=True)


def test_the_envelope_stays() -> None:
    with_id = ROWS.append_column("_id", pa.array(["a", "b"]))
    assert conform(with_id, SCHEMA).schema.names == [*SCHEMA.names, "_id"]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"n": pa.array(["x"])}, "'n': a column of string"),
        ({"n": pa.array([1.5])}, "'n': a column of double"),
        ({"n": pa.array([None], pa.int64())}, "'n' has no value"),
        ({"n": pa.array([2**63], pa.uint64())}, "'n'"),
        ({"n": pa.array([1]), "m": pa.array([1])}, "'m' is not in the topic's type: n"),
        ({}, "'n' has no value"),
    ],
)
def test_what_does_not_fit_is_named(columns: dict[str, pa.Array], says: str) -> None:
    rows = pa.RecordBatch.from_pydict(columns | {"_id": pa.array(["i"])})
    with pytest.raises(SchemaChanged, match=says):
        conform(rows, pa.schema([N]))


def test_times_are_brought_to_microseconds_in_utc() -> None:
    schema = pa.schema([pa.field("t", pa.timestamp("us", tz="UTC"))])
    for column in (
        pa.array([1_500_000_499], pa.timestamp("ns")),
        pa.array([1_499_999_500], pa.timestamp("ns")),
        pa.array([1_500], pa.timestamp("ms", tz="Europe/Berlin")),
        pa.array([1_500_000], pa.timestamp("us")),
    ):
        assert (
            conform(pa.RecordBatch.from_arrays([column], ["t"]), schema).column(0).cast(pa.int64())[0].as_py()
            == 1_500_000
        )
    with pytest.raises(SchemaChanged):
        conform(pa.RecordBatch.from_arrays([pa.array([2**62], pa.timestamp("s"))], ["t"]), schema)
