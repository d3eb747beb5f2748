"""What the bench's receiver counts."""

import httpx
import pytest

from penstock.bench.receiver import receiving


def test_events_are_counted_whether_alone_or_in_batches() -> None:
    event = {"specversion": "1.0", "id": "1"}
    with receiving() as receiver, httpx.Client() as client:
        assert client.post(receiver.url, content=b"{}", headers={"ce-time": "2026-01-01T00:00:00Z"}).status_code == 204
        assert client.post(receiver.url, json=[event] * 100).status_code == 204
        ((came, appended),) = receiver.wait_for(101, timeout=10)
        assert appended == b"2026-01-01T00:00:00Z" and came > 0
        assert receiver.take().events == 0
        with pytest.raises(TimeoutError, match="0 of 1 events"):
            receiver.wait_for(1, timeout=0)
