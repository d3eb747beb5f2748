"""Connections from their acceptance until TLS is agreed upon: bounded in number and in time, as those after it are.

uvicorn knows a connection once its protocol does, and with TLS of the event loop's own that is after the handshake: who
opens connections and says nothing would be seen by nobody, and held by nothing but time. So each begins in plain, is
counted here, and goes to the protocol of the doors when it is encrypted. Whatever certificate is in force by then is
shown, so that one which is renewed needs no new listener.

All of it belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from ...settings import Settings
from ...telemetry import logger
from ...telemetry.metrics import counter
from ..wire.protocol import GRACE_S, GuardedProtocol
from .client_names import EXTENSION, extension
from .renewal import Certificates
from .transport import EncryptedTransport

FEWEST = 32  # handshakes that may be under way where all connections are taken: they end in a word, or make room
TELL_S = 10.0  # seconds between two lines in the log about handshakes that fail

EXPECTED = ("lost", "let_go")  # of who only looks whether the port is open, or says nothing: no fault to be mended

FAILED = counter("tls_handshakes_failed", "Connections that came to no TLS", "reason")

log = logger(__name__)

MakeProtocol = Callable[..., GuardedProtocol]


class TLSHandshakes:
    """What uvicorn takes for its protocol: called for each connection. ``make``: the protocol of the doors."""

    def __init__(self, certificates: Certificates, limits: Settings, make: MakeProtocol) -> None:
        self.certificates, self.limits, self.make = certificates, limits, make
        self.under_way: dict[Handshake, float] = {}  # the loop's time when each began, the oldest first
        self._failed = 0
        self._told = 0.0  # the loop's time when it was last said that some fail

    def __call__(self, **given: Any) -> Handshake:
        return Handshake(self, given)

    def admit(self, new: Handshake, now: float, connections: int) -> bool:
        """May it begin? Where there is no room, the oldest is let go, if it has had its time.

        ``connections``: after TLS; together they are never more than ``FEWEST`` over the limit."""
        spare = self.limits.connection_limit - connections
        if len(self.under_way) >= max(spare, min(FEWEST, spare + FEWEST)):
            oldest = next(iter(self.under_way), None)
            if oldest is None or now - self.under_way[oldest] < GRACE_S:
                self.fail("no_room", now)
                return False
            del self.under_way[oldest]
            oldest.let_go()
        self.under_way[new] = now
        return True

    def fail(self, reason: str, now: float, why: str = "") -> None:
        """Count it, and say so now and then: clients are told little by TLS, and who runs this may have to know."""
        FAILED.labels(reason).inc()
        if reason in EXPECTED:
            return
        self._failed += 1
        if now - self._told >= TELL_S or not self._told:
            log.warning("TLS handshakes fail", last=why or reason, failed=self._failed)
            self._told, self._failed = now, 0

    def end(self) -> None:
        """No new connections, so none of these either."""
        for each in list(self.under_way):
            each.let_go()


class Handshake(asyncio.Protocol):
    """One connection. It hears nothing itself: TLS takes its place at once, and then the protocol of the doors."""

    def __init__(self, doorway: TLSHandshakes, given: dict[str, Any]) -> None:
        self._doorway, self._given = doorway, given
        self._loop = asyncio.get_running_loop()
        self._raw: Any = None

    def connection_made(self, raw: Any) -> None:
        self._raw = raw
        connections = len(self._given["server_state"].connections)
        if not self._doorway.admit(self, self._loop.time(), connections):
            raw.abort()
            return
        agreeing = self._loop.start_tls(
            raw,
            self,
            self._doorway.certificates.context,
            server_side=True,
            ssl_handshake_timeout=self._doorway.limits.header_timeout,
            ssl_shutdown_timeout=self._doorway.limits.write_timeout,
        )
        # Its beginning runs here: in a task it would come after the client's first bytes, which would be lost.
        waiter: asyncio.Future[None] = agreeing.send(None)
        waiter.add_done_callback(lambda _: self._agreed(agreeing))

    def let_go(self) -> None:
        self._raw.abort()

    def _agreed(self, agreeing: Coroutine[Any, Any, Any]) -> None:
        self._doorway.under_way.pop(self, None)
        try:
            agreeing.send(None)
        except StopIteration as done:
            encrypted = done.value
        except Exception as error:  # also what ``ssl`` makes of a certificate that it cannot read
            self._doorway.fail(_kind(error), self._loop.time(), _why(error))
            return
        if (agreed := encrypted.get_extra_info("ssl_object")) is None:  # it was let go of, which is no error
            self._doorway.fail("let_go", self._loop.time())
            return
        protocol = self._doorway.make(**self._given)
        protocol.extensions = {EXTENSION: extension(agreed)}
        encrypted.set_protocol(protocol)
        protocol.connection_made(EncryptedTransport(self._raw, encrypted, self._loop))  # type: ignore[arg-type]


def _kind(error: Exception) -> str:
    """A label of few values, whatever a client sends."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate"
    if isinstance(error, ssl.SSLError):
        return "no_certificate" if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE" else "protocol"
    if isinstance(error, ConnectionAbortedError):
        return "timeout"
    return "lost" if isinstance(error, OSError) else "protocol"


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return str(getattr(error, "reason", "") or error).replace("_", " ").lower()
