"""CSV files read as the topic's type says."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.batch import JSON_SCHEMA
from penstock.cli.csv_file import Form, read_csv
from penstock.errors import InvalidEvent, PenstockError

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("zip", pa.string(), nullable=False),
        pa.field("x", pa.float64()),
        pa.field("ok", pa.bool_()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("day", pa.date32()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("note", pa.string()),
    ]
)


def read(
    tmp_path: Path, text: str | bytes, schema: pa.Schema = SCHEMA, told: list[str] | None = None, **form: str
) -> list[dict[str, Any]]:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_csv(path, "rows", schema, Form(**form), (told if told is not None else []).append)


def test_the_topic_says_what_a_column_is(tmp_path: Path) -> None:
    text = 'id,zip,x,ok,at,day,tags,note\n1,00501,2,true,2026-01-31T12:00:00Z,2026-01-31,"[""a""]",\n'
    assert read(tmp_path, text) == [
        {
            "id": 1,
            "zip": "00501",
            "x": 2.0,
            "ok": True,
            "at": "2026-01-31T12:00:00Z",
            "day": "2026-01-31",
            "tags": ["a"],
            "note": None,
        }
    ]


def test_no_value_is_null_where_it_may_be(tmp_path: Path) -> None:
    found = read(tmp_path, "id,zip,x,ok,note\n1,NA,NA,,NA\n2,,N/A,null,\n")
    assert [row["zip"] for row in found] == ["NA", ""]
    assert [row["x"] for row in found] == [None, None] == [row["ok"] for row in found]
    assert [row["note"] for row in found] == ["NA", None]


def test_columns_that_the_topic_lacks_are_left_out_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    assert read(tmp_path, "iban,id,zip\n12345678901234567890123,1,90210\n", told=told) == [{"id": 1, "zip": "90210"}]
    assert told.pop() == "topic 'rows' has no column 'iban': left out"
    read(tmp_path, "id,zip,ziip,iban\n1,90210,1,2\n", told=told)
    assert told == ["topic 'rows' has no column 'ziip' (did you mean 'zip'?), 'iban': left out"]


@pytest.mark.parametrize(
    ("text", "row", "field"),
    [
        ("id,zip\n1,a\n1.5,b\n", 1, "id"),
        ("id,zip\n,a\n", 0, "id"),
        ("id,zip\n9223372036854775808,a\n", 0, "id"),
        ("id,zip,x\n1,a,1\n2,b,zwei\n", 1, "x"),
        ("id,zip,ok\n1,a,yes\n", 0, "ok"),
        ("id,zip,tags\n1,a,[\n", 0, "tags"),
    ],
)
def test_a_fault_names_its_row_and_column(tmp_path: Path, text: str, row: int, field: str) -> None:
    with pytest.raises(InvalidEvent) as found:
        read(tmp_path, text)
    assert (found.value.row, found.value.field) == (row, field)


def test_dates_in_a_form_of_their_own(tmp_path: Path) -> None:
    found = read(tmp_path, "id,zip,day,at\n1,a,31.01.2026,01.02.2026\n2,b,,\n", dates="%d.%m.%Y")
    assert [row["day"] for row in found] == ["2026-01-31", None]
    assert found[0]["at"] == "2026-02-01T00:00:00.000000"
    with pytest.raises(InvalidEvent, match="is not a time as"):
        read(tmp_path, "id,zip,day\n1,a,2026-01-31\n", dates="%d.%m.%Y")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id;zip\n1;a\n", "--separator"),
        ("id,zip\n1,a,b\n", "is not a .csv file"),
        ("id,zip\n1,\xff\n".encode("latin-1"), "UTF-8"),
        ("id\n1\n", "no column 'zip', which topic 'rows' needs"),
    ],
)
def test_what_is_no_such_table_is_one_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(PenstockError) as found:
        read(tmp_path, text)
    assert says in str(found.value) and "\n" not in str(found.value)


def test_semicolons_a_mark_at_the_beginning_and_windows_lines(tmp_path: Path) -> None:
    text = "\ufeffid;zip\r\n1;a\r\n"
    assert read(tmp_path, text, separator=";") == [{"id": 1, "zip": "a"}]


def test_a_topic_without_a_type_gets_numbers_only_where_they_are_written_so(tmp_path: Path) -> None:
    text = "n,zip,x,ok,word,iban\n1,00501,1.5,true,a,12345678901234567890123\n2,90210,2,false,b,1\n"
    assert read(tmp_path, text, JSON_SCHEMA) == [
        {"n": 1, "zip": "00501", "x": 1.5, "ok": True, "word": "a", "iban": "12345678901234567890123"},
        {"n": 2, "zip": "90210", "x": 2.0, "ok": False, "word": "b", "iban": "1"},
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
    )
)
def test_what_was_written_is_what_is_read(tmp_path: Path, rows: list[tuple[int, str, float | None]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["id", "zip", "x"])
    writer.writerows([(n, text, "" if x is None else repr(x)) for n, text, x in rows])
    found = read(tmp_path, file.getvalue())
    assert [(row["id"], row["zip"], row["x"]) for row in found] == rows
