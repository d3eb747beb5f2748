"""One broker, or several that replicate: started, killed, hung and ended by the test that asked for them."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.brokers.node import CONNECTION_STRING, HUB_USER, PASSWORD, QUICK, USER, Node
from tests.brokers.tls import Authority
from tests.ports import free_ports

PATIENCE = 90.0  # seconds that any single thing may take before the test gives up
PLAIN, SASL, TLS, SASL_TLS = "PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"

# Everything that a broker waits for is as short as a loaded machine of two cores lets it be.
SHORT_WAITS = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    "replica.lag.time.max.ms": "4000",
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "500",
    "log.segment.delete.delay.ms": "500",
}
SMALL = {
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "log.cleaner.dedupe.buffer.size": str(4 << 20),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
}
_JAAS = "org.apache.kafka.common.security"
SASL_SETTINGS = {
    "plain.sasl.jaas.config": (
        f'{_JAAS}.plain.PlainLoginModule required user_{USER}="{PASSWORD}" user_{HUB_USER}="{CONNECTION_STRING}";'
    ),
    "scram-sha-256.sasl.jaas.config": f"{_JAAS}.scram.ScramLoginModule required;",
    "scram-sha-512.sasl.jaas.config": f"{_JAAS}.scram.ScramLoginModule required;",
    "oauthbearer.sasl.jaas.config": (
        f'{_JAAS}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
    ),
    "oauthbearer.sasl.server.callback.handler.class": (
        f"{_JAAS}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"
    ),
}


class Cluster:
    """``nodes`` brokers, numbered from 1, with a PLAINTEXT and a SASL_PLAINTEXT listener each.

    With an ``authority`` there are also SSL and SASL_SSL ones. ``overrides`` are lines of ``server.properties``. From
    three brokers on, topics have three replicas. As Kafka comes, ``acks=all`` is answered when those in sync have a
    record, and that may be one: who wants more says so of his topic.
    """

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int = 1,
        authority: Authority | None = None,
        overrides: Mapping[str, str] | None = None,
        jvm: tuple[str, ...] = QUICK,
    ) -> None:
        listeners = [PLAIN, SASL, *([TLS, SASL_TLS] if authority is not None else [])]
        ports = free_ports(nodes * (len(listeners) + 1))
        step = len(listeners) + 1
        self._ports = [
            dict(zip(["CONTROLLER", *listeners], ports[at : at + step], strict=True))
            for at in range(0, len(ports), step)
        ]
        shared = self._shared(listeners, nodes, authority) | dict(overrides or {})
        self.nodes = [
            Node(number, directory / f"broker-{number}", self._listening(own) | shared, jvm)
            for number, own in enumerate(self._ports, 1)
        ]

    @property
    def bootstrap(self) -> str:
        """``host:port`` of every PLAINTEXT listener."""
        return self.address(PLAIN)

    def address(self, listener: str) -> str:
        """``host:port`` of every broker's listener of this security protocol."""
        return ",".join(f"127.0.0.1:{own[listener]}" for own in self._ports)

    def node(self, number: int) -> Node:
        return self.nodes[number - 1]

    def open(self) -> None:
        """Format and start every broker, and wait until all of them answer."""
        for node, formatting in [(node, node.format()) for node in self.nodes]:
            try:
                if formatting.wait(PATIENCE) != 0:
                    raise AssertionError(f"the storage could not be formatted\n{node.tail()}")
            except subprocess.TimeoutExpired:
                formatting.kill()
                formatting.wait()
                raise
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            self._await(node)

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self.node(number).kill()

    def start(self, number: int) -> None:
        """Start a killed broker again, on the same ports and folder, and wait until it answers."""
        self.node(number).start()
        self._await(self.node(number))

    def hang(self, number: int) -> None:
        """SIGSTOP: its connections stay open and nothing answers."""
        self.node(number).signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        self.node(number).signal(signal.SIGCONT)

    def throttle(self, rate: int) -> None:
        """Whoever writes more than so many bytes a second to a broker is answered late."""
        whom = ("--entity-type", "clients", "--entity-default")
        what = ("--alter", "--add-config", f"producer_byte_rate={rate}")
        self.node(1).administer("kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap, *whom, *what)

    def heal(self) -> None:
        """Every broker runs again and every replica of every partition is in sync."""
        for node in self.nodes:
            if node.alive:
                self.resume(node.number)
            else:
                node.start()
        for node in self.nodes:
            self._await(node)
        admin = AdminClient(_quiet(self.bootstrap))
        _until(lambda: _in_sync(admin), "not every replica came back in sync", self._tails)

    def close(self) -> None:
        """End every broker; those that stand still or do not end in time are killed."""
        if len(self.nodes) == 1:
            self.nodes[0].stop(within=10.0)
        # An orderly shutdown of several waits for a quorum that is going away too.
        for node in self.nodes:
            node.kill()

    def _await(self, node: Node) -> None:
        admin = AdminClient(_quiet(f"127.0.0.1:{self._ports[node.number - 1][PLAIN]}"))

        def answers() -> bool:
            assert node.alive, f"the broker ended before it was ready\n{node.tail()}"
            return node.number in admin.list_topics(timeout=2).brokers

        _until(answers, f"broker {node.number} was not ready in {PATIENCE:.0f} s", self._tails)

    def _tails(self) -> str:
        return "\n".join(node.tail() for node in self.nodes)

    @staticmethod
    def _listening(ports: Mapping[str, int]) -> dict[str, str]:
        return {"listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())}

    def _shared(self, listeners: list[str], nodes: int, authority: Authority | None) -> dict[str, str]:
        replicas, enough = str(min(nodes, 3)), str(2 if nodes >= 3 else 1)
        voters = ",".join(f"{number}@127.0.0.1:{own['CONTROLLER']}" for number, own in enumerate(self._ports, 1))
        settings = {
            "process.roles": "broker,controller",
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": PLAIN,
            "listener.security.protocol.map": ",".join(
                ["CONTROLLER:PLAINTEXT", *(f"{listener}:{listener}" for listener in listeners)]
            ),
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": enough,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": enough,
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
            **SHORT_WAITS,
            **SMALL,
        }
        for listener in listeners:
            if listener.startswith("SASL"):
                prefix = f"listener.name.{listener.lower()}."
                settings |= {prefix + name: value for name, value in SASL_SETTINGS.items()}
        if authority is not None:
            settings |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(authority.keystore)}
        return settings


@contextmanager
def running(
    directory: Path,
    *,
    nodes: int = 1,
    authority: Authority | None = None,
    overrides: Mapping[str, str] | None = None,
    jvm: tuple[str, ...] = QUICK,
) -> Iterator[Cluster]:
    """A cluster that answers, ended with the block; the arguments are those of ``Cluster``."""
    cluster = Cluster(directory, nodes=nodes, authority=authority, overrides=overrides, jvm=jvm)
    try:
        cluster.open()
        yield cluster
    finally:
        cluster.close()


def _quiet(bootstrap: str) -> dict[str, str | int | float | bool]:
    """A client that waits for a broker to come, and does not write about its absence."""
    return {"bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 200, "log_level": 0}


def _in_sync(admin: AdminClient) -> bool:
    topics = admin.list_topics(timeout=2).topics.values()
    return all(sorted(part.isrs) == sorted(part.replicas) for topic in topics for part in topic.partitions.values())


def _until(holds: Callable[[], bool], otherwise: str, evidence: Callable[[], str]) -> None:
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            if holds():
                return
        except KafkaException:
            pass
        if time.monotonic() > limit:
            raise AssertionError(f"{otherwise}\n{evidence()}")
        time.sleep(0.05)
