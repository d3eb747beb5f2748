"""Which cluster, and how to talk to it: what ``--log kafka://…`` says.

A URL is seen by everybody on the machine and is kept in logs and shell histories. So credentials come from the
environment or from files that it names (``security.py``), and no message repeats the part of a URL where somebody may
have put one.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from ....errors import CannotStart
from ...broker_limits import GROUPLESS, NAME, NAMESPACE_LIMIT_CHARS
from .connection_errors import ConnectionErrors
from .event_hubs import KAFKA, ClusterLimits, connection, hub_limits, namespace_host
from .managed_identity import ManagedIdentity, managed_identity
from .security import OPTIONS as ACCESS
from .security import security

FORM = "kafka://HOST:PORT[,HOST:PORT…][/NAMESPACE][?OPTION=VALUE&…]"
HUBS_FORM = "kafka+eventhubs://NAMESPACE[/PREFIX][?OPTION=VALUE&…]"
OPTIONS = {
    "replication": "replicas of the topics that Penstock makes; the cluster's default when absent",
    "wait": "seconds to wait for the brokers at the start",
    "transactions": "no, for a cluster that refuses them: outputs are then stored at least once",
    "identity": "on Event Hubs, the client id of a managed identity, whose tokens take the connection string's place",
    **ACCESS,
}
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?")


@dataclass(frozen=True, slots=True)
class Address:
    """``namespace`` begins every topic's, group's and transaction's name, so that several apps share a cluster.

    ``replication``: replicas of the topics that Penstock creates; -1 leaves it to the cluster. ``client`` is what
    librdkafka is told beyond the brokers: security. ``transactional``: whether the cluster takes transactions; where it
    does not, outputs are stored at least once and readers drop repeats. ``heard`` collects what the clients made with
    this address say of their connections. ``identity`` gives them tokens to show.
    """

    brokers: str
    namespace: str = ""
    replication: int = -1
    client: Mapping[str, str] = field(default_factory=dict, repr=False)
    wait: float = 30.0
    transactional: bool = True
    limits: ClusterLimits = KAFKA
    heard: ConnectionErrors = field(default_factory=ConnectionErrors, repr=False, compare=False)
    identity: ManagedIdentity | None = field(default=None, repr=False, compare=False)

    @property
    def groupless(self) -> str:
        """What the group of who reads without one is called. It is never joined; but librdkafka wants a name, and asks
        who coordinates it, which takes the right to describe it."""
        return f"{self.namespace}{GROUPLESS}"

    @classmethod
    def parse(cls, url: str, environ: Mapping[str, str] | None = None) -> Address:
        """Raises ``CannotStart`` for what is not such a URL. Credentials come from the environment, never from here."""
        given = os.environ if environ is None else environ
        scheme, hosts, path, query = _split(url)
        where = f"--log {scheme}://{hosts}{path and '/' + path}"
        hub = scheme == "kafka+eventhubs"
        options = _options(where, query)
        brokers = _brokers(where, namespace_host(hosts) if hub else hosts)
        heard, identity = ConnectionErrors(), None
        if "identity" in options:
            if not hub:
                raise CannotStart(f"{where}: identity is a way into Event Hubs alone, as {HUBS_FORM}")
            identity = managed_identity(where, brokers, options["identity"], given, heard)
        client = connection(where, brokers, options, given) if hub else security(where, options, given)
        transactional = _yes(where, "transactions", options.get("transactions"), otherwise=not hub)
        return cls(
            brokers,
            _namespace(where, path),
            _replication(where, options.get("replication")),
            client,
            _wait(where, options.get("wait")),
            transactional,
            hub_limits(transactional) if hub else KAFKA,
            heard,
            identity,
        )


def _split(url: str) -> tuple[str, str, str, str]:
    """Scheme, hosts, path and query. Written out, since ``urlsplit`` knows one host and not a list of them."""
    scheme, found, rest = url.partition("://")
    scheme = scheme.lower()
    if "@" in url or "sharedaccesskey" in url.lower():
        raise CannotStart(
            "--log: a URL is seen by everybody on this machine, so it holds no credentials; give them as KAFKA_USER "
            "and KAFKA_PASSWORD (or KAFKA_PASSWORD_FILE), for Event Hubs as EVENTHUBS_CONNECTION_STRING"
        )
    if not found or scheme not in ("kafka", "kafka+eventhubs"):
        raise CannotStart(f"--log: expected {FORM} or {HUBS_FORM}")
    rest, _, query = rest.partition("?")
    hosts, _, path = rest.partition("/")
    if not hosts:
        raise CannotStart(f"--log {scheme}://: which brokers? expected {HUBS_FORM if '+' in scheme else FORM}")
    return scheme, hosts, path.rstrip("/"), query


def _options(where: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        if name not in OPTIONS:
            known = "\n".join(f"  {option}: {meaning}" for option, meaning in OPTIONS.items())
            raise CannotStart(f"{where}: no such option: {name!r}; there are\n{known}")
        if name in options:
            raise CannotStart(f"{where}: {name} is given twice")
        if not value:
            raise CannotStart(f"{where}: {name} has no value: {name} is {OPTIONS[name]}")
        options[name] = unquote(value)
    return options


def _brokers(where: str, hosts: str) -> str:
    return ",".join(_broker(where, each) for each in hosts.split(","))


def _broker(where: str, text: str) -> str:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError:
            bracket = ""
        if not bracket or (port and not port.startswith(":")):
            raise CannotStart(f"{where}: {text!r} is not [IPv6 ADDRESS]:PORT")
        host, port = f"[{host}]", port[1:] if port else "9092"
    elif text.count(":") > 1:
        raise CannotStart(f"{where}: {text!r} is not HOST:PORT; an IPv6 address goes in brackets, as in [::1]:9092")
    else:
        host, colon, port = text.partition(":")
        port = port if colon else "9092"
        if not _HOST.fullmatch(host):
            raise CannotStart(f"{where}: {text!r} is not HOST:PORT")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
        raise CannotStart(f"{where}: {text!r} is not HOST:PORT; a port is a number from 1 to 65535")
    return f"{host}:{int(port)}"


def _namespace(where: str, path: str) -> str:
    name = unquote(path)
    if not NAME.issuperset(name) or len(name) > NAMESPACE_LIMIT_CHARS:
        raise CannotStart(
            f"{where}: the namespace {name!r} may hold letters, digits, '.', '_' and '-', "
            f"{NAMESPACE_LIMIT_CHARS} at most"
        )
    return f"{name}." if name else ""


def _replication(where: str, text: str | None) -> int:
    if text is None:
        return -1
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 0 < int(text) < 1 << 15:
        raise CannotStart(f"{where}: replication={text} is not a number of replicas")
    return int(text)


def _wait(where: str, text: str | None) -> float:
    try:
        seconds = 30.0 if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise CannotStart(f"{where}: wait={text} is not a number of seconds above 0")
    return seconds


def _yes(where: str, name: str, text: str | None, *, otherwise: bool) -> bool:
    if text not in (None, "yes", "no"):
        raise CannotStart(f"{where}: {name}={text} is neither yes nor no")
    return otherwise if text is None else text == "yes"
