"""Where a webhook goes, and how: what a subscription declares of its receiver."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from ...errors import DeclarationError
from .addresses import literal, refusal
from .signatures import PREFIX, SECRETS, check_secret

HEADERS = 10  # of the user's
HEADER_BYTES = 4_096  # bytes of one header's value
CONCURRENCY = 16  # requests under way at once, where nothing is said
CONCURRENCY_LIMIT = 64
RESERVED = {
    "connection", "content-encoding", "content-length", "content-type", "expect", "host", "idempotency-key",
    "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
RESERVED_PREFIXES = ("aeg-", "ce-", "penstock-", "proxy-", "webhook-")
SECRET_CHARS = 4  # characters of a header's value below which it is no secret, and may be part of any word
PATH_CHARS = 8  # characters of a part of the URL, likewise

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_URL = re.compile(r"[\x21-\x7e]+")
_RATE = re.compile(r"([1-9][0-9]{0,8})/(s|m)")
_UNITS = {"s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver of webhooks. Raises ``DeclarationError`` for what could not work or is not allowed.

    ``secrets``: none, one, or two during a rotation, as Standard Webhooks writes them (``whsec_…``). ``headers`` go
    with every request. ``rate``: requests, as ``"100/s"`` or ``"120/m"``, or their number a second; without one as
    many as the receiver takes. ``allow_http``: also without TLS. ``allow_private``: also inside a network and on
    this machine. ``authorities``: a PEM file with certificates to trust in place of the system's. ``handshake``: how it
    is asked whether it wants events; by that of CloudEvents it is told the ``origin``, a DNS name of who sends, with
    each request. Its repr holds neither a secret, nor a header's value, nor the URL's path, which with many services is
    one.
    """

    url: str = field(repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    concurrency: int = CONCURRENCY
    rate: str | float = ""
    allow_http: bool = False
    allow_private: bool = False
    authorities: str = ""
    handshake: Literal["none", "eventgrid", "cloudevents"] = "none"
    origin: str = ""
    place: str = field(init=False)  # scheme, host and port, for people
    per_second: float = field(init=False, repr=False)  # 0: no limit

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", self._checked_url())
        rate = self.rate
        object.__setattr__(self, "per_second", _per_second(rate) if isinstance(rate, str) else float(rate))
        if len(self.secrets) > SECRETS:
            raise DeclarationError(f"{len(self.secrets)} secrets; a webhook has one, and two while one is replaced")
        for secret in self.secrets:
            check_secret(secret)
        self._check_headers()
        if not 1 <= self.concurrency <= CONCURRENCY_LIMIT:
            raise DeclarationError(f"concurrency={self.concurrency} is not 1 to {CONCURRENCY_LIMIT}")
        if self.authorities and not Path(self.authorities).is_file():
            raise DeclarationError(f"authorities={self.authorities} is no file")
        if self.handshake == "cloudevents" and not _TOKEN.fullmatch(self.origin):
            raise DeclarationError(
                f"origin={self.origin!r} is no name of who sends, which CloudEvents' handshake needs"
            )

    def _checked_url(self) -> str:
        """Only what is written is looked at here; the addresses that a name leads to are when they are connected."""
        if not _URL.fullmatch(self.url):
            raise DeclarationError(
                "a webhook's URL holds blanks, control or non-ASCII characters; write hosts in punycode and other "
                "characters as %XX"
            )
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise DeclarationError("a webhook's URL has a host or a port that cannot be read") from None
        if parts.scheme not in ("http", "https") or not host or port == 0 or "\\" in self.url:
            raise DeclarationError("a webhook's URL begins with https:// and a host")
        if parts.username is not None or parts.password is not None:
            raise DeclarationError("a webhook's URL holds no user or password; use headers={'Authorization': …}")
        place = f"{parts.scheme}://{host if ':' not in host else f'[{host}]'}" + (f":{port}" if port else "")
        if parts.scheme == "http" and not self.allow_http:
            raise DeclarationError(f"{place} is not https://; allow_http=True allows it")
        if reason := self._internal(host):
            raise DeclarationError(f"no webhook is sent to {place}: {reason}")
        return place

    def _internal(self, host: str) -> str:
        if "%" in host:
            return "its host is an address of one link, or escaped"
        if (address := literal(host)) is not None:
            return refusal(address, self.allow_private)
        name = host.rstrip(".")
        if (name == "localhost" or name.endswith(".localhost")) and not self.allow_private:
            return f"{host} is this machine (allow_private=True allows it)"
        return ""

    def _check_headers(self) -> None:
        if len(self.headers) > HEADERS:
            raise DeclarationError(f"{len(self.headers)} headers; a webhook has {HEADERS} of its own at most")
        for name, value in self.headers:
            if not _TOKEN.fullmatch(name):
                raise DeclarationError(f"{name!r} cannot be the name of a header")
            if name.lower() in RESERVED or name.lower().startswith(RESERVED_PREFIXES):
                raise DeclarationError(f"the header {name} is written by Penstock itself")
            if not _VALUE.fullmatch(value):
                raise DeclarationError(f"the value of the header {name} holds line breaks or non-ASCII characters")
            if len(value) > HEADER_BYTES:
                raise DeclarationError(f"the value of the header {name} has {len(value)} bytes; at most {HEADER_BYTES}")
        if len({name.lower() for name, _ in self.headers}) < len(self.headers):
            raise DeclarationError("a header is named twice")

    def hidden(self) -> list[str]:
        """What may be in no text for people, longest first: secrets, values, and parts of the URL, as they are written
        and as an endpoint may echo them."""
        parts = urlsplit(self.url)
        values = [value for _, value in self.headers]
        words = [word for value in values for word in value.split()[1:]]  # `Bearer TOKEN`
        keys = [secret.removeprefix(PREFIX) for secret in self.secrets]
        path = [parts.path.strip("/"), *parts.path.split("/"), parts.query, *_query_values(parts.query)]
        plain = {text for text in (*values, *words, *self.secrets, *keys) if len(text) >= SECRET_CHARS}
        plain |= {text for text in path if len(text) >= PATH_CHARS}
        echoed = {base64.b64encode(text.encode()).decode() for text in plain}
        echoed |= {quote(text, safe="") for text in plain} | {unquote(text) for text in plain}
        return sorted(plain | echoed, key=len, reverse=True)


def _query_values(query: str) -> list[str]:
    return [part.partition("=")[2] for part in query.split("&")]


def _per_second(rate: str) -> float:
    if not rate:
        return 0.0
    found = _RATE.fullmatch(rate)
    if found is None:
        raise DeclarationError(f'rate={rate!r} is no rate; write for instance "100/s" or "120/m"')
    return int(found[1]) / _UNITS[found[2]]
