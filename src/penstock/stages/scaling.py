"""How many workers a stage needs: arithmetic over what was measured, without a look at anything.

Not by CPU, which is full as soon as anything waits, and not by the number of waiting events, which says nothing of how
fast they are dealt with: by how much comes in against what one worker can do, and by how late the stage is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

TARGET = 0.7  # of what its workers can do a stage should be asked
LATE_S = 5.0  # seconds behind from which a stage needs more than what comes in
CATCH_UP_S = 60.0  # seconds within which it should then be up to date
OVERHEAD = 0.05  # the share of a call that its fixed cost has when there is much to do; see ``BatchSize``
QUIET = 2  # windows that must ask for less before there is less
STILL = 2  # windows without a move after which a partition is held, by what more workers would not help

Place = tuple[str, int]  # topic, partition


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """``idle``: no worker has it. ``lag`` in events, ``late`` in seconds."""

    through: int | None
    lag: int
    late: float
    idle: bool = False


@dataclass(frozen=True, slots=True)
class StageLoad:
    """One stage over one window. ``rate``: events a second that came in; ``capacity``: that one worker can deal with, 0
    while that is unknown; ``lag`` and ``late`` without the ``held`` partitions."""

    rate: float
    capacity: float
    lag: int
    late: float
    partitions: int
    held: int = 0


def capacity(a: float, b: float, rows: int) -> float:
    """Events a second of a worker with much to do: calls of ``rows`` at most, large enough for ``a`` to be little."""
    if a + b <= 0:
        return 0.0
    size = rows if b <= 0 else max(1.0, min(rows, a / OVERHEAD / b))
    return size / (a + b * size)


def needed(load: StageLoad) -> float:
    """Workers, not rounded: those of several hosts are to be added. Never more than partitions."""
    if load.capacity <= 0:
        return 0.0
    wanted = load.rate / (TARGET * load.capacity)
    if load.late > LATE_S:
        wanted += load.lag / CATCH_UP_S / load.capacity
    return min(wanted, float(load.partitions))


def why(load: StageLoad) -> str:
    """The same in words."""
    if load.capacity <= 0:
        return "nothing was dealt with yet, so what a worker can do is unknown"
    said = [f"{load.rate:,.0f} events/s come in and a worker can deal with {load.capacity:,.0f}/s"]
    if load.late > LATE_S:
        said.append(f"{load.lag:,} wait for up to {load.late:,.0f} s and should be done in {CATCH_UP_S:.0f} s")
    if load.held:
        said.append(f"{load.held} partitions are held and more workers would not help them")
    if needed(load) >= load.partitions:
        said.append(f"its topic has {load.partitions} partitions, and no more workers than that have work")
    return "; ".join(said)


@dataclass(slots=True)
class StageWindow:
    """What is remembered of one stage from window to window."""

    _partitions: Mapping[Place, PartitionLag] = field(default_factory=dict)
    _still: dict[Place, int] = field(default_factory=dict)
    _needs: deque[float] = field(default_factory=lambda: deque(maxlen=QUIET + 1))
    _wanted: float = 0.0

    def load(
        self,
        partitions: Mapping[Place, PartitionLag],
        dealt_with: float,
        seconds: float,
        capacity: float,
        hosts: int = 1,
    ) -> StageLoad:
        """``dealt_with``: events by this host's workers. Of what waits, this host answers for its share."""
        self._still = {
            place: self._still.get(place, 0) + 1 if self._is_still(place, now) else 0
            for place, now in partitions.items()
        }
        held = {place for place, windows in self._still.items() if windows >= STILL}
        moving = [p for place, p in partitions.items() if place not in held]
        before = sum(p.lag for place, p in self._partitions.items() if place in partitions and place not in held)
        grown = (sum(p.lag for p in moving) - before) / hosts if self._partitions else 0.0
        self._partitions = dict(partitions)
        return StageLoad(
            max(dealt_with + grown, 0.0) / seconds,
            capacity,
            round(sum(p.lag for p in moving) / hosts),
            max((p.late for p in moving), default=0.0),
            -(-len(partitions) // hosts),
            len(held),
        )

    def wanted(self, load: StageLoad, *, rolling_out: bool = False) -> float:
        """More at once, less after quiet windows, and never less while a roll-out is under way."""
        self._needs.append(needed(load))
        largest = max(self._needs)
        if largest > self._wanted or not rolling_out:
            self._wanted = largest
        return self._wanted

    def _is_still(self, place: Place, now: PartitionLag) -> bool:
        before = self._partitions.get(place)
        return before is not None and now.lag > 0 and not now.idle and before.through == now.through
