"""A whole gateway over the log in memory, driven in-process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from penstock import tokens
from penstock.access.audit import AUDIT_TOPIC, Audit
from penstock.batch import SYSTEM, AppendResult, Batch, TopicSpec, Write
from penstock.clock import SystemClock
from penstock.errors import Busy
from penstock.gateway.app import Gateway
from penstock.gateway.catching.catcher import Catcher
from penstock.gateway.services import GatewayServices
from penstock.log.memory import MemoryLog
from penstock.models.artifacts import Artifacts
from penstock.plan.plan import FunctionSpec, ModelSpec, Plan, ScoreSpec
from penstock.run.compose.bootstrap import open_registry
from penstock.settings import Settings
from penstock.stages.failures.dead import DEAD_TOPIC
from penstock.stages.ingest.group_commit import Ingest

FLIGHT = pa.schema(
    [
        pa.field("flight", pa.int64(), nullable=False),
        pa.field("tail", pa.string(), nullable=False),
        pa.field("delay", pa.float64(), nullable=True, metadata={"penstock": '{"default": null}'}),
    ]
)
DELAY = pa.schema([pa.field("arr_delay", pa.float64(), nullable=False)])
TOPICS = (
    TopicSpec("flights", FLIGHT, partitions=4, key="tail"),
    TopicSpec("notes", partitions=2),
    TopicSpec("once", FLIGHT, partitions=4, key="tail", dedupe_us=600_000_000),
    TopicSpec("features", FLIGHT, partitions=4),
    TopicSpec("delays", DELAY, partitions=4),
    TopicSpec("island", DELAY, partitions=1),
    TopicSpec("strict", FLIGHT, partitions=1, extra="reject"),
)
INTERNAL = (TopicSpec(SYSTEM, partitions=1), DEAD_TOPIC)
PLAN = Plan(
    app="airport",
    target="",
    code="c0de",
    topics=TOPICS,
    stages=(
        FunctionSpec("prepare", "flights", "features", "frame"),
        ScoreSpec("score", "features", "delays", "delay"),
    ),
    models=(ModelSpec("delay", ("arr_delay",)),),
)
EVENT = {"flight": 1, "tail": "N1", "delay": 2.5}

Append = Callable[[Sequence[Write]], Sequence[AppendResult]]


async def nobody(model: str, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, str]:
    raise Busy("no worker is running yet")


class House:
    """The rooms, and how to look into them."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        ask: Any = nobody,
        *,
        elsewhere: bool = False,
        catcher: Catcher | None = None,
        sas_secret: bytes | None = None,
    ) -> None:
        """``sas_secret``: with one the doors want keys."""
        self.log = MemoryLog()
        for spec in (*TOPICS, *INTERNAL):
            self.log.create(spec)
        self.failed: list[bool] = []
        clock = SystemClock()
        (folder / "status").mkdir(parents=True, exist_ok=True)
        self.services = GatewayServices(
            plan=PLAN,
            log=self.log,
            ingest=Ingest(self.log, TOPICS, settings, clock, lambda: self.failed.append(True)),
            registry=open_registry(self.log, clock, "view"),
            artifacts=Artifacts(folder / "artifacts"),
            ask=ask,
            status=folder / "status",
            token=folder / "token",
            settings=settings,
            clock=clock,
            elsewhere=elsewhere,
            catcher=catcher,
        )
        if sas_secret is not None:
            self.log.create(AUDIT_TOPIC)
            audit = Audit(self.log, clock, "gateway")
            self.services = replace(self.services, audit=audit, sas_secret=sas_secret)
        self.secret = tokens.make(self.services.token)
        self.gateway = Gateway(self.services)
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.gateway, raise_app_exceptions=True), base_url="http://127.0.0.1"
        )

    def stored(self, topic: str) -> list[Batch]:
        reader = self.log.reader(None, [topic], "test")
        found: list[Batch] = []
        while batches := reader.read(100_000, 0):
            found += batches
        return found

    def count(self) -> int:
        """Events in all of the topics together."""
        return sum(s.events for t in (*TOPICS, *INTERNAL) for s in self.log.partitions(t.name))

    async def close(self) -> None:
        await self.http.aclose()
        await self.gateway.close()


OpenHouse = Callable[..., Any]


@pytest.fixture
def house(tmp_path: Path) -> OpenHouse:
    @asynccontextmanager
    async def opened(
        settings: Settings | None = None, ask: Any = nobody, *, elsewhere: bool = False
    ) -> AsyncIterator[House]:
        made = House(tmp_path, settings or Settings(), ask, elsewhere=elsewhere)
        try:
            yield made
        finally:
            await made.close()

    return opened


Asked = Callable[[str, pa.RecordBatch], Awaitable[tuple[pa.RecordBatch, str]]]
