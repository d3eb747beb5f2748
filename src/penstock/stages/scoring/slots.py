"""Runners by the version that each is warm with: one in use stays as it is, one that nobody uses may load another.

Which version is wanted, and when, is for others to say (``deployment``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock

from ...clock import Clock
from ...runner.interface import Runner
from .call_batcher import Combiner, Observe


@dataclass(slots=True, eq=False)
class Slot:
    """A runner and the version that it is for. ``Slots`` alone writes it, under its lock; who has it pinned may read.

    ``ref`` is ``name/version``; empty: of none.
    """

    runner: Runner
    combiner: Combiner
    ref: str = ""
    warm: bool = False  # that version has answered, and nobody saw its process die since
    pins: int = 0
    looked: str = ""  # the digest of the artifact that was looked at in this process, before any version was loaded
    idle_since: float = math.inf  # when it was last of use; infinite: no process is known to be there

    @property
    def idle(self) -> bool:
        return self.pins == 0


@dataclass(frozen=True, slots=True)
class Loan:
    """A runner to look at one artifact with, in its ``turn``. ``give_back`` is told whether the artifact fits."""

    runner: Runner
    give_back: Callable[[bool], None]
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)


def of_its_own(runner: Runner) -> Loan:
    """Of a runner that ends with the looking."""
    return Loan(runner, lambda _fits: runner.close())


class Slots:
    """So many runners; a version is in one of them at most. For any thread.

    Whoever is given a slot has it pinned until he releases it: till then nothing else is loaded into it, and it is
    neither lent nor retired. One without pins has the version that it is warm with, or none. Nothing is asked of a
    runner while the lock is held; ``turn`` is taken before the lock, never after.
    """

    def __init__(
        self,
        runners: Sequence[Runner],
        clock: Clock,
        *,
        rows: int,
        observe: Observe = lambda _version, _rows, _seconds: None,
    ) -> None:
        """``rows``: the most that calls are put together to."""
        self._slots = [Slot(runner, Combiner(runner, clock, rows=rows, observe=observe)) for runner in runners]
        self._clock = clock
        self._lock = Lock()
        self._closed = False

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def closed(self) -> bool:
        return self._closed

    # -- by version -----------------------------------------------------------

    def use(self, ref: str) -> Slot | None:
        """The slot that is warm with this version; None: none is."""
        with self._lock:
            slot = self._of(ref)
            if slot is None or not slot.warm or self._closed:
                return None
            slot.pins += 1
            return slot

    def claim(self, ref: str, digest: str = "") -> Slot | None:
        """The slot for this version: the one that has it, or else that nobody uses and was of no use for longest.

        None: all are in use. Who loads it there calls ``clear`` first, and ``warmed`` when it has answered.
        """
        with self._lock:
            slot = self._of(ref) or self._free()
            if slot is None or self._closed:
                return None
            if slot.ref != ref:
                slot.ref, slot.warm = ref, False
            if slot.looked == digest:
                slot.looked = ""
            slot.pins += 1
            return slot

    def clear(self, slot: Slot) -> None:
        """End the process if it has looked at another artifact than the version's: it may have run that one's code."""
        if not slot.looked:
            return
        with slot.combiner.turn:
            if slot.looked:  # nobody came before
                slot.runner.close()
                with self._lock:
                    slot.looked = ""

    def pin(self, slot: Slot) -> None:
        """Once more, for whoever knows that it is pinned."""
        with self._lock:
            slot.pins += 1

    def release(self, slot: Slot) -> None:
        """After the close, the process is ended: it may have been started since."""
        with self._lock:
            self._unpin(slot)
            closed = self._closed
        if closed:
            slot.runner.close()

    def warmed(self, slot: Slot) -> None:
        """The version that it is for has answered."""
        with self._lock:
            slot.warm = True

    def cooled(self, slot: Slot) -> None:
        """Its process died; the next call in it loads its version again."""
        with self._lock:
            slot.warm = False

    # -- before there is a version --------------------------------------------

    def start(self) -> None:
        """Start the process that a first version will be loaded in, unless one is in use already."""
        with self._lock:
            slot = self._free() if self._unused() else None
        if slot is not None:
            slot.combiner.start()

    def lend(self, digest: str) -> Loan | None:
        """The runner that a first version will be loaded in, to look at that artifact; None: it is not to be had.

        While none is in use or has a version, and for one artifact only: what has looked at it is to load it.
        """
        with self._lock:
            slot = self._free()
            looked = any(slot.looked not in ("", digest) for slot in self._slots)
            if slot is None or looked or not self._unused():
                return None
            slot.looked = digest
            slot.pins += 1
        return Loan(slot.runner, lambda fits: self._give_back(slot, fits), slot.combiner.turn)

    def _give_back(self, slot: Slot, fits: bool) -> None:
        with self._lock:
            if fits and not self._closed and not any(other.ref for other in self._slots):
                self._unpin(slot)
                return
        self._end(slot)

    # -- its end --------------------------------------------------------------

    def retire(self, idle_s: float) -> None:
        """Give back the memory of those that were of no use for so many seconds."""
        with self._lock:
            latest = self._clock.monotonic() - idle_s
            surplus = [slot for slot in self._slots if slot.idle and slot.idle_since <= latest]
            for slot in surplus:
                slot.ref, slot.warm = "", False
                slot.pins += 1  # nothing is loaded into what is being ended
        for slot in surplus:
            self._end(slot)

    def close(self) -> None:
        """Also those in use, whose calls end soon after. From then on none is given out."""
        with self._lock:
            self._closed = True
        for slot in self._slots:
            slot.runner.close()

    # -- under the lock, but for _end -----------------------------------------

    def _of(self, ref: str) -> Slot | None:
        return next((slot for slot in self._slots if slot.ref == ref), None)

    def _free(self) -> Slot | None:
        """One without a version is the first choice."""
        idle = (slot for slot in self._slots if slot.idle)
        return min(idle, key=lambda slot: slot.idle_since if slot.warm else -math.inf, default=None)

    def _unused(self) -> bool:
        return not self._closed and not any(slot.pins or slot.ref for slot in self._slots)

    def _unpin(self, slot: Slot) -> None:
        slot.pins -= 1
        if slot.idle:
            slot.idle_since = self._clock.monotonic()
            if not slot.warm:
                slot.ref = ""

    def _end(self, slot: Slot) -> None:
        """One that has no version, and that only the caller has pinned."""
        try:
            slot.runner.close()
        finally:
            with self._lock:
                slot.looked, slot.idle_since = "", math.inf
                slot.pins -= 1
