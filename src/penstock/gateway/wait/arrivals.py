"""Waiting for a topic to have something: one look a topic however many wait, and no thread of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from ...log.interface import Offsets

LOOK_S = 0.02  # seconds between two looks at where a topic ends


@dataclass(slots=True, eq=False)
class Waiting:
    """One who waits, and where it stands in each partition."""

    at: Mapping[int, int]
    come: asyncio.Future[None]

    def look(self, ends: Mapping[int, int]) -> None:
        if not self.come.done() and any(ends.get(partition, 0) > at for partition, at in self.at.items()):
            self.come.set_result(None)


class Arrivals:
    """On the event loop only, but for the looks themselves."""

    def __init__(self, log: Offsets, threads: Executor) -> None:
        self._log, self._threads = log, threads
        self._waiting: dict[str, list[Waiting]] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}
        self.hurried = False

    async def beyond(self, topic: str, at: Mapping[int, int], seconds: float) -> None:
        """Until the topic ends behind one of these places, the time is over, or the gateway is about to end.

        There may be nothing to read all the same: not every position has an event. Raises what the log raises.
        """
        if self.hurried:
            return
        waiting = Waiting(at, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(topic, []).append(waiting)
        if topic not in self._looks:
            self._looks[topic] = asyncio.create_task(self._look(topic))
        try:
            await asyncio.wait_for(waiting.come, seconds)
        except TimeoutError:
            pass
        finally:
            self._waiting[topic].remove(waiting)

    def hurry(self) -> None:
        """The gateway is about to end: who waits is answered with what there is, and so is who comes."""
        self.hurried = True
        for waiting in self._waiting.values():
            for each in waiting:
                if not each.come.done():
                    each.come.set_result(None)

    async def _look(self, topic: str) -> None:
        try:
            while self._waiting[topic]:
                ends = await asyncio.get_running_loop().run_in_executor(self._threads, self._log.ends, topic)
                for waiting in self._waiting[topic]:
                    waiting.look(ends)
                await asyncio.sleep(LOOK_S)
        except Exception as error:
            for waiting in self._waiting[topic]:
                if not waiting.come.done():
                    waiting.come.set_exception(error)
        finally:
            del self._looks[topic]
            if not self._waiting[topic]:
                del self._waiting[topic]
