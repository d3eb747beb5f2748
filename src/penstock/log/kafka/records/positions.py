"""Positions on Kafka.

A record of one event has its offset as position. A record of many has ``offset * 65_536 + row`` for each, so that every
row has a position of its own and records keep their order; both leave gaps, as offsets do by themselves: a transaction
ends with a record that nobody reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....batch import Positions

ROW_BITS = 16
ROWS = 1 << ROW_BITS  # at most, of one record


@dataclass(frozen=True, slots=True)
class PositionScheme:
    bits: int

    def position(self, offset: int, row: int = 0) -> int:
        return (offset << self.bits) + row

    def place(self, position: int) -> tuple[int, int]:
        """The record's offset and the row within it."""
        return position >> self.bits, position & ((1 << self.bits) - 1)

    def positions(self, offset: int, start: int, stop: int) -> Positions:
        """Of the rows ``start`` to ``stop`` of one record."""
        first = offset << self.bits
        return np.arange(first + start, first + stop, dtype=np.int64)


ONE_A_RECORD, MANY_A_RECORD = PositionScheme(0), PositionScheme(ROW_BITS)
