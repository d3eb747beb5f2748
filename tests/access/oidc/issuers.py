"""An issuer on loopback whose answers a test chooses, its keys, and tokens signed with them, well or badly."""

from __future__ import annotations

import json
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Thread
from typing import Any

from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from penstock.access.oidc.issuer import Issuer
from penstock.clock import ManualClock

NOW = 1_700_000_000  # seconds since the epoch, as ManualClock begins
NOW_US = ManualClock().now()
LEEWAY_S = 30  # seconds, as where nothing is said
AUDIENCE = "api://penstock"
ROLES = {"operator": "append:tx,read:risks", "auditor": "read:*"}
PATIENCE_S = 20.0  # seconds until something that never comes fails a test

SigningKey = RSAKey | ECKey | OKPKey
GENERATED: dict[str, tuple[str, str | int]] = {
    "RSA": ("RSA", 2_048), "P-256": ("EC", "P-256"), "P-384": ("EC", "P-384"), "P-521": ("EC", "P-521"),
    "Ed25519": ("OKP", "Ed25519"), "Ed448": ("OKP", "Ed448"), "X25519": ("OKP", "X25519"),
}  # fmt: skip


def key(name: str, kind: str = "RSA") -> SigningKey:
    """The same one whenever it is asked for: they take long to make."""
    return _made(name, kind)


@lru_cache(None)
def _made(name: str, kind: str) -> SigningKey:
    made = JWKRegistry.generate_key(*GENERATED[kind], {"kid": name})
    assert isinstance(made, RSAKey | ECKey | OKPKey)
    return made


def written(one: SigningKey, **more: Any) -> dict[str, Any]:
    """As an issuer publishes it."""
    return {**one.as_dict(private=False), "use": "sig", **more}


def key_set(*keys: SigningKey | Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": [dict(k) if isinstance(k, Mapping) else written(k) for k in keys]}).encode()


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def token(
    claims: Mapping[str, Any] | bytes, signer: SigningKey | Callable[[bytes], bytes], alg: str = "RS256", /, **head: Any
) -> str:
    """``head`` goes over what a head usually has; None takes a member away. ``claims`` as they are, if bytes."""
    named = {} if callable(signer) else {"kid": signer.kid}
    said = {name: value for name, value in ({"alg": alg, "typ": "JWT"} | named | head).items() if value is not None}
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return with_parts(json.dumps(said).encode(), body, signer, alg)


def with_parts(head: bytes, body: bytes, signer: SigningKey | Callable[[bytes], bytes], alg: str) -> str:
    signing = f"{encoded(head)}.{encoded(body)}"
    signature = (
        signer(signing.encode()) if callable(signer) else JWSRegistry.algorithms[alg].sign(signing.encode(), signer)
    )
    return f"{signing}.{encoded(signature)}"


class LoopbackIssuer:
    """``answers``: status, headers and body by path; a body in pieces is sent a piece at a time. ``asked``: the paths
    in their order. While ``open`` is clear nothing is answered."""

    def __init__(self, address: str) -> None:
        self.url = f"{address}/realms/tests"
        self.answers: dict[str, tuple[int, dict[str, str], bytes | Sequence[bytes]]] = {}
        self.asked: list[str] = []
        self.open = Event()
        self.open.set()
        self.changed = Condition()
        self.pace_s = 0.0  # seconds before each piece
        self.discovers(issuer=self.url, jwks_uri=f"{self.url}/keys")

    def discovers(self, **said: Any) -> None:
        self.answers["/realms/tests/.well-known/openid-configuration"] = (200, {}, json.dumps(said).encode())

    def publishes(self, *keys: SigningKey | Mapping[str, Any]) -> None:
        self.answers["/realms/tests/keys"] = (200, {}, key_set(*keys))

    def goes_away(self) -> None:
        self.answers.clear()

    def fetches(self) -> int:
        """Of the keys."""
        return self.asked.count("/realms/tests/keys")

    def wait_for(self, reached: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(reached, PATIENCE_S), f"it was asked for {self.asked} only"

    def settings(self, **more: Any) -> Issuer:
        return Issuer(**{"url": self.url, "audiences": (AUDIENCE,), "roles": ROLES, **more})

    def claims(self, **more: Any) -> dict[str, Any]:
        """Good ones; None takes one away."""
        usual = {
            "iss": self.url, "sub": "service-7", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW, "roles": ["operator"],
        }  # fmt: skip
        return {name: value for name, value in (usual | more).items() if value is not None}


@contextmanager
def loopback_issuer(tls: ssl.SSLContext | None = None) -> Iterator[LoopbackIssuer]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with issuer.changed:
                issuer.asked.append(self.path)
                issuer.changed.notify_all()
            issuer.open.wait(PATIENCE_S)
            status, headers, body = issuer.answers.get(self.path, (503, {}, b"away"))
            pieces = [body] if isinstance(body, bytes) else body
            self.send_response(status)
            for name, value in ({"Content-Length": str(sum(map(len, pieces)))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for piece in pieces:
                    Event().wait(issuer.pace_s)
                    self.wfile.write(piece)
            except OSError:
                pass  # it has heard enough

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    issuer = LoopbackIssuer(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}")
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield issuer
    finally:
        issuer.open.set()
        server.shutdown()
        server.server_close()
