"""A CSV file as events of a topic: the topic's type says what each column is, nothing is guessed.

Every field is text until its column is known. Numbers, truth values and times by a format of their own are read here,
so that a fault is found before anything is sent; the rest goes as the JSON that the server reads for that type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa

from ..errors import InvalidEvent, PenstockError
from ..schema.ingress.faults import alike
from ..schema.rows import is_json, rules_of

ABSENT = ("", "NA", "N/A", "NULL", "null", "None")
"""What stands for no value in a column that is not text. In one of text only an empty field does, if it is optional."""

WHOLE, NUMBER = r"^-?(0|[1-9][0-9]{0,17})$", r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,17})?([eE][+-]?[0-9]+)?$"
TRUTH = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Form:
    """How the file is written. ``dates``: as strptime has it, such as ``%d.%m.%Y``; empty: ISO 8601."""

    separator: str = ","
    dates: str = ""


def read_csv(path: Path, topic: str, schema: pa.Schema, form: Form, tell: Tell) -> list[dict[str, Any]]:
    """The file's rows as events. ``tell`` hears of columns that the topic does not have.

    Raises ``InvalidEvent`` with the row, counted from 0 without the header, and the column; ``PenstockError`` for what
    is no such table.
    """
    table = _texts(path, form.separator)
    if is_json(schema):
        return _rows(table.columns, [_by_looks(column) for column in table])
    missing = [f.name for f in schema if f.name not in table.columns and not _may_lack(f)]
    if missing:
        there = ", ".join(table.columns)
        hint = "" if len(table.columns) > 1 else "; is it separated by another character? say --separator ';'"
        raise PenstockError(f"{path} has no column '{missing[0]}', which topic '{topic}' needs; it has {there}{hint}")
    absent = [name for name in table.columns if name not in schema.names]
    if absent:
        hints = {name: alike(name, schema) for name in absent}
        named = [f"{name!r}{f' (did you mean {hint!r}?)' if hint else ''}" for name, hint in hints.items()]
        tell(f"topic '{topic}' has no column {', '.join(named)}: left out")
    fields = [field for field in schema if field.name in table.columns]
    columns = [_column(table[field.name], field, form) for field in fields]
    return _rows([field.name for field in fields], columns)


def _texts(path: Path, separator: str) -> pl.DataFrame:
    if len(separator.encode()) != 1:
        raise PenstockError(f"--separator {separator!r}: it is one character, such as ';' or a tab")
    try:
        table = pl.read_csv(path, infer_schema=False, separator=separator).fill_null("")
    except pl.exceptions.NoDataError:
        return pl.DataFrame()
    except pl.exceptions.PolarsError as error:
        said = str(error).strip().splitlines()[0]
        encoding = "; save it as UTF-8" if "utf-8" in said.lower() else ""
        raise PenstockError(f"{path} is not a .csv file: {said}{encoding}") from None
    return table.rename({name: name.strip().removeprefix("\ufeff") for name in table.columns})


def _may_lack(field: pa.Field) -> bool:
    return bool(field.nullable) or "default" in rules_of(field)


def _rows(names: Sequence[str], columns: Sequence[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


# -- by the topic's type ------------------------------------------------------


def _column(texts: pl.Series, field: pa.Field, form: Form) -> list[Any]:
    kind = field.type
    if pa.types.is_string(kind):
        return texts.replace("", None).to_list() if field.nullable else texts.to_list()
    known = texts.str.strip_chars()
    known = known.set(known.is_in(ABSENT), None) if field.nullable else known
    if pa.types.is_integer(kind):
        return _cast(known.str.strip_prefix("+"), pl.Int64, field.name, "a whole number of 64 bits")
    if pa.types.is_floating(kind):
        return _cast(known, pl.Float64, field.name, "a number")
    if pa.types.is_boolean(kind):
        return _truths(known, field.name)
    if form.dates and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return _moments(known, field, form.dates)
    if pa.types.is_nested(kind):
        return [_json(text, row, field.name) for row, text in enumerate(known.to_list())]
    return known.to_list()


def _cast(texts: pl.Series, kind: type[pl.DataType], name: str, what: str) -> list[Any]:
    found = texts.cast(kind, strict=False)
    _check(texts, found, name, what)
    return found.to_list()


def _truths(texts: pl.Series, name: str) -> list[Any]:
    found = texts.replace_strict(TRUTH, default=None, return_dtype=pl.Boolean)
    _check(texts, found, name, "true or false")
    return found.to_list()


def _moments(texts: pl.Series, field: pa.Field, form: str) -> list[Any]:
    try:
        if pa.types.is_date(field.type):
            found = texts.str.strptime(pl.Date, form, strict=False)
            shown = found.dt.strftime("%Y-%m-%d")
        else:
            found = texts.str.strptime(pl.Datetime("us"), form, strict=False)
            shown = found.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
    except pl.exceptions.PolarsError as error:
        raise PenstockError(f"--date-format {form!r}: {str(error).strip().splitlines()[0]}") from None
    _check(texts, found, field.name, f"a time as {form}")
    return shown.to_list()


def _check(texts: pl.Series, found: pl.Series, name: str, what: str) -> None:
    wrong = (texts.is_not_null() & found.is_null()).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise InvalidEvent(f"{texts[row]!r:.60} is not {what}", row=row, field=name)


def _json(text: str | None, row: int, name: str) -> Any:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidEvent(f"{text!r:.60} is not JSON: {error}", row=row, field=name) from None


# -- without a type -------------------------------------------------------------


def _by_looks(texts: pl.Series) -> list[Any]:
    """A topic without a type takes any JSON: a column is one of numbers only where each of them is written as JSON
    writes it, so that codes such as 00501 stay text."""
    given = texts.filter(texts != "")
    known = texts.replace("", None)
    if len(given) and bool(given.str.contains(WHOLE).all()):
        return known.cast(pl.Int64).to_list()
    if len(given) and bool(given.str.contains(NUMBER).all()):
        return known.cast(pl.Float64).to_list()
    if len(given) and bool(given.is_in(list(TRUTH)).all()):
        return known.replace_strict(TRUTH, default=None, return_dtype=pl.Boolean).to_list()
    return texts.to_list()
