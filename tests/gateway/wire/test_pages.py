"""Room for answers, and a body that leaves as its reader takes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.errors import Busy
from penstock.gateway.wire import pages
from penstock.gateway.wire.pages import Page, Shelf


async def unasked() -> dict[str, Any]:
    raise AssertionError("a page asks nothing of its reader")


def test_all_answers_together_are_bounded_and_served_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        shelf, order = Shelf(10), list[int]()

        async def one(number: int, size: int) -> None:
            with await shelf.hold(size):
                order.append(number)
                await asyncio.sleep(0)

        first, second = await shelf.hold(6), await shelf.hold(4)
        tasks = [asyncio.create_task(one(n, size)) for n, size in enumerate((8, 2, 2))]
        await asyncio.sleep(0)
        second.keep(1)
        await asyncio.sleep(0)
        assert order == [], "a small one went before a large one that came first"
        first.keep(1)
        await asyncio.gather(*tasks)
        assert order == [0, 1, 2]
        monkeypatch.setattr(pages, "PATIENCE_S", 0.01)
        with pytest.raises(Busy, match="slow readers"):
            await shelf.hold(9)
        first.keep(0)
        second.keep(0)
        with await shelf.hold(10):
            pass

    asyncio.run(go())


def test_a_body_is_sent_as_it_is_taken_and_then_gives_its_room_back() -> None:
    async def go() -> None:
        shelf, sent, taken = Shelf(1 << 20), list[Any](), asyncio.Semaphore(2)

        async def send(message: Any) -> None:
            await taken.acquire()
            sent.append(message)

        body = bytes(300_000)
        held = await shelf.hold(1 << 20)
        serving = asyncio.create_task(Page(body, held, "text/plain", {})({"type": "http"}, unasked, send))
        await asyncio.sleep(0.01)
        assert len(sent) == 2, "more was written than was taken"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(shelf.hold(1), 0.01)
        for _ in range(9):
            taken.release()
        await serving
        assert b"".join(m["body"] for m in sent[1:]) == body and not sent[-1]["more_body"]
        assert dict(sent[0]["headers"])[b"content-length"] == b"300000"
        await asyncio.wait_for(shelf.hold(1 << 20), 1)

    asyncio.run(go())


def test_others_have_their_turn_between_two_pieces_though_the_reader_keeps_up() -> None:
    async def go() -> None:
        pieces, seen = 0, list[int]()

        async def send(message: Any) -> None:
            nonlocal pieces
            pieces += message["type"] == "http.response.body"

        async def neighbour() -> None:
            while not seen or seen[-1] < 5:
                seen.append(pieces)
                await asyncio.sleep(0)

        page = Page(bytes(5 * pages.PIECE_BYTES), await Shelf(1 << 20).hold(1), "text/plain", {})
        await asyncio.gather(page({"type": "http"}, unasked, send), neighbour())
        assert sorted(set(seen)) == [1, 2, 3, 4, 5], "the whole page left in one turn"

    asyncio.run(go())
