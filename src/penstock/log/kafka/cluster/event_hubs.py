"""Azure Event Hubs: how to reach a namespace, and what it takes less of than Kafka.

Tiers differ, and the protocol does not tell which one answers; the limits here are those of Standard, the smallest that
speaks Kafka's protocol. ``docs/decisions/0008-event-hubs.md`` says what follows from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ....errors import CannotStart
from ...broker_limits import HUB_PARTITIONS, HUB_RECORD_LIMIT_BYTES
from .security import secret, trusted

DOMAIN = ".servicebus.windows.net"
USER = "$ConnectionString"
RECORD_LIMIT_BYTES = 1 << 20  # bytes of one record; what Kafka takes unless told otherwise is a little more
BATCH_LIMIT_BYTES = RECORD_LIMIT_BYTES + (64 << 10)  # bytes of the records that are sent together
_AZURE = (".servicebus.windows.net", ".servicebus.chinacloudapi.cn", ".servicebus.usgovcloudapi.net")


@dataclass(frozen=True, slots=True)
class ClusterLimits:
    """What a cluster takes. ``record``: bytes; ``partitions``: of one topic; ``session``: seconds, the shortest time
    after which a silent member may be put out; ``topic_settings``: whether a client may say how long a topic is kept;
    ``producer``: what librdkafka's producers are told beside the rest."""

    record: int = RECORD_LIMIT_BYTES
    partitions: int | None = None
    session: float = 0.0
    topic_settings: bool = True
    producer: Mapping[str, str] = field(default_factory=dict)


KAFKA = ClusterLimits()
# How long events are kept is the hub's own.
EVENT_HUBS = ClusterLimits(
    record=HUB_RECORD_LIMIT_BYTES,
    partitions=HUB_PARTITIONS,
    session=6.0,
    topic_settings=False,
    producer={"compression.type": "none", "message.max.bytes": "1040000"},
)


def hub_limits(transactional: bool) -> ClusterLimits:
    """Only tiers above Standard take transactions, and they have more partitions."""
    return replace(EVENT_HUBS, partitions=None) if transactional else EVENT_HUBS


def namespace_host(hosts: str) -> str:
    """A namespace's name is enough; a whole host name is taken as it is. The port of its Kafka end is 9093."""
    if "," in hosts or hosts.startswith("[") or ":" in hosts:
        return hosts
    return f"{hosts}:9093" if "." in hosts else f"{hosts}{DOMAIN}:9093"


def connection(where: str, brokers: str, options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """librdkafka's settings for a namespace. Raises ``CannotStart``."""
    if given := [name for name in ("security", "mechanism", "cert", "key") if name in options]:
        raise CannotStart(
            f"{where}: Event Hubs leaves no choice of {', '.join(given)}: it is SASL_SSL with PLAIN, or "
            "with the tokens of identity="
        )
    if "identity" in options:
        return {"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER", **trusted(where, options)}
    string = secret("EVENTHUBS_CONNECTION_STRING", environ)
    if not string:
        raise CannotStart(
            f"{where}: needs the namespace's connection string as EVENTHUBS_CONNECTION_STRING in the environment, "
            "or the name of a file that holds it as EVENTHUBS_CONNECTION_STRING_FILE, or identity=CLIENT_ID, a managed "
            "identity's"
        )
    parts = dict(part.split("=", 1) for part in string.split(";") if "=" in part)
    if missing := [name for name in ("Endpoint", "SharedAccessKeyName", "SharedAccessKey") if not parts.get(name)]:
        raise CannotStart(
            f"{where}: EVENTHUBS_CONNECTION_STRING lacks {', '.join(missing)}; it looks like "
            "Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…"
        )
    if "EntityPath" in parts:
        raise CannotStart(
            f"{where}: EVENTHUBS_CONNECTION_STRING is that of one event hub, '{parts['EntityPath']}'; Penstock has "
            "several, so it needs one of the namespace (without EntityPath)"
        )
    _check_same(where, brokers, parts["Endpoint"])
    return {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "PLAIN",
        "sasl.username": USER,
        "sasl.password": string,
        **trusted(where, options),
    }


def _check_same(where: str, brokers: str, endpoint: str) -> None:
    """Between two of Azure's own names the difference is a mistake; a private one may be any."""
    host = brokers.rpartition(":")[0].lower()
    other = endpoint.removeprefix("sb://").rstrip("/").lower()
    if host != other and host.endswith(_AZURE) and other.endswith(_AZURE):
        raise CannotStart(f"{where}: EVENTHUBS_CONNECTION_STRING is that of {other}")
