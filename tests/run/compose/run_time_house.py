"""A courier over a log in memory, with the owner of the system, on a clock moved by hand; endpoints are desks."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pyarrow as pa
from tests.stages.deliver.outside import Desk, Endpoint

from penstock.batch import DEAD, SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.destinations.webhook.endpoint import Endpoint as WebhookEndpoint
from penstock.log.memory import MemoryLog
from penstock.plan.plan import Plan
from penstock.plan.run_time import PrivateParts, RunTimeSubscription
from penstock.run.compose.bootstrap import all_topics, every_area
from penstock.run.compose.deliveries import CourierComposition
from penstock.settings import Settings
from penstock.stages.deliver.run_time.messages import DeleteSubscription, PutSubscription
from penstock.stages.deliver.run_time.rules import put_rules
from penstock.stages.deliver.run_time.state import RunTimeState
from penstock.system.messages import Command, Refused, to_rows
from penstock.system.owner import answer
from penstock.system.view import View

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])
PLAN = Plan(
    "shop",
    "",
    "",
    (TopicSpec("scores", NUMBERS, partitions=2), TopicSpec("orders", NUMBERS, partitions=1)),
    open_to_subscriptions=True,
)


class AskedDesk(Desk):
    def __init__(self, endpoint: Endpoint, clock: ManualClock) -> None:
        super().__init__(endpoint, Random(1), clock)
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self.under_way = []


class RunTimeHouse:
    def __init__(self, plan: Plan = PLAN, settings: Settings | None = None) -> None:
        self.plan, self.clock, self.settings = plan, ManualClock(), settings or Settings()
        self.log = MemoryLog(self.clock)
        for topic in all_topics(plan):
            self.log.create(topic)
        self.endpoints: dict[str, Endpoint] = {}  # by host
        self.desks: list[AskedDesk] = []
        self.owner = View(self.log, every_area(), self.clock, "owner")
        self.owner.areas.only(RunTimeState).rules = put_rules(plan, self.log, self.settings)
        self._asked = self.log.reader(None, [SYSTEM], "owner")
        self._ids = 0
        self.courier = self.begin()

    def begin(self, member: str = "courier") -> CourierComposition:
        return CourierComposition(self.plan, self.log, self.clock, self.settings, member, self._open)

    def _open(self, endpoint: WebhookEndpoint) -> Any:
        host = endpoint.place.removeprefix("https://")
        desk = AskedDesk(self.endpoints.setdefault(host, Endpoint()), self.clock)
        self.desks.append(desk)
        return desk

    def kill(self) -> None:
        """What the courier had in hand is gone; its members leave no word, and another begins."""
        for line in self.courier.lines:
            line.pump._reader.close()
        self.desks.clear()
        self.courier = self.begin()

    # -- the owner's ----------------------------------------------------------

    def ask(self, *commands: Command) -> list[Refused]:
        self.log.append([Write(SYSTEM, 0, to_rows(commands))])
        refused: list[Refused] = []
        for batch in self._asked.read(1_000_000, 0.0):
            self.owner.refresh()
            events, _ = answer(self.owner.areas, batch.rows, now=self.clock.now())
            refused += [event for event in events if isinstance(event, Refused)]
            if events:
                self.log.append([Write(SYSTEM, 0, to_rows(events))])
        self.owner.refresh()
        return refused

    def put_command(self, name: str, source: str = "scores", **more: Any) -> PutSubscription:
        self._ids += 1
        host = more.pop("host", name)
        wanted = RunTimeSubscription(
            name=name, source=source, private=PrivateParts(f"https://{host}.example.com/in"), **more
        )
        return PutSubscription(id=f"c{self._ids}", put=wanted, by="test")

    def put(self, name: str, source: str = "scores", **more: Any) -> list[Refused]:
        return self.ask(self.put_command(name, source, **more))

    def delete(self, name: str) -> list[Refused]:
        self._ids += 1
        return self.ask(DeleteSubscription(id=f"c{self._ids}", subscription=name, by="test"))

    # -- the courier's --------------------------------------------------------

    def publish(self, numbers: Sequence[int], topic: str = "scores", partition: int = 0) -> None:
        rows = pa.record_batch([pa.array(list(numbers), pa.int64())], schema=NUMBERS)
        self.log.append([Write(topic, partition, rows)])

    def turn(self, seconds: float = 0.05, look: bool = True) -> None:
        if look:
            self.courier.look_at_halted()
        for line in list(self.courier.lines):
            line.pump.step(0.0)
        for desk in self.desks:
            desk.settle()
        self.clock.advance(seconds)

    def turns(self, count: int = 20, **more: Any) -> None:
        for _ in range(count):
            self.turn(**more)

    def got(self, host: str) -> list[int]:
        endpoint = self.endpoints.get(f"{host}.example.com", Endpoint())
        return sorted(int(body.split(":")[1].strip("} ")) for body in endpoint.got.elements())

    def dead(self) -> list[tuple[str, str]]:
        reader = self.log.reader(None, [DEAD], "test")
        rows = [row for batch in reader.read(100_000, 0.0) for row in batch.rows.to_pylist()]
        reader.close()
        return [(row["stage"], row["error"]) for row in rows]

    def close(self) -> None:
        self.courier.close()
        self.owner.close()
