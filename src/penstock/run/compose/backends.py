"""Which backend each interface gets. The only module that names them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from ...clock import Clock
from ...errors import CannotStart, install
from ...log.embedded import EmbeddedLog
from ...log.interface import Alter, Log, LogInspection, Offsets
from ...models.artifacts import LIMIT_BYTES, Artifacts
from ...models.shared import SharedArtifacts
from ...objects.folder import Folder
from ...objects.interface import Objects
from ...plan.plan import Plan
from ...runner.child import ChildRunner
from ...settings import Settings
from ..directory import DataDirectory

BUCKETS = ("s3", "gs", "az")
ELSEWHERE = (
    "it was registered on another host: start every host with the same --artifacts URL, such as "
    "s3://BUCKET/models, beginning with the host that has it"
)


class AppLog(Log, LogInspection, Offsets, Alter, Protocol):
    """What an app stands on: a log that an operator can look into, and change."""


def open_log(directory: DataDirectory, clock: Clock, settings: Settings, url: str = "", slot: str = "") -> AppLog:
    """``url``: of a cluster; else the log is in the directory. Raises ``LogUnusable``, ``CannotStart``.

    ``slot``: of a child of the supervisor, who starts the next one in it only when the one before is dead.
    """
    if not url:
        before = os.umask(0o077)  # SQLite has no say of its own in the mode of its files
        try:
            return EmbeddedLog(directory.root, clock=clock, settings=settings)
        finally:
            os.umask(before)
    try:
        from ...log.kafka.cluster.address import Address
        from ...log.kafka.log import KafkaLog
    except ImportError as error:
        raise CannotStart(f"--log {url} needs the Kafka client: {install('kafka')} ({error})") from None
    return KafkaLog(Address.parse(url), clock=clock, settings=settings, slot=slot or None)


def open_artifacts(
    directory: DataDirectory, url: str = "", *, several_hosts: bool = False, limit: int = LIMIT_BYTES
) -> Artifacts:
    """``url``: of object storage that hosts share; else they are in the directory. Raises ``CannotStart``."""
    if url:
        return SharedArtifacts(directory.cache, open_objects(url), limit=limit)
    return Artifacts(directory.artifacts, limit=limit, hint=ELSEWHERE if several_hosts else "")


def open_objects(url: str) -> Objects:
    """``file:///FOLDER`` or a bucket. Asks nothing of it yet. Raises ``CannotStart``."""
    where = urlsplit(url)
    if "@" in where.netloc or where.query or where.fragment:
        raise CannotStart(
            "--artifacts holds more than a place: everybody on this machine can read it; credentials come from the "
            "environment, such as AWS_ACCESS_KEY_ID"
        )
    if where.scheme == "file" and not where.netloc and where.path.startswith("/"):
        return Folder(Path(unquote(where.path)))
    if where.scheme not in BUCKETS or not where.netloc:
        raise CannotStart(f"{url}: no such storage; there are file:///FOLDER and s3://, gs:// or az://BUCKET[/FOLDER]")
    try:
        from ...objects.cloud import Cloud
    except ImportError as error:
        raise CannotStart(f"{url} needs obstore: {install('objects')} ({error})") from None
    return Cloud.at(url)


def child_runner(plan: Plan, settings: Settings, stage: str, with_app: bool) -> ChildRunner:
    return ChildRunner(plan if with_app else None, settings=settings, name=stage)
