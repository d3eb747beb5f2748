"""What a stage's failures tell the person who wrote it: where it was, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from ...batch import DEAD, Write
from ...clock import Clock
from ...notices import Tally
from ...settings import in_dev
from ...telemetry import logger
from .blame import place_of
from .poison_policy import Sick

log = logger(__name__)


class Telling:
    """Of one stage, by the thread of its pump."""

    def __init__(self, stage: str, clock: Clock) -> None:
        self._stage = stage
        self._dead = Tally(f"dead/{stage}", "events dead-lettered", stage=stage, now=clock.monotonic)
        self._traceback = ""  # the last one shown

    def dead(self, writes: Sequence[Write]) -> int:
        """Of what was stored, the dead letters: told. How many they are."""
        letters = [write.rows for write in writes if write.topic == DEAD]
        count = sum(int(rows.num_rows) for rows in letters)
        if count:
            last = letters[-1].select(["error", "reason", "traceback"]).slice(letters[-1].num_rows - 1).to_pylist()[0]
            said = f"{last['error']}: {last['reason']}"
            self._dead.add(count, said, place=place_of(last["traceback"]), mend="penstock dead list shows them")
        return count

    def sick(self, sick: Sick) -> None:
        """One line; in ``dev`` its traceback too, once."""
        place = place_of(sick.traceback)
        found = {"place": place} if place else {}
        log.warning("stage is sick, positions held", stage=self._stage, reason=sick.reason, **found)  # type: ignore[arg-type]  # fields
        if in_dev() and sick.traceback and sick.traceback != self._traceback:
            log.warning(f"what {self._stage} raised:\n{sick.traceback.rstrip()}")
        self._traceback = sick.traceback

    def remind(self) -> None:
        """What happened since the last line, if it is time to."""
        self._dead.flush()
