"""Who did what, and who was refused: rows of ``penstock.audit``, each sealed with the one before.

Every writer, a gateway's life, has a chain of its own: ``number`` counts from 0, and ``seal`` is the SHA-256 of the row
before and of this one. So a row that was changed, taken out or put in is found by whoever reads the topic; only rows
that were cut off at the end of a chain are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from threading import Lock

import msgspec
import pyarrow as pa

from ..batch import JSON_SCHEMA, TopicSpec, Write
from ..clock import Clock
from ..log.interface import Log

AUDIT = "penstock.audit"
AUDIT_TOPIC = TopicSpec(AUDIT, partitions=1)  # no retention: it is kept
MOST_ROWS = 256  # rows of one write; what comes beyond is counted
WRITE_S = 0.2  # seconds between two writes
SAID_CHARS = 200  # characters of what a request says of itself


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """``at``: microseconds since the epoch; ``who``, ``key``: by name and by the key's id, empty: nobody known;
    ``what``: the method, ``on``: the path; ``source``: the address that it came from; ``status``: the answer's;
    ``why``: of a refusal; ``times``: how many alike there were since the write before."""

    writer: str
    number: int
    at: int
    who: str
    key: str
    what: str
    on: str
    source: str
    status: int
    why: str
    times: int = 1
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    who: str
    key: str
    what: str
    on: str
    source: str
    status: int
    why: str = ""

    def cut(self) -> Act:
        return replace(self, what=self.what[:SAID_CHARS], on=self.on[:SAID_CHARS], why=self.why[:SAID_CHARS])


def sealed(row: AuditRow, before: str) -> AuditRow:
    """``before``: the seal of the row before; empty for a chain's first."""
    said = msgspec.json.encode(msgspec.structs.replace(row, seal=""))
    return msgspec.structs.replace(row, seal=hashlib.sha256(before.encode() + said).hexdigest())


def faults(rows: Iterable[AuditRow]) -> list[str]:
    """Where the chains of a whole topic are broken, in order; none: nothing was changed."""
    found: list[str] = []
    seals: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for row in rows:
        due = numbers.get(row.writer, 0)
        if row.number != due:
            found.append(f"{row.writer}: row {due} is missing, or row {row.number} was put in")
        elif sealed(row, seals.get(row.writer, "")).seal != row.seal:
            found.append(f"{row.writer}: row {row.number} is not what was written, or one before it is not")
        numbers[row.writer], seals[row.writer] = row.number + 1, row.seal
    return found


@dataclass
class Audit:
    """For many threads: acts are noted by the event loop and written beside it, by one thread after the other.

    A flood of refusals is a few rows: those alike are counted, and beyond ``MOST_ROWS`` different ones a row says how
    many more there were.
    """

    log: Log
    clock: Clock
    writer: str  # of this chain, and of no other
    _number: int = 0  # of whoever writes, and then holds ``_turn``; likewise the seal
    _seal: str = ""
    _noted: dict[Act, int] = field(default_factory=dict)  # under the lock, like the count
    _beyond: int = 0
    _lock: Lock = field(default_factory=Lock)
    _turn: Lock = field(default_factory=Lock)

    def note(self, act: Act) -> None:
        act = act.cut()
        with self._lock:
            if act in self._noted or len(self._noted) < MOST_ROWS:
                self._noted[act] = self._noted.get(act, 0) + 1
            else:
                self._beyond += 1

    def write(self) -> None:
        """What was noted before, durable on return. Raises what ``Log.append`` raises, and then it is written the next
        time."""
        with self._turn:
            self._write()

    def _write(self) -> None:
        with self._lock:
            noted, beyond = self._noted, self._beyond
            self._noted, self._beyond = {}, 0
        if not noted:
            return
        acts = list(noted.items())
        if beyond:
            acts.append((Act("", "", "", "", "", 0, "more that were refused, from many places"), beyond))
        number, seal, rows = self._number, self._seal, list[AuditRow]()
        for act, times in acts:
            row = AuditRow(
                writer=self.writer,
                number=number + len(rows),
                at=self.clock.now(),
                who=act.who,
                key=act.key,
                what=act.what,
                on=act.on,
                source=act.source,
                status=act.status,
                why=act.why,
                times=times,
            )
            rows.append(row := sealed(row, seal))
            seal = row.seal
        try:
            self.log.append([Write(AUDIT, 0, _columns(rows))])
        except BaseException:
            with self._lock:
                for act, times in noted.items():
                    self._noted[act] = self._noted.get(act, 0) + times
                self._beyond += beyond
            raise
        self._number, self._seal = number + len(rows), seal


def _columns(rows: list[AuditRow]) -> pa.RecordBatch:
    texts = pa.array([msgspec.json.encode(row).decode() for row in rows], pa.string())
    return pa.RecordBatch.from_arrays([texts], schema=JSON_SCHEMA)


def read(texts: Iterable[str]) -> list[AuditRow]:
    """Rows of the topic. Raises ``ValueError`` for one that is none."""
    return [msgspec.json.decode(text, type=AuditRow) for text in texts]
