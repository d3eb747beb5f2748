"""What the brokers say of groups: their names, who is in them, and how far they are.

Not by the ``AdminClient``'s questions to a group's coordinator: when one of them times out, librdkafka frees what it
looks at again later, which may end the process (its issue 4605); or it waits for a broker that it has let go of, and no
later question is answered either. A consumer's question for positions and ``list_groups`` go other ways, and have
neither (``docs/decisions/0007-two-engines.md``).
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from ..cluster.address import Address
from ..cluster.client import ANSWER_S, ask, persistently, quiet, translated

_HEAD, _LENGTH, _COUNT = struct.Struct(">hI"), struct.Struct(">H"), struct.Struct(">I")
_PARTITION_BYTES = 4  # bytes


class Groups:
    """Safe to use from several threads. A group whose positions are asked for has a consumer here until ``close``."""

    def __init__(self, address: Address, admin: AdminClient) -> None:
        self._address, self._admin = address, admin
        self._mutex = threading.Lock()
        self._consumers: dict[str, Consumer] = {}

    def names(self) -> list[str]:
        """Those of this namespace."""
        return persistently(self._admin, self._names)

    def members(self, name: str) -> dict[str, list[tuple[str, int]]]:
        """Partitions by their owner, whose name is its process's and its host's: on several hosts the first repeat."""
        try:
            found: list[Any] = self._admin.list_groups(name, timeout=ANSWER_S)  # the types know of no errors in it
        except KafkaException as error:
            raise translated(error, f"ask who is in group '{name}'") from None
        owned: dict[str, list[tuple[str, int]]] = {}
        for group in found:
            if group.error is not None:
                raise translated(group.error, f"ask who is in group '{name}'")
            if group.protocol_type == "consumer":
                for member in group.members:
                    owner = f"{member.client_id}@{member.client_host.lstrip('/')}"
                    owned.setdefault(owner, []).extend(assigned(member.assignment))
        return owned

    def positions(self, name: str, places: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Of these partitions, in their order. Does not wait for transactions that are just ending."""
        try:
            found = self._consumer(name).committed(list(places), ANSWER_S)
        except KafkaException as error:
            raise translated(error, f"ask for the positions of group '{name}'") from None
        for each in found:
            if each.error is not None:
                raise translated(each.error, f"ask for the positions of group '{name}'")
        return found

    def close(self) -> None:
        """Waits for nobody: they are members of nothing, and one that is just asked ends with its answer."""
        with self._mutex:
            self._consumers.clear()

    def _names(self, within: float) -> list[str]:
        doing = "ask for the groups"
        found = ask(doing, lambda: {"": self._admin.list_consumer_groups(request_timeout=within)})[""]
        for error in found.errors:
            raise translated(error, doing)
        return sorted(g.group_id for g in found.valid if g.group_id.startswith(self._address.namespace))

    def _consumer(self, name: str) -> Consumer:
        """Never a member: librdkafka asks about the group that a consumer names."""
        with self._mutex:
            if name not in self._consumers:
                own = {"group.id": name, "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
                self._consumers[name] = Consumer({**quiet(self._address), **own})
            return self._consumers[name]


def assigned(data: bytes) -> list[tuple[str, int]]:
    """What a member has been given: ``ConsumerProtocolAssignment`` in any version, as Kafka's protocol guide has it.

    Empty where the member waits for its share, and for what no consumer has written.
    """
    try:
        return list(_assigned(data))
    except (struct.error, UnicodeDecodeError):
        return []


def _assigned(data: bytes) -> Iterator[tuple[str, int]]:
    _version, topics = _HEAD.unpack_from(data)
    at = _HEAD.size
    for _ in range(topics):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        topic = data[at : at + length].decode()
        at += length
        (count,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
        for partition in struct.unpack_from(f">{count}i", data, at):
            yield topic, partition
        at += count * _PARTITION_BYTES
