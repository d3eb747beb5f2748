"""What the load generator makes of answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penstock.bench import load


@contextmanager
def answering(statuses: list[int]) -> Iterator[str]:
    """A server that answers with these statuses, in turn, and closes a connection after 503 as the gateway does."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status := left.pop(0))
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            self.close_connection = status == 503

        def log_message(self, format: str, *args: object) -> None:
            """Not to the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/topics/t/events"
        finally:
            server.shutdown()
            thread.join()


def test_a_request_refused_by_back_pressure_has_no_time_of_leaving() -> None:
    with answering([202, 503, 202, 202]) as url:
        sent = load.pace(url, [load.request(url, b"{}")] * 4, rate=100, connections=1)
    assert [at is None for at in sent] == [False, True, False, False]
    assert (times := [at for at in sent if at is not None]) == sorted(times)


def test_what_is_refused_for_another_reason_ends_the_run() -> None:
    with answering([202, 400]) as url, pytest.raises(RuntimeError, match="400"):
        load.pace(url, [load.request(url, b"{}")] * 2, rate=100, connections=1)
