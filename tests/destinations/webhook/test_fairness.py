"""Many lanes on one thread: none pays for another (EG21), and idle ones cost nothing."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable

import psutil
import pytest
from tests.destinations.webhook.conftest import lane_to, local
from tests.destinations.webhook.receivers import OK, Settled, answering, deliver, hang, parcel, receiving, status

from penstock.clock import SystemClock
from penstock.destinations.interface import Parcel
from penstock.destinations.webhook import courier as courier_module
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.lane import WebhookLane
from penstock.destinations.webhook.limits import Limits

FEW = Limits(connections=32, connect_s=5.0, answer_s=5.0)


ENOUGH_S = 2.0


def waits(healthy: WebhookLane) -> float:
    """The longest of some deliveries, in seconds, or the first one that is long."""
    slowest = 0.0
    for n in range(20):
        if slowest > ENOUGH_S:
            break
        began = time.monotonic()
        assert deliver(healthy, [parcel(str(n))])[0].ok
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def beside_hanging(couriers: Callable[..., Courier]) -> float:
    """How long a healthy lane waits beside more lanes that hang than there are connections."""
    courier = couriers(limits=FEW)
    with receiving(answering(OK)) as good, receiving(hang) as bad:
        healthy = lane_to(courier, good)
        deliver(healthy, [parcel()])
        for _ in range(100):
            lane_to(courier, bad).send([parcel(str(n)) for n in range(40)], Settled())
        time.sleep(0.3)
        return waits(healthy)


def test_lanes_that_hang_do_not_slow_a_healthy_one(couriers: Callable[..., Courier]) -> None:
    assert beside_hanging(couriers) < 1.5


def test_mutant_that_gives_connections_to_whoever_comes_is_caught(
    couriers: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Courier.__init__

    def unfair(self: Courier, *given: object, **named: object) -> None:
        make(self, *given, **named)  # type: ignore[arg-type]
        self._most = {True: FEW.connections, False: FEW.connections}

    monkeypatch.setattr(Courier, "__init__", unfair)
    with pytest.raises(AssertionError, match=r"assert \d+\.\d+ < 1\.5"):
        assert beside_hanging(couriers) < 1.5


def beside_slow(couriers: Callable[..., Courier]) -> float:
    """Beside lanes that answer well, and take two seconds for it."""
    courier = couriers(limits=FEW)
    with receiving(answering(OK)) as good, receiving(answering(OK)) as warm:
        healthy = lane_to(courier, good)
        deliver(healthy, [parcel()])
        with receiving(answering(OK, after=2.0)) as slow:
            lanes = [lane_to(courier, warm) for _ in range(4)]
            for lane in lanes:
                deliver(lane, [parcel()])
                lane.endpoint = local(slow)
                lane.send([parcel(str(n)) for n in range(100)], Settled())
            time.sleep(0.3)
            return waits(healthy)


def test_lanes_that_are_slow_leave_some_connections(couriers: Callable[..., Courier]) -> None:
    assert beside_slow(couriers) < 1.5


def test_mutant_that_lets_a_lane_take_what_is_free_is_caught(
    couriers: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "SHARE", 0.5)
    with pytest.raises(AssertionError, match=r"assert \d+\.\d+ < 1\.5"):
        assert beside_slow(couriers) < 1.5


def test_a_dead_endpoint_gets_no_more_than_its_probation_lets_through(couriers: Callable[..., Courier]) -> None:
    """One dead and nine healthy endpoints, each fed as fast as it takes."""
    courier = couriers()
    stop, settled = threading.Event(), Settled()
    with contextlib.ExitStack() as stack:
        dead = stack.enter_context(receiving(answering(status(500))))
        lanes = [lane_to(courier, stack.enter_context(receiving(answering(OK)))) for _ in range(9)]
        alone = [waits(lane) for lane in lanes]
        sick = lane_to(courier, dead)

        def feed() -> None:
            while not stop.is_set():
                if room := sick.room():
                    sick.send([parcel(str(n)) for n in range(room)], settled)
                time.sleep(0.001)

        feeding = threading.Thread(target=feed)
        feeding.start()
        beside = [waits(lane) for lane in lanes]
        stop.set()
        feeding.join()
        assert 10 <= len(dead.requests) <= 10 + FEW.connections
        assert statistics.median(beside) < 10 * statistics.median(alone) + 0.1
        assert sick.status().opens_at


def test_ten_thousand_idle_lanes_cost_nothing(couriers: Callable[..., Courier]) -> None:
    courier = couriers(SystemClock(), FEW)
    process = psutil.Process()
    with receiving(answering(OK)) as receiver:
        memory = process.memory_info().rss
        lanes = [lane_to(courier, receiver) for _ in range(10_000)]
        assert process.memory_info().rss - memory < 100 << 20
        for lane in lanes[::1_000]:
            assert deliver(lane, [parcel()])[0].ok
        before = process.cpu_times()
        time.sleep(1.0)
        after = process.cpu_times()
        assert after.user + after.system - before.user - before.system < 0.1
        assert sum(lane.room() > 0 for lane in lanes) == 10_000


def test_connections_that_are_kept_are_bounded(couriers: Callable[..., Courier]) -> None:
    """However many hosts there are."""
    courier = couriers(limits=FEW, resolver=lambda _host: ["127.0.0.1"])
    process = psutil.Process()
    with receiving(answering(OK)) as receiver:
        deliver(lane_to(courier, f"http://first.example:{receiver.port}/"), [parcel()])
        before = process.num_fds()
        for n in range(150):
            assert deliver(lane_to(courier, f"http://h{n}.example:{receiver.port}/"), [parcel()])[0].ok
        assert receiver.connections == 151
        assert process.num_fds() - before < 3 * FEW.connections  # both ends are here, and the far one is closed later


def test_many_lanes_at_once_all_arrive(couriers: Callable[..., Courier]) -> None:
    courier, settled = couriers(limits=FEW), Settled()
    with receiving(answering(OK)) as receiver:
        parcels: list[Parcel] = []
        for n in range(300):
            parcels.append(parcel(str(n)))
            lane_to(courier, receiver).send(parcels[-1:], settled)
        told = {settled.next().id for _ in parcels}
    assert told == {one.id for one in parcels}
    assert receiver.connections <= FEW.connections
