"""What ``ps.KafkaTopic`` refuses at its line, and what it shows."""

from __future__ import annotations

from typing import Any

import pytest

import penstock as ps
from penstock.errors import DeclarationError
from penstock.plan.destination import DestinationSpec
from penstock.plan.references import ReferenceSpec

SASL: dict[str, Any] = {"security": "sasl_ssl", "user": "me", "password": ps.secret("KEY")}
WRONG: list[tuple[str, dict[str, Any]]] = [
    *[
        ("brokers as 'HOST:PORT'", {"brokers": brokers})
        for brokers in ("", "b", "b:0", "b:", "b:1,", "me:hush@b:1", "kafka://b:1", "b:1 ", "::1:9092", 3, None)
    ],
    *[("cannot be the name of a Kafka topic", {"topic": name}) for name in ("", ".", "..", "a b", "é", "a" * 250, 3)],
    ("cannot be the name of a Kafka topic", {"topic": ps.env("TOPIC")}),
    ("security='tls' must be one of 'plaintext', 'ssl', 'sasl_plaintext', 'sasl_ssl'", {"security": "tls"}),
    ("mechanism='GSSAPI' must be one of", SASL | {"mechanism": "GSSAPI"}),
    (r"write password=ps.secret\('KAFKA_KEY'\)", SASL | {"password": "hush"}),
    (r"write password=ps.secret\('KAFKA_KEY'\)", SASL | {"password": ps.env("KEY")}),
    (r"write key_password=ps.secret\('KAFKA_KEY'\)", {"security": "ssl", "key_password": "hush"}),
    ("user= is of no use with security='plaintext'; it goes with sasl_plaintext or sasl_ssl", {"user": "me"}),
    ("ca= is of no use with security='sasl_plaintext'", SASL | {"security": "sasl_plaintext", "ca": "ca.pem"}),
    (r"needs user= and password=ps.secret\(...\)", {"security": "sasl_ssl"}),
    ("cert= and key= go together", {"security": "ssl", "cert": "c.pem"}),
    ("cert= and key= go together", {"security": "ssl", "key_password": ps.secret("KEY")}),
    ("ca= must be a text", {"security": "ssl", "ca": 3}),
    ("user= must be a text", SASL | {"user": ""}),
]


@pytest.mark.parametrize(("message", "given"), WRONG, ids=[f"{n} {m}" for n, (m, _) in enumerate(WRONG)])
def test_refused_with_its_place_and_without_a_secret(message: str, given: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=rf"test_target\.py:\d+: .*{message}") as refusal:
        ps.KafkaTopic(**{"brokers": "b:9092", "topic": "t", **given})
    assert "hush" not in str(refusal.value)


def test_it_is_plain_data_in_the_plan() -> None:
    topic = ps.KafkaTopic("b.example.com:9092,[::1]:9093", "t", ca=ps.env("CA"), **SASL)
    settings = (("security", "sasl_ssl"), ("user", "me"), ("password", ReferenceSpec("secret", "KEY")))
    assert topic.spec == DestinationSpec(
        "kafka", "b.example.com:9092,[::1]:9093", "t", (*settings, ("ca", ReferenceSpec("env", "CA")))
    )
    assert topic.spec.host_names == ("b.example.com", "::1")
    assert "password=ps.secret('KEY')" in repr(topic)
