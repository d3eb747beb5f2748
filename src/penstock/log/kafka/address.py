"""Which cluster, and how to talk to it: what ``--log kafka://…`` says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ...errors import CannotStart

FORM = "kafka://HOST:PORT[,HOST:PORT…][/NAMESPACE][?replication=3&security=…]"
NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(frozen=True, slots=True)
class Address:
    """``namespace`` begins every topic's, group's and transaction's name, so that several apps share a cluster.

    ``replication``: replicas of the topics that Penstock creates; -1 leaves it to the cluster. ``client`` is what
    librdkafka is told beyond the brokers: security.
    """

    brokers: str
    namespace: str = ""
    replication: int = -1
    client: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str, environ: Mapping[str, str] | None = None) -> Address:
        """Raises ``CannotStart`` for what is not such a URL. Credentials come from the environment, never from here."""
        parts = urlsplit(url)
        if parts.scheme != "kafka" or not parts.netloc:
            raise CannotStart(f"--log {url}: expected {FORM}")
        if "@" in parts.netloc:
            raise CannotStart(
                "--log: a URL is seen by everybody on this machine; "
                "give the user and the password as KAFKA_USER and KAFKA_PASSWORD"
            )
        namespace = unquote(parts.path.strip("/"))
        if not NAME.issuperset(namespace):
            raise CannotStart(f"--log {url}: the namespace {namespace!r} may hold letters, digits, '.', '_' and '-'")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        replication = _number(url, options.pop("replication", "-1"))
        client = _security(url, options, os.environ if environ is None else environ)
        if options:
            raise CannotStart(f"--log {url}: no such option: {', '.join(options)}; expected {FORM}")
        return cls(_brokers(url, parts), f"{namespace}." if namespace else "", replication, client)


def _brokers(url: str, parts: SplitResult) -> str:
    brokers = []
    for each in parts.netloc.split(","):
        host, _, port = each.rpartition(":") if ":" in each and not each.endswith("]") else (each, "", "9092")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise CannotStart(f"--log {url}: '{each}' is not HOST:PORT")
        brokers.append(f"{host}:{port}")
    return ",".join(brokers)


def _number(url: str, text: str) -> int:
    if text != "-1" and not (text.isdecimal() and int(text) > 0):
        raise CannotStart(f"--log {url}: replication={text} is not a number of replicas")
    return int(text)


def _security(url: str, options: dict[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """librdkafka's settings for TLS and SASL.

    ``security``: ``plaintext`` (the default), ``ssl``, ``sasl_plaintext`` or ``sasl_ssl``; ``mechanism``: ``PLAIN``
    (the default), ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``; ``ca``: a file with the certificates to trust.
    """
    security = options.pop("security", "plaintext")
    if security not in ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"):
        raise CannotStart(f"--log {url}: security={security} is none of plaintext, ssl, sasl_plaintext, sasl_ssl")
    client = {"security.protocol": security}
    if authority := options.pop("ca", ""):
        client["ssl.ca.location"] = authority
    mechanism = options.pop("mechanism", "PLAIN")
    if not security.startswith("sasl"):
        return client
    if mechanism not in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        raise CannotStart(f"--log {url}: mechanism={mechanism} is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512")
    user, password = environ.get("KAFKA_USER"), environ.get("KAFKA_PASSWORD")
    if not user or not password:
        raise CannotStart(f"--log {url}: security={security} needs KAFKA_USER and KAFKA_PASSWORD in the environment")
    return client | {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password}
