"""What every destination promises. Subclass ``DestinationContract`` in a pytest file, and give it an endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from threading import Lock, Thread, get_ident
from typing import Protocol

import pytest

from ..clock import Clock, ManualClock
from ..destinations.interface import Answer, Destination, Parcel

PATIENCE_S = 60.0  # seconds until what has to come is given up
NOTHING_S = 0.5  # seconds in which nothing more may come
CALL_S = 5.0  # seconds that a call may take which never waits, on a busy machine
PROBATION_S = 3_600.0  # seconds within which one that failed is tried again
REASON_CHARS = 1_000  # characters of what an endpoint says
HEADERS = (("content-type", "application/json"), ("ce-specversion", "1.0"), ("ce-id", "1"))


class TrialEndpoint(Protocol):
    """An endpoint that a test has in its hand. It takes everything at first."""

    def open(self, clock: Clock) -> Destination:
        """A destination of its own. Several at once, and 20 seconds at most for an answer."""
        ...

    def got(self) -> Sequence[bytes]:
        """The bodies that it has, in any order; repeats too."""
        ...

    def away(self) -> None:
        """From now on every attempt fails, each within 20 seconds."""
        ...

    def back(self) -> None:
        """It takes everything again."""
        ...


class DestinationContract:
    """``headers``: those of each parcel, where the destination asks for others."""

    headers: Sequence[tuple[str, str]] = HEADERS

    @pytest.fixture
    def endpoint(self) -> Iterator[TrialEndpoint]:
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def destination(self, endpoint: TrialEndpoint, clock: ManualClock) -> Iterator[Destination]:
        opened = endpoint.open(clock)
        yield opened
        opened.close()

    def parcels(self, *ids: int) -> list[Parcel]:
        return [Parcel(f"t/0/{n}", b'{"n":%d}' % n, self.headers, 1) for n in ids]

    def test_each_parcel_is_delivered_and_settled_once(self, endpoint: TrialEndpoint, destination: Destination) -> None:
        told, parcels = SettledParcels(), self.parcels(*range(200))
        send_all(destination, parcels, told)
        told.check(parcels)
        answers = [answer_of(parcel) for parcel in parcels]
        assert all(answer.ok and answer.outcome == "Delivered" and answer.began for answer in answers), answers
        assert set(endpoint.got()) == {parcel.body for parcel in parcels}, "some never came"
        status = destination.status()
        assert (status.delivered, status.failed, status.opens_at, status.why) == (200, 0, 0, "")
        assert status.last is not None and status.last.ok

    def test_it_tells_from_one_thread_of_its_own(self, destination: Destination) -> None:
        told, parcels = SettledParcels(), self.parcels(*range(50))
        send_all(destination, parcels, told)
        told.check(parcels)
        assert len(told.threads) == 1 and get_ident() not in told.threads, "whoever sent was told in its own thread"

    def test_several_may_send_at_once(self, endpoint: TrialEndpoint, destination: Destination) -> None:
        """The router of a topic, and the ladder of all."""
        told, parcels = SettledParcels(), self.parcels(*range(100))
        threads = [Thread(target=send_all, args=(destination, parcels[n::2], told)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told.check(parcels)
        assert {parcel.body for parcel in parcels if answer_of(parcel).ok} <= set(endpoint.got())

    def test_what_there_is_no_room_for_comes_back_unsent(
        self, endpoint: TrialEndpoint, destination: Destination
    ) -> None:
        told, room = SettledParcels(), destination.room()
        assert room > 0
        parcels = self.parcels(*range(room + 5))
        destination.send(parcels, told)
        told.check(parcels)
        refused = [answer_of(parcel) for parcel in parcels if not answer_of(parcel).began]
        assert len(refused) <= 5 and not any(answer.ok or answer.final or answer.gone for answer in refused)
        sent = {parcel.body for parcel in parcels if answer_of(parcel).ok}
        assert set(endpoint.got()) == sent and len(sent) >= room
        assert destination.room() > 0, "what was settled still takes room"

    def test_room_is_what_is_left_of_it(self, endpoint: TrialEndpoint, destination: Destination) -> None:
        endpoint.away()
        told, room = SettledParcels(), destination.room()
        took = room // 2
        destination.send(self.parcels(*range(took)), told)
        left = destination.room()
        time.sleep(NOTHING_S)  # until all is told that was settled before
        assert 0 <= left <= room - took + len(told.parcels), "it has room for as many as before"

    def test_one_that_is_away_keeps_nobody_waiting(self, endpoint: TrialEndpoint, destination: Destination) -> None:
        endpoint.away()
        told, parcels = SettledParcels(), self.parcels(*range(20))
        began = time.monotonic()
        destination.send(parcels, told)
        destination.room(), destination.open, destination.status()
        assert time.monotonic() - began < CALL_S, "it waited for the endpoint"
        told.check(parcels)
        for answer in map(answer_of, parcels):
            assert not answer.ok and answer.outcome not in ("", "Delivered")
            assert not answer.final and not answer.gone, "the next attempt may well be taken"
            assert len(answer.reason) <= REASON_CHARS
        status = destination.status()
        assert status.delivered == 0 and status.failed == sum(bool(answer_of(p).began) for p in parcels) > 0
        assert status.last is not None and not status.last.ok

    def test_after_failures_it_is_left_alone_and_then_one_tries(
        self, endpoint: TrialEndpoint, destination: Destination, clock: ManualClock
    ) -> None:
        endpoint.away()
        self.fail(destination)
        assert destination.room() == 0 and not is_open(destination), "it is asked on and on"
        assert destination.status().opens_at > clock.now() and destination.status().why
        assert not self.sent(destination, 1_000)[0].began, "it is tried on probation"
        clock.advance(PROBATION_S)
        assert destination.room() == 1 and is_open(destination), "it is never tried again"
        first, second = self.sent(destination, 1_001, 1_002)
        assert [bool(answer.began) for answer in (first, second)] == [True, False], "more than one tries"
        assert destination.room() == 0
        endpoint.back()
        for n in range(100):  # an endpoint may need a while to come back
            clock.advance(PROBATION_S)
            if destination.room() and self.sent(destination, 1_003 + n)[0].ok:
                break
            time.sleep(0.1)
        status = destination.status()
        assert destination.room() > 1 and is_open(destination) and not status.why, f"it never came back: {status}"

    def test_closed_it_settles_nothing_more(self, endpoint: TrialEndpoint, destination: Destination) -> None:
        endpoint.away()
        told, parcels = SettledParcels(), self.parcels(*range(20))
        destination.send(parcels, told)
        destination.close()
        assert destination.room() == 0
        time.sleep(NOTHING_S)  # what was being told when it was closed
        before = len(told.parcels)
        endpoint.back()
        destination.send(self.parcels(21), told)
        time.sleep(NOTHING_S)
        assert len(told.parcels) == before, "it told of a parcel after it was closed"

    def fail(self, destination: Destination) -> None:
        deadline, n = time.monotonic() + PATIENCE_S, 2_000
        while destination.room() and time.monotonic() < deadline:
            self.sent(destination, *range(n, n + min(10, destination.room())))
            n += 10

    def sent(self, destination: Destination, *ids: int) -> list[Answer]:
        told, parcels = SettledParcels(), self.parcels(*ids)
        destination.send(parcels, told)
        told.check(parcels)
        return list(map(answer_of, parcels))


class SettledParcels:
    """What ``settled`` was called with."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.threads: set[int] = set()
        self._lock = Lock()

    def __call__(self, parcel: Parcel) -> None:
        assert parcel.answer is not None
        with self._lock:
            self.parcels.append(parcel)
            self.threads.add(get_ident())

    def check(self, parcels: Sequence[Parcel]) -> None:
        """That each is told of once, sooner or later."""
        until(lambda: len(self.parcels) >= len(parcels))
        ids = sorted(parcel.id for parcel in self.parcels)
        assert ids == sorted(parcel.id for parcel in parcels), f"{len(ids)} of {len(parcels)} were settled, or twice"


def send_all(destination: Destination, parcels: Sequence[Parcel], told: Callable[[Parcel], None]) -> None:
    """As there is room."""
    left = list(parcels)
    while left:
        until(lambda: destination.room() > 0)
        some, left = left[: destination.room()], left[destination.room() :]
        destination.send(some, told)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.005)


def is_open(destination: Destination) -> bool:
    """Asked anew each time: it changes without anybody's assignment."""
    return destination.open


def answer_of(parcel: Parcel) -> Answer:
    assert parcel.answer is not None, f"{parcel.id} has no answer"
    return parcel.answer
