"""A topic as Kafka has it: what its declaration must fit, its settings on the brokers, and the record that keeps it."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec
import pyarrow as pa
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not marked as exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from ....batch import TopicSpec
from ....errors import DeclarationError
from ....schema.decode import Decoder
from ...broker_limits import NAME, NAME_LIMIT_CHARS
from ..cluster.client import ask
from ..cluster.event_hubs import BATCH_LIMIT_BYTES, ClusterLimits

FOREVER = "-1"


def check_limits(topic: TopicSpec, name: str, limits: ClusterLimits) -> None:
    """``name``: the topic's on the cluster. Raises ``DeclarationError`` for what the cluster does not take."""
    if not NAME.issuperset(name) or len(name) > NAME_LIMIT_CHARS or name in (".", ".."):
        raise DeclarationError(
            f"topic '{topic.name}': on Kafka a name has up to {NAME_LIMIT_CHARS} letters, digits, '.', '_' and '-'"
        )
    if limits.partitions is not None and topic.partitions > limits.partitions:
        raise DeclarationError(
            f"topic '{topic.name}': partitions={topic.partitions}, and an event hub of the Standard tier has "
            f"{limits.partitions} at most; on a higher one put transactions=yes into --log"
        )


def check_form(topic: TopicSpec) -> None:
    """Raises ``DeclarationError`` for columns that its encoding has no form for."""
    if topic.encoding == "json":
        try:
            Decoder(topic.schema)
        except TypeError as error:
            raise DeclarationError(f"topic '{topic.name}': {error}, so it needs encoding=\"arrow\"") from None


def configured(topic: TopicSpec) -> dict[str, str]:
    """A topic's settings on the brokers. Kafka's limit of bytes is one partition's, ours the topic's."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": FOREVER if topic.retain_us is None else str(max(topic.retain_us // 1_000, 1)),
        "retention.bytes": FOREVER if topic.retain_bytes is None else str(topic.retain_bytes // topic.partitions),
        "max.message.bytes": str(BATCH_LIMIT_BYTES),  # whatever is sent fits, also where a cluster's own limit is lower
        # The broker's clock, not the publisher's: one host with a wrong clock could have everything expire.
        "message.timestamp.type": "LogAppendTime",
    }


def settings_of(admin: AdminClient, name: str) -> dict[str, str]:
    """Those of a topic on the cluster, with what it takes from the brokers."""
    resource = ConfigResource(ResourceType.TOPIC, name)
    (found,) = ask("ask for a topic's settings", lambda: admin.describe_configs([resource])).values()
    return {setting: str(entry.value) for setting, entry in found.items()}


def set_on(admin: AdminClient, name: str, settings: Mapping[str, str], doing: str) -> None:
    """``doing``: what for, as an error says it."""
    entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in settings.items()]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    ask(doing, lambda: admin.incremental_alter_configs([resource]))


def encoded(topic: TopicSpec) -> bytes:
    plain = {
        "name": topic.name,
        "schema": base64.b64encode(topic.schema.serialize()).decode(),
        "partitions": topic.partitions,
        "key": topic.key,
        "retain_us": topic.retain_us,
        "retain_bytes": topic.retain_bytes,
        "dedupe_us": topic.dedupe_us,
        "encoding": topic.encoding,
        "source": topic.source,
    }
    if topic.domain:  # so that an older version reads the declarations of all others
        plain["domain"] = True
    return msgspec.json.encode(plain)


def decoded(value: bytes) -> TopicSpec:
    plain = msgspec.json.decode(value)
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(plain.pop("schema"))))
    return TopicSpec(schema=schema, **plain)
