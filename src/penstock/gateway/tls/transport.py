"""A connection within TLS, as the protocol of the doors sees it."""

from __future__ import annotations

import asyncio
from typing import Any

WRITTEN_BYTES = 64 << 10  # bytes that wait for a client to take them before nothing more is written, as without TLS
FLUSH_S = 0.1  # seconds between two looks at what a client that is let go has not taken yet


class EncryptedTransport:
    """``encrypted`` over ``raw``, both of the event loop. It ends as a plain one does, when what was written has left.

    By itself TLS waits for the client to say farewell too, which one that keeps its connections for later does not;
    nobody has to wait for that (RFC 8446 §6.1).
    """

    def __init__(self, raw: Any, encrypted: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._raw, self._encrypted, self._loop = raw, encrypted, loop
        encrypted.set_write_buffer_limits(WRITTEN_BYTES)
        self.write = encrypted.write
        self.abort = encrypted.abort
        self.is_closing = encrypted.is_closing
        self.pause_reading, self.resume_reading = encrypted.pause_reading, encrypted.resume_reading
        self.get_extra_info = encrypted.get_extra_info
        self.can_write_eof = encrypted.can_write_eof  # never: TLS of the event loop cannot be half closed

    def close(self) -> None:
        if not self._encrypted.is_closing():
            self._encrypted.close()
            self._part()

    def _part(self) -> None:
        if self._encrypted.get_write_buffer_size() and not self._raw.is_closing():
            self._loop.call_later(FLUSH_S, self._part)  # until TLS itself gives it up
        else:
            self._raw.close()
