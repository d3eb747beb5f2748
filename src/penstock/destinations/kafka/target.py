"""What the user's file says of a Kafka topic that a subscription sends to."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Literal

from ...declare.targets import SubscriptionTarget
from ...declare.values import Ref, refused
from ...log.kafka.cluster.security import PASSWORDS, PROTOCOLS
from ...plan.destination import DestinationSpec
from ...plan.references import ReferenceSpec

KIND = "kafka"
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_BROKER = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\]):(?!0+$)[0-9]{1,5}")
_SECRETS = ("password", "key_password")


@dataclass(frozen=True)
class KafkaTopic(SubscriptionTarget):
    """A topic of a Kafka cluster, which need not be the one of ``--log``, as the target of ``app.subscribe``.

    Each event is a record, as CloudEvents' Kafka binding has it: ``format="cloudevents"`` is binary mode, its
    attributes in headers ``ce_…``, and ``"cloudevents-structured"`` one JSON object. The record's key is the event's.
    ``brokers``: ``HOST:PORT``, several with commas between them, or a reference to such a text. ``topic``: it must be
    there; Penstock makes none.

    ``security`` is one of librdkafka's protocols. With ``sasl_plaintext`` and ``sasl_ssl`` a ``user`` and a
    ``password``, which is a ``ps.secret``, are shown by ``mechanism``: ``PLAIN``, ``SCRAM-SHA-256`` or
    ``SCRAM-SHA-512``. With ``ssl`` and ``sasl_ssl`` the brokers' certificates and names are verified; ``ca`` is a PEM
    file with the authorities to trust in place of the system's, and ``cert`` and ``key`` are those of this client,
    where the brokers ask for one, with ``key_password`` as the key's passphrase. Files are the courier's, and may be
    references. It needs the extra ``kafka``. Raises ``DeclarationError``.

    >>> ps.KafkaTopic("broker.example.com:9092", "scores").spec.receiver
    'kafka scores at broker.example.com'
    """

    brokers: str
    topic: str
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    user: str | None = None
    password: Ref | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    key_password: Ref | None = None

    def __post_init__(self) -> None:
        for name in _SECRETS:  # first: a text that is here by mistake is shown by no message
            given = getattr(self, name)
            if given is not None and not (isinstance(given, Ref) and given.kind == "secret"):
                object.__setattr__(self, name, None)
                raise refused(f"ps.KafkaTopic(..., {name}=...) is a secret's name; write {name}=ps.secret('KAFKA_KEY')")
        if not isinstance(self.brokers, str) or not (isinstance(self.brokers, Ref) or are_brokers(self.brokers)):
            raise refused(
                "ps.KafkaTopic takes brokers as 'HOST:PORT', with commas between several, or a ps.env(...); "
                "users and passwords go in user= and password="
            )
        if not isinstance(self.topic, str) or isinstance(self.topic, Ref) or not _NAME.fullmatch(self.topic):
            raise refused(f"{self.topic!r} cannot be the name of a Kafka topic; it has 1 to 249 of A-Z a-z 0-9 . _ -")
        self._check_security()

    def _check_security(self) -> None:
        if self.security not in PROTOCOLS:
            raise refused(f"security={self.security!r} must be one of {', '.join(map(repr, PROTOCOLS))}")
        if self.mechanism is not None and self.mechanism not in PASSWORDS:
            raise refused(f"mechanism={self.mechanism!r} must be one of {', '.join(map(repr, PASSWORDS))}")
        sasl, tls = self.security.startswith("sasl"), self.security.endswith("ssl")
        for names, needed, goes_with in (
            (("mechanism", "user", "password"), sasl, "sasl_plaintext or sasl_ssl"),
            (("ca", "cert", "key", "key_password"), tls, "ssl or sasl_ssl"),
        ):
            for name in names:
                given = getattr(self, name)
                if given is not None and not needed:
                    raise refused(f"{name}= is of no use with security={self.security!r}; it goes with {goes_with}")
                if given is not None and (not isinstance(given, str) or not given):
                    raise refused(f"{name}= must be a text or a reference to one")
        if sasl and (self.user is None or self.password is None):
            raise refused(f"security={self.security!r} needs user= and password=ps.secret(...)")
        if (self.cert is None) != (self.key is None) or (self.key_password is not None and self.key is None):
            raise refused("cert= and key= go together, and key_password= with them")

    @property
    def spec(self) -> DestinationSpec:
        """As a plan holds it."""
        own = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name not in ("brokers", "topic")]
        settings = tuple((name, _plain(given)) for name, given in own if given is not None)
        return DestinationSpec(KIND, _plain(self.brokers), self.topic, settings)


def are_brokers(text: str) -> bool:
    """``HOST:PORT``, with commas between several."""
    return all(_BROKER.fullmatch(each) for each in text.split(","))


def _plain(given: str) -> str | ReferenceSpec:
    return given.spec if isinstance(given, Ref) else given
