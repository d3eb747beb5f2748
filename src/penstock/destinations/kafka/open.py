"""A subscription of the plan becomes a lane to a Kafka topic."""

from __future__ import annotations

from collections.abc import Mapping

from ...clock import Clock
from ...errors import CannotStart, DeclarationError, install
from ...log.kafka.cluster.security import security
from ...plan.plan import SubscriptionSpec
from ...plan.references import ReferenceSpec
from ..interface import SendingDestination
from .target import are_brokers

FILES = ("ca", "cert", "key")
CREDENTIALS = {"user": "KAFKA_USER", "password": "KAFKA_PASSWORD", "key_password": "KAFKA_KEY_PASSWORD"}
"""What the settings of ``--log kafka://…`` call them, which are read from an environment."""


def open_kafka(spec: SubscriptionSpec, environ: Mapping[str, str], clock: Clock) -> SendingDestination:
    """Asks nothing of the brokers yet. Raises ``DeclarationError`` where a reference has no value, and ``CannotStart``
    where the client is missing, and for what it cannot be opened with."""
    try:
        from ...log.kafka.cluster.address import Address
        from .lane import KafkaLane
    except ImportError as error:
        raise CannotStart(f"a Kafka topic needs the Kafka client: {install('kafka')} ({error})") from None
    there = spec.destination
    assert there is not None

    def value(given: str | ReferenceSpec) -> str:
        found = given.resolve(environ) if isinstance(given, ReferenceSpec) else given
        if not found:
            raise DeclarationError(f"{given} is empty: set it to what it stands for")
        return found

    settings = {name: value(given) for name, given in there.settings}
    options = {name: given for name, given in settings.items() if name not in CREDENTIALS}
    shown = {variable: settings[name] for name, variable in CREDENTIALS.items() if name in settings}
    if not are_brokers(brokers := value(there.hosts)):
        raise DeclarationError(f"{there.hosts} is not HOST:PORT, with commas between several brokers")
    address = Address(brokers, client=security(there.receiver, options, shown))
    hidden = [settings[name] for name in ("password", "key_password") if name in settings]
    return KafkaLane(address, there.name, hidden, spec.concurrency, spec.rate or 0.0, clock)
