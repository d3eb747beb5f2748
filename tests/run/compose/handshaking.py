"""A courier, a receiver on loopback and the owner of the system, for handshakes from the plan to the receiver."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa
from tests.destinations.webhook.receivers import Receiver, receiving, status
from tests.stages.deliver.handshakes.owner import Owner

from penstock.batch import TopicSpec, Write
from penstock.clock import ManualClock
from penstock.destinations.webhook.courier import Courier
from penstock.log.memory import MemoryLog
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.run.compose.bootstrap import all_topics
from penstock.run.compose.deliveries import CourierComposition
from penstock.settings import Settings
from penstock.stages.deliver.handshakes.asking import AGAIN_S
from penstock.stages.deliver.subscriptions import Subscription

IN = TopicSpec("in", pa.schema([pa.field("n", pa.int64(), nullable=False)]))
PUBLIC = "https://events.example.com/penstock"
WAIT_S = 20.0  # seconds for something on loopback, on a machine with other work

Answers = Callable[["Asked"], bytes]


class Asked:
    """A request as a receiver reads it."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.headers = line.partition(" ")[0], headers
        self.events: list[dict[str, Any]] = json.loads(body) if body.startswith(b"[") else []
        self.body = body

    @property
    def is_handshake(self) -> bool:
        return self.method == "OPTIONS" or self.headers.get("aeg-event-type") == "SubscriptionValidation"

    @property
    def code(self) -> str:
        return str(self.events[0]["data"]["validationCode"])


def answers(handshake: Answers) -> Callable[[Receiver, Any], None]:
    """Handshakes as told, and events with 200."""

    def behave(receiver: Receiver, connection: Any) -> None:
        while (request := receiver.read(connection)) is not None:
            asked = Asked(request.line, request.headers, request.body)
            connection.sendall(handshake(asked) if asked.is_handshake else status(200))

    return behave


def echo(asked: Asked) -> bytes:
    return status(200, body=json.dumps({"validationResponse": asked.code}).encode())


def allow(*lines: str, code: int = 200) -> Answers:
    return lambda _: status(code, *lines)


class House:
    """One courier and the owner, over a log; the time of both is moved by hand, and requests are real."""

    def __init__(
        self,
        receiver: Receiver,
        courier: Courier,
        log: MemoryLog,
        clock: ManualClock,
        public: str = PUBLIC,
        **spec: Any,
    ) -> None:
        self.receiver, self.log, self.clock = receiver, log, clock
        given = {"format": "eventgrid" if spec.get("handshake") == "eventgrid" else "cloudevents"} | spec
        url = given.pop("url", receiver.url)
        self.spec = SubscriptionSpec("s", "in", url, allow_http=True, allow_private=True, start="earliest", **given)
        plan = Plan("shop", "", "", (IN,), subscriptions=(self.spec,))
        for topic in all_topics(plan):
            log.create(topic)
        settings = replace(Settings(), public_url=public)
        self.composition = CourierComposition(plan, log, clock, settings, "courier", courier.open)
        self.owner = Owner(log, clock)
        self.handshakes = self.composition.handshakes()

    @property
    def subscription(self) -> Subscription:
        return self.composition.subscriptions["s"]

    def publish(self, *numbers: int) -> None:
        self.log.append([Write("in", 0, pa.record_batch([pa.array(numbers, pa.int64())], schema=IN.schema))])

    def turn(self) -> None:
        self.composition.look_at_halted()
        self.handshakes.look()
        self.owner.answer()
        for line in self.composition.lines:
            line.pump.step(0.0)

    def until(self, done: Callable[[], bool]) -> None:
        """Turns, and the time that goes by between two tries."""
        deadline = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < deadline, f"{self.owner.known()} after {len(self.receiver.requests)} requests"
            self.turn()
            if not self.handshaking:
                self.clock.advance(AGAIN_S)
            time.sleep(0.005)

    @property
    def handshaking(self) -> bool:
        """A request is under way."""
        return any(a.attempt is not None and a.attempt.asking for a in self.composition.asked)

    def until_step(self, *steps: str) -> str:
        self.until(lambda: self.owner.step() in steps)
        found = self.owner.step()
        assert found is not None
        return found

    def received(self) -> list[Asked]:
        return [Asked(r.line, r.headers, r.body) for r in self.receiver.requests]

    def events(self) -> list[Asked]:
        return [asked for asked in self.received() if not asked.is_handshake]

    def close(self) -> None:
        self.composition.close()
        self.owner.close()


@contextmanager
def house(courier: Courier, behave: Callable[[Receiver, Any], None], **given: Any) -> Iterator[House]:
    with receiving(behave) as receiver:
        clock = ManualClock()
        found = House(receiver, courier, given.pop("log", None) or MemoryLog(clock), clock, **given)
        try:
            yield found
        finally:
            found.close()


def check_it_ends(courier: Courier, behave: Callable[[Receiver, Any], None], step: str, **given: Any) -> None:
    """Three events are there before; none goes out unless it is granted, and then all."""
    with house(courier, behave, **given) as here:
        here.publish(1, 2, 3)
        found = here.until_step("granted", "awaiting", "failed")
        first = here.received()[0]
        assert first.is_handshake, "an event came before the handshake"
        assert found == step, f"{found}: {here.owner.known()}"
        if step == "granted":
            here.until(lambda: len(here.events()) >= 3)
            assert len(here.events()) == 3, "an event came twice"
        else:
            for _ in range(10):
                here.turn()
            assert not here.events(), "an event came though it was not granted"
