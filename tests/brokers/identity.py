"""The end of a container where a managed identity's tokens are given out: such as the brokers of the tests take."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.brokers.node import HUB_USER

CLIENT_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
HEADER = "only-this-container-knows"


def token(subject: str, lives: float) -> str:
    """Unsigned, as the brokers of the tests are told to take them. ``lives``: seconds."""
    parts = [{"alg": "none"}, {"sub": subject, "iat": time.time() - 5, "exp": time.time() + lives}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@dataclass
class IdentityEndpoint:
    """``answer`` gives a status and a body; ``asked`` is what each query held, and the secret that came along."""

    answer: Callable[[], tuple[int, bytes]]
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        return {"IDENTITY_ENDPOINT": self.url, "IDENTITY_HEADER": HEADER}


def given(value: str, lives: float) -> tuple[int, bytes]:
    """As Container Apps and App Service answer: numbers are texts."""
    said = {"access_token": value, "expires_on": str(int(time.time() + lives)), "token_type": "Bearer"}
    return 200, json.dumps(said).encode()


def tokens(lives: float = 3_600.0) -> Callable[[], tuple[int, bytes]]:
    """Of the user whom the hub of the tests refuses transactions."""
    return lambda: given(token(HUB_USER, lives), lives)


@contextmanager
def identity_endpoint(answer: Callable[[], tuple[int, bytes]]) -> Iterator[IdentityEndpoint]:
    endpoint = IdentityEndpoint(answer)

    class Identity(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            endpoint.asked.append({**query, "secret": self.headers.get("X-IDENTITY-HEADER", "")})
            status, body = endpoint.answer()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", endpoint.url)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Identity)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint.url = f"http://127.0.0.1:{server.server_port}/msi/token"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
