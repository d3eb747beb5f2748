"""Rows of the audit are sealed, each with the one before: whoever changes one is found."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from penstock.access import audit
from penstock.access.audit import AUDIT, AUDIT_TOPIC, MOST_ROWS, Act, Audit, AuditRow, faults, read
from penstock.clock import ManualClock
from penstock.errors import LogFull
from penstock.log.memory import MemoryLog

ACT = Act("acme", "k1", "POST", "/keys", "10.0.0.1", 201)


class Place:
    def __init__(self) -> None:
        self.log = MemoryLog()
        self.log.create(AUDIT_TOPIC)
        self.audit = self.another("one")

    def another(self, writer: str) -> Audit:
        return Audit(self.log, ManualClock(), writer)

    def rows(self) -> list[AuditRow]:
        with closing(self.log.reader(None, [AUDIT], "r")) as reader:
            return [row for batch in reader.read(10_000, 0.0) for row in read(batch.rows.column("json").to_pylist())]


@pytest.fixture
def place() -> Place:
    return Place()


def written(place: Place) -> list[AuditRow]:
    """By two writers in turns, in several writes."""
    other = place.another("two")
    for number in range(4):
        place.audit.note(replace(ACT, status=number))
        place.audit.write()
        other.note(replace(ACT, who="b"))
        other.write()
    assert faults(place.rows()) == []
    return place.rows()


def check_that_a_change_is_found(place: Place) -> None:
    rows = written(place)
    for at, row in enumerate(rows):
        for change in ({"who": "x"}, {"status": 7}, {"at": 9}, {"times": 5}, {"why": "y"}, {"seal": "0" * 64}):
            changed = [*rows[:at], msgspec.structs.replace(row, **change), *rows[at + 1 :]]
            assert faults(changed), f"{change} was not found"
        last = row.number == 3
        assert bool(faults([*rows[:at], *rows[at + 1 :]])) != last, "a row that was taken out was not found"
        assert faults([*rows[: at + 1], row, *rows[at + 1 :]]), "a row that was put in was not found"


def test_a_row_that_was_changed_taken_out_or_put_in_is_found(place: Place) -> None:
    check_that_a_change_is_found(place)


def test_mutant_seals_without_the_row_before_are_caught(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "sealed", lambda row, before: msgspec.structs.replace(row, seal=row.seal or "0"))
    with pytest.raises(AssertionError, match="was not found"):
        check_that_a_change_is_found(place)


def test_alike_are_counted_and_a_flood_is_a_few_rows(place: Place) -> None:
    for number in range(10_000):
        place.audit.note(replace(ACT, status=401))
        place.audit.note(replace(ACT, on=f"/{number}", status=401))
    place.audit.write()
    rows = place.rows()
    assert len(rows) == MOST_ROWS + 1 and faults(rows) == []
    assert rows[0].times == 10_000 and sum(row.times for row in rows) == 20_000


def test_what_a_request_says_is_cut(place: Place) -> None:
    place.audit.note(replace(ACT, on="/" + "x" * 100_000, why="y" * 100_000))
    place.audit.write()
    (row,) = place.rows()
    assert len(row.on) == len(row.why) == audit.SAID_CHARS


def test_what_could_not_be_written_is_written_the_next_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    append = place.log.append

    def full(writes: Any) -> Any:
        raise LogFull("no space is left")

    place.audit.note(ACT)
    monkeypatch.setattr(place.log, "append", full)
    with pytest.raises(LogFull):
        place.audit.write()
    place.audit.note(ACT)
    monkeypatch.setattr(place.log, "append", append)
    place.audit.write()
    assert [row.times for row in place.rows()] == [2] and faults(place.rows()) == []


def test_a_row_that_is_none() -> None:
    with pytest.raises(ValueError):
        read(['{"writer": 1}'])
    assert isinstance(AUDIT_TOPIC.schema, pa.Schema) and AUDIT_TOPIC.retain_us is None
