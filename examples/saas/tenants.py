"""What tenants do, each with his key and his webhook: this file stands for programs of theirs."""

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

import penstock as ps
from penstock.errors import Forbidden


class Webhooks:
    """One server for all of them here, with a path for each. ``cases``: the ids that came, by tenant."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self.secrets, self.cases = secrets, defaultdict[str, list[str]](list)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, tenant: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{tenant}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhooks = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204 if webhooks.take(self.path.strip("/"), body, dict(self.headers)) else 401)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def take(self, tenant: str, body: bytes, headers: dict[str, str]) -> bool:
        """Is it signed for this tenant? Only then is it taken."""
        try:
            Webhook(self.secrets[tenant]).verify(body, headers)
        except (KeyError, WebhookVerificationError):
            return False
        self.cases[tenant].append(json.loads(body)["id"])
        return True


def publish(url: str, key: str, tenant: str, amounts: list[float]) -> None:
    """With his own key, to his own topic."""
    with ps.connect(url, key=key) as mine:
        mine.publish(f"tx/{tenant}", [{"id": f"{tenant}-{n}", "amount": amount} for n, amount in enumerate(amounts)])


def look_at(url: str, key: str, topic: str) -> str:
    """What this key may see of a topic."""
    with ps.connect(url, key=key) as mine:
        try:
            return f"{mine.read(topic).height} events"
        except Forbidden:
            return "forbidden"
