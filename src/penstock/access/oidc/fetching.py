"""The issuer is asked for its keys: over TLS, within limits of size and time, and nobody else in its place."""

from __future__ import annotations

import asyncio
import ssl

import httpx
import msgspec

from ...errors import IssuerUnusable
from .faults import shown
from .issuer import Issuer, unsafe

FETCH_S = 10.0  # seconds for all of it, names and handshakes included
BODY_BYTES = 256 << 10  # bytes of one answer
WELL_KNOWN = "/.well-known/openid-configuration"


class Discovery(msgspec.Struct):
    """OpenID Connect Discovery 1.0 §3, of which only this is used."""

    issuer: str
    jwks_uri: str


def fetch_key_set(issuer: Issuer) -> bytes:
    """Its key set as it answered. Blocks for ``FETCH_S`` seconds, or as long as the resolver of names takes, where that
    is longer: not for a thread that serves anybody.

    Redirects are not followed, the environment's proxies are not used. Raises ``IssuerUnusable``.
    """
    try:
        return asyncio.run(_fetch(issuer))
    except TimeoutError:
        raise IssuerUnusable(f"it did not answer within {FETCH_S:g} s") from None


async def _fetch(issuer: Issuer) -> bytes:
    # The limit is on the whole: httpx's own are on each read, and a drop at a time keeps within them for ever.
    async with asyncio.timeout(FETCH_S):
        trusted = ssl.create_default_context(cafile=issuer.authorities) if issuer.authorities else True
        async with httpx.AsyncClient(
            verify=trusted,
            trust_env=False,
            follow_redirects=False,
            timeout=FETCH_S,
            headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": "penstock"},
        ) as http:
            return await _get(http, issuer.jwks_uri or await _discover(http, issuer))


async def _discover(http: httpx.AsyncClient, issuer: Issuer) -> str:
    """Where the keys are. The document has to be this issuer's own (OpenID Connect Discovery 1.0 §4.3)."""
    where = issuer.url.rstrip("/") + WELL_KNOWN
    try:
        found = msgspec.json.decode(await _get(http, where), type=Discovery)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise IssuerUnusable(f"{where} is no discovery document ({error}); set PENSTOCK_OIDC_JWKS_URI") from None
    check_discovered(found, where, issuer)
    return found.jwks_uri


def check_discovered(found: Discovery, where: str, issuer: Issuer) -> None:
    """Without TLS keys come only from this machine, and only where the issuer is here too: a document from elsewhere
    has nothing fetched here. Raises ``IssuerUnusable``."""
    if found.issuer != issuer.url:
        raise IssuerUnusable(
            f"{where} is of the issuer {shown(found.issuer)}: set PENSTOCK_OIDC_ISSUER to what its tokens say"
        )
    if why := unsafe(found.jwks_uri, here=issuer.url.startswith("http:")):
        raise IssuerUnusable(f"{where} has a jwks_uri, {shown(found.jwks_uri)}, that {why}")


async def _get(http: httpx.AsyncClient, url: str) -> bytes:
    try:
        async with http.stream("GET", url) as answer:
            if answer.is_redirect:
                raise IssuerUnusable(f"{url} redirects, which is not followed: set the address that it leads to")
            if answer.status_code != 200:
                raise IssuerUnusable(f"{url} answers {answer.status_code}")
            if (coding := answer.headers.get("content-encoding", "identity")) != "identity":
                raise IssuerUnusable(f"{url} answers in {shown(coding)}, which was not asked for")
            body = bytearray()
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > BODY_BYTES:
                    raise IssuerUnusable(f"{url} answers more than {BODY_BYTES} bytes")
            return bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise IssuerUnusable(f"{url} cannot be read ({str(error) or type(error).__name__})") from None
