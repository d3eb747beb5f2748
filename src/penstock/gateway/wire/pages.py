"""Answers that may be large: what all of them hold together is bounded, and each leaves as its reader takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ...errors import Busy

PIECE_BYTES = 64 << 10  # written at once: what a connection holds of an answer beside the answer itself
PATIENCE_S = 10.0  # seconds that a request waits for room


class Shelf:
    """Room for answers that are being made, or that their readers have not taken yet. On the event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def hold(self, size: int) -> ShelfReservation:
        """Room for so many bytes, in the order of asking. Raises ``Busy`` when none comes free in time."""
        if self._queue or self._held + size > self._limit:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append((size, turn))
            try:
                await asyncio.wait_for(turn, PATIENCE_S)
            except TimeoutError:
                raise Busy("too many answers are on their way to slow readers: ask again later") from None
            finally:
                if (size, turn) in self._queue:
                    self._queue.remove((size, turn))
                    self._admit()
        else:
            self._held += size
        return ShelfReservation(self, size)

    def release(self, size: int) -> None:
        self._held -= size
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._held + self._queue[0][0] <= self._limit:
            size, turn = self._queue.popleft()
            if not turn.done():
                self._held += size
                turn.set_result(None)


class ShelfReservation:
    """What one answer holds of the shelf, until it is let go."""

    def __init__(self, shelf: Shelf, size: int) -> None:
        self._shelf, self._size = shelf, size

    def keep(self, size: int) -> None:
        """Give back all but so many bytes, or take what is missing: an answer that is there is not thrown away."""
        self._shelf.release(self._size - size)
        self._size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.keep(0)


class Page(Response):
    """A body that is sent piece by piece, each when the one before has left; then its room is given back."""

    def __init__(self, body: bytes, held: ShelfReservation, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(None, media_type=media_type, headers={**headers, "content-length": str(len(body))})
        self._whole, self._held = body, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for at in range(0, max(len(self._whole), 1), PIECE_BYTES):
                piece = self._whole[at : at + PIECE_BYTES]
                more = at + PIECE_BYTES < len(self._whole)
                await send({"type": "http.response.body", "body": piece, "more_body": more})
                await asyncio.sleep(0)  # a reader who keeps up lets the sending never wait, and others would
