"""Hosts of a destination, as its declaration writes them."""

import pytest

from penstock.plan.destination import DestinationSpec
from penstock.plan.references import ReferenceSpec


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        ("Broker.example:9093", (("broker.example", 9093),)),
        ("a:9092,b", (("a", 9092), ("b", None))),
        ("[2001:DB8::1]:9094,[::1]", (("2001:db8::1", 9094), ("::1", None))),
        ("", ()),
        (ReferenceSpec("env", "BROKERS"), ()),
    ],
)
def test_each_host_is_known_with_its_port(hosts: str | ReferenceSpec, addresses: object) -> None:
    assert DestinationSpec("kafka", hosts, "t").addresses == addresses
