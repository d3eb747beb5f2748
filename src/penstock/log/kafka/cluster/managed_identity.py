"""Tokens of an Azure managed identity, for a namespace of Event Hubs.

Container Apps and App Service give them out at an address on the machine itself, to whoever shows the secret that only
the container's own environment holds. A token is good for hours, and the clients ask for another before it ends.
"""

from __future__ import annotations

import http.client
import json
import math
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from ....clock import Clock, SystemClock
from ....errors import AccessRefused, CannotStart, LogUnreachable
from ....telemetry import logger
from .connection_errors import ConnectionErrors

log = logger(__name__)

VERSION = "2019-08-01"  # of the endpoint's protocol
ANSWER_S = 5.0  # seconds for an answer to begin, and for all of it
ANSWER_BYTES = 64 << 10  # bytes of an answer; tokens have 2 KiB
AGAIN_S = 30.0  # seconds after which it is asked again where it gave no new token; librdkafka asks a little sooner
SAID_CHARS = 200  # characters of what it says that are repeated
REFUSALS = (400, 401, 403)  # of this identity; everything else may pass, an identity that was assigned just now too
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


@dataclass(frozen=True, slots=True)
class Token:
    """``expires`` and ``lifetime``: seconds, since the epoch and from when it was given."""

    value: str = field(repr=False)
    expires: float
    lifetime: float


class ManagedIdentity:
    """Safe to use from several threads; one for all clients of an address, which share its token."""

    def __init__(
        self,
        endpoint: str,
        header: str,
        resource: str,
        client_id: str,
        heard: ConnectionErrors,
        clock: Clock | None = None,
    ) -> None:
        """``header``: the secret to show there. ``resource``: what the tokens are for. ``heard`` is told why there is
        no token."""
        self.client_id = client_id
        self._endpoint, self._header, self._resource = endpoint, header, resource
        self._heard, self._clock = heard, clock or SystemClock()
        self._mutex = threading.Lock()
        self._token: Token | None = None

    def __reduce__(self) -> tuple[type[ManagedIdentity], tuple[Any, ...]]:
        """Another process asks for tokens of its own."""
        return ManagedIdentity, (self._endpoint, self._header, self._resource, self.client_id, self._heard)

    def token(self) -> Token:
        """One that holds: a new one when half of the last one's time is over.

        An endpoint that is away meanwhile matters when that time is over, and not before. Raises ``LogUnreachable``
        then, and where there never was one; ``AccessRefused`` when this identity is not to be had here.
        """
        with self._mutex:
            last, now = self._token, self._clock.now() / 1e6
            if last is not None and last.expires - now > last.lifetime / 2:
                return last
            try:
                self._token = self._asked(now)
            except LogUnreachable as error:
                if last is None or last.expires <= now:
                    self._heard.lack(str(error))
                    raise
                log.warning("no new token; the last one holds on", reason=str(error), seconds=round(last.expires - now))
                return replace(last, expires=min(last.expires, now + AGAIN_S))
            self._heard.lack("")
            return self._token

    def callback(self) -> Callable[[str], tuple[str, float]]:
        """For one client, as its ``oauth_cb``. Raises what ``token`` does.

        A client that is given no token at first cannot be made, and one whose callback raises ends the thread that
        polls it. So there is a token before there is a client, and the last one is shown again when there is no other:
        the brokers then refuse it, and say so.
        """
        last = self.token()

        def answer(_config: str) -> tuple[str, float]:
            nonlocal last
            try:
                last = self.token()
            except LogUnreachable:
                return last.value, self._clock.now() / 1e6 + AGAIN_S
            return last.value, last.expires

        return answer

    def _asked(self, now: float) -> Token:
        status, body = self._answer()
        if status in REFUSALS:
            raise AccessRefused(
                f"the identity endpoint refuses a token of {self.client_id} (HTTP {status}{self._said(body)}); is that "
                "the client id of a managed identity that this container is given?"
            )
        if status != 200:
            raise LogUnreachable(f"the identity endpoint gives no token (HTTP {status}{self._said(body)})")
        return _token(body, now)

    def _answer(self) -> tuple[int, bytes]:
        """Asked directly, whatever the environment says of proxies; an answer that leads elsewhere is not followed,
        since the secret would go along."""
        parts = urlsplit(self._endpoint)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        asking = kind(parts.hostname or "", parts.port, timeout=ANSWER_S)
        query = urlencode({"api-version": VERSION, "resource": self._resource, "client_id": self.client_id})
        try:
            asking.request("GET", f"{parts.path or '/'}?{query}", headers={"X-IDENTITY-HEADER": self._header})
            with asking.getresponse() as answer:
                body, deadline = b"", self._clock.monotonic() + ANSWER_S
                while part := answer.read1(ANSWER_BYTES):
                    body += part
                    if len(body) > ANSWER_BYTES or self._clock.monotonic() > deadline:
                        raise LogUnreachable("the identity endpoint answers without end, and not with a token")
                return answer.status, body
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise LogUnreachable(f"the identity endpoint does not answer: {error or type(error).__name__}") from None
        finally:
            asking.close()

    def _said(self, body: bytes) -> str:
        """Its own words, without the secret that it was shown."""
        said = body.decode(errors="replace").replace(self._header, "…")
        return f": {' '.join(said.split())[:SAID_CHARS]}" if said.strip() else ""


def managed_identity(
    where: str, brokers: str, client_id: str, environ: Mapping[str, str], heard: ConnectionErrors
) -> ManagedIdentity:
    """The one that ``identity=`` names. Raises ``CannotStart`` where none can be asked for."""
    try:
        uuid.UUID(client_id)
    except ValueError:
        raise CannotStart(
            f"{where}: identity={client_id} is no client id of a managed identity, which looks like "
            "00000000-0000-0000-0000-000000000000"
        ) from None
    endpoint, header = environ.get("IDENTITY_ENDPOINT", ""), environ.get("IDENTITY_HEADER", "")
    if missing := [name for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER") if not environ.get(name)]:
        raise CannotStart(
            f"{where}: no identity endpoint here: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not "
            "set, as Azure's Container Apps and App Service do; outside Azure leave identity= out and use "
            "EVENTHUBS_CONNECTION_STRING"
        )
    if not _is_url(endpoint):
        raise CannotStart(f"{where}: IDENTITY_ENDPOINT is no http:// or https:// URL")
    if not (header.isascii() and header.isprintable()):
        raise CannotStart(f"{where}: IDENTITY_HEADER cannot be a header of HTTP")
    host = brokers.rpartition(":")[0]
    return ManagedIdentity(endpoint, header, f"https://{host}", client_id, heard)


def _token(body: bytes, now: float) -> Token:
    try:
        said = json.loads(body)
        value, expires = str(said["access_token"]), float(said["expires_on"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise LogUnreachable("the identity endpoint answers, and not with access_token and expires_on") from None
    if not _TOKEN.fullmatch(value) or not math.isfinite(expires):
        raise LogUnreachable("the identity endpoint answers with something that is no token")
    if expires <= now:
        raise LogUnreachable("the identity endpoint gives a token that has expired; is this machine's clock right?")
    return Token(value, expires, expires - now)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
