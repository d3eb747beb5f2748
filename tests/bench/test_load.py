"""What the load generator makes of answers."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from penstock.bench import load


@contextmanager
def answering(statuses: list[str]) -> Iterator[str]:
    """A server that answers with these statuses, in turn, and closes a connection after 503 as the gateway does."""
    loop, left = asyncio.new_event_loop(), list(statuses)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4_096):  # a request of these tests comes in one piece
            status = left.pop(0)
            writer.write(f"HTTP/1.1 {status} said\r\ncontent-length: 2\r\n\r\n{{}}".encode())
            if status == "503":
                break
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(one, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/topics/t/events"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def test_a_request_refused_by_back_pressure_has_no_time_of_leaving() -> None:
    with answering(["202", "503", "202", "202"]) as url:
        sent = load.pace(url, [load.request(url, b"{}")] * 4, rate=100, connections=1)
    assert [at is None for at in sent] == [False, True, False, False]
    assert (times := [at for at in sent if at is not None]) == sorted(times)


def test_what_is_refused_for_another_reason_ends_the_run() -> None:
    with answering(["202", "400"]) as url, pytest.raises(RuntimeError, match="400"):
        load.pace(url, [load.request(url, b"{}")] * 2, rate=100, connections=1)
