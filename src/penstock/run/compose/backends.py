"""Which backend each interface gets. The only module that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pyarrow as pa

from ...clock import Clock
from ...declare.plan import Plan
from ...errors import CannotStart
from ...log.embedded import EmbeddedLog
from ...log.interface import Inspect, Log
from ...models.artifacts import Artifacts
from ...models.interface import Signature
from ...runner.child import ChildRunner
from ...settings import Settings
from ...stages.register import GROUP
from ..directory import DataDirectory


class AppLog(Log, Inspect, Protocol):
    """What an app stands on: a log that an operator can look into."""


def open_log(directory: DataDirectory, clock: Clock, settings: Settings, url: str = "") -> AppLog:
    """``url``: of a cluster; else the log is in the directory. Raises ``LogUnusable``, ``CannotStart``."""
    if not url:
        return EmbeddedLog(directory.root, clock=clock, settings=settings)
    try:
        from ...log.kafka.address import Address
        from ...log.kafka.log import KafkaLog
    except ImportError as error:
        raise CannotStart(f"--log {url} needs the Kafka client: pip install 'penstock[kafka]' ({error})") from None
    return KafkaLog(Address.parse(url), clock=clock, settings=settings)


def open_artifacts(directory: DataDirectory) -> Artifacts:
    return Artifacts(directory.artifacts)


def child_runner(plan: Plan, settings: Settings, stage: str, with_app: bool) -> ChildRunner:
    kind = Fleeting if stage == GROUP else ChildRunner
    return kind(plan if with_app else None, settings=settings, name=stage)


class Fleeting(ChildRunner):
    """The registry looks at a model now and then; in between, a child that has loaded one would only hold memory."""

    def inspect(
        self, artifact: Path, *, name: str, inputs: pa.Schema | None, outputs: list[str], trusted: bool, timeout: float
    ) -> tuple[str, Signature]:
        try:
            return super().inspect(
                artifact, name=name, inputs=inputs, outputs=outputs, trusted=trusted, timeout=timeout
            )
        finally:
            self.close()
