"""Kafka as the pods reach it: what its URL says, and the topics that whoever runs the brokers makes there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from ...errors import DeclarationError
from ...log.broker_limits import NAME, NAMESPACE_LIMIT_CHARS
from ..requirements import RequiredLog, Requirements

FORM = "kafka://HOST:PORT[,HOST:PORT…][/PREFIX][?security=…&mechanism=…]"
SASL: Mapping[str, str] = {"PLAIN": "plaintext", "SCRAM-SHA-256": "scram_sha256", "SCRAM-SHA-512": "scram_sha512"}
"""The mechanisms with a user and a password, and what KEDA calls them."""

CA = "/etc/penstock/kafka/ca.pem"
"""Where the certificates of the authorities to trust lie in a pod."""

RECORDS_LIMIT_BYTES = (1 << 20) + (64 << 10)  # bytes of the records that are sent together

_SECURITY = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_OPTIONS = ("replication", "wait", "transactions", "security", "mechanism")  # those with a file are arguments here
_BROKER = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """``url``: for ``--log``; ``brokers`` with their ports; ``prefix``: begins the name of every topic, group and
    transaction, with the dot that follows it."""

    url: str
    brokers: tuple[str, ...]
    prefix: str
    security: str
    mechanism: str

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(sorted({int(broker.rpartition(":")[2]) for broker in self.brokers}))

    @property
    def has_credentials(self) -> bool:
        return self.security.startswith("sasl")

    @property
    def has_tls(self) -> bool:
        return self.security.endswith("ssl")

    @property
    def is_transactional(self) -> bool:
        return "transactions=no" not in self.url.partition("?")[2].split("&")


@dataclass(frozen=True, slots=True)
class ClusterTopic:
    """A topic to make: its settings are those that Penstock would give it."""

    name: str
    partitions: int
    settings: Mapping[str, str]

    @property
    def command(self) -> str:
        config = "".join(f" --config {name}={value}" for name, value in self.settings.items())
        return f"kafka-topics.sh --create --topic {self.name} --partitions {self.partitions}{config}"


def cluster_of(url: str, app: str, *, with_ca: bool = False) -> KafkaCluster:
    """``app``: the prefix of a URL that has none. ``with_ca``: the authorities to trust are given beside it.

    Raises ``DeclarationError`` for a URL that says what no pod could do, or what does not belong into one.
    """
    if "@" in url:
        raise DeclarationError("log: a URL is seen by everybody; credentials are given as kafka_credentials=")
    scheme, found, rest = url.partition("://")
    hosts, _, query = rest.partition("?")
    hosts, _, path = hosts.partition("/")
    if scheme != "kafka" or not found or not hosts:
        raise DeclarationError(f"log: '{scheme}://{hosts}' is no Kafka that pods reach: write {FORM}")
    options = _options(query)
    security, mechanism = options.get("security", "plaintext"), options.get("mechanism", "PLAIN")
    _check_options(options, security, mechanism, with_ca)
    prefix = unquote(path.rstrip("/")) or app
    if not NAME.issuperset(prefix) or len(prefix) > NAMESPACE_LIMIT_CHARS:
        raise DeclarationError(
            f"log: '{prefix}' begins names on Kafka, which have letters, digits, '.', '_' and '-': write another, "
            f"{NAMESPACE_LIMIT_CHARS} characters at most"
        )
    if with_ca:
        options["ca"] = CA
    asked = "&".join(f"{name}={value}" for name, value in options.items())
    whole = f"kafka://{hosts}/{prefix}" + (f"?{asked}" if asked else "")
    return KafkaCluster(whole, tuple(map(_broker, hosts.split(","))), f"{prefix}.", security, mechanism)


def topics_of(needed: Requirements, cluster: KafkaCluster) -> Iterator[ClusterTopic]:
    """Penstock's own and the app's."""
    for log in needed.logs:
        yield ClusterTopic(f"{cluster.prefix}{log.name}", log.partitions, _settings(log))


def _settings(log: RequiredLog) -> dict[str, str]:
    """Kafka's limit of bytes is one partition's, ours the topic's."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1" if log.retain_us is None else str(max(log.retain_us // 1_000, 1)),
        "retention.bytes": "-1" if log.retain_bytes is None else str(log.retain_bytes // log.partitions),
        "max.message.bytes": str(RECORDS_LIMIT_BYTES),
        "message.timestamp.type": "LogAppendTime",
    }


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        if name in ("ca", "cert", "key"):
            mend = "give the PEM itself as kafka_ca=" if name == "ca" else "use a user and a password"
            raise DeclarationError(f"log: {name}= names a file, and a pod has none of yours: {mend}")
        if name not in _OPTIONS or not value or name in options:
            raise DeclarationError(f"log: '{part}' is no option, or given twice: there are {', '.join(_OPTIONS)}")
        options[name] = value
    return options


def _check_options(options: Mapping[str, str], security: str, mechanism: str, with_ca: bool) -> None:
    if security not in _SECURITY:
        raise DeclarationError(f"log: security={security} is none of {', '.join(_SECURITY)}")
    if "mechanism" in options and not security.startswith("sasl"):
        raise DeclarationError(f"log: mechanism= is of no use with security={security}: write sasl_ssl, or leave it")
    if security.startswith("sasl") and mechanism not in SASL:
        raise DeclarationError(f"log: mechanism={mechanism} cannot be given to pods yet: there are {', '.join(SASL)}")
    if with_ca and not security.endswith("ssl"):
        raise DeclarationError(f"kafka_ca is of no use with security={security}: write security=ssl or sasl_ssl")


def _broker(text: str) -> str:
    found = _BROKER.fullmatch(text)
    port = found and int(found[1] or 9092)
    if not port or port > 65_535:
        raise DeclarationError(f"log: '{text}' is not HOST:PORT")
    return text if found and found[1] else f"{text}:{port}"
