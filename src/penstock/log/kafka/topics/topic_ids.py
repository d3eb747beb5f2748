"""Which topic a name means now: one that is deleted and made again has the same name, and another id (KIP-516).

A member of a group is not told of it. librdkafka reads on in the new topic at the offset where it stood in the old one,
unless it happened to look between the two (its issues 3255 and 4898), and what lies before would never be read.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from ....clock import Clock

GLANCE_S = 0.5  # seconds; brokers that take longer are asked again later, and reading goes on


class TopicIds:
    """For all readers of a process, which share the answers. Safe to use from several threads."""

    def __init__(self, admin: AdminClient, clock: Clock) -> None:
        self._admin, self._clock = admin, clock
        self._mutex = threading.Lock()
        self._known: dict[str, tuple[float, str | None]] = {}  # when a name was asked for, and its id

    def of(self, names: Collection[str], age: float) -> dict[str, str]:
        """Ids by the names of topics on the cluster, asked for at most ``age`` seconds ago.

        Without those of topics that are not there, and without those that the brokers did not tell.
        """
        with self._mutex:
            now = self._clock.monotonic()
            stale = [name for name in names if name not in self._known or self._known[name][0] <= now - age]
            if stale:
                self._known |= {name: (now, identity) for name, identity in self._ask(stale).items()}
            found = {name: self._known[name][1] for name in names}
        return {name: identity for name, identity in found.items() if identity is not None}

    def _ask(self, names: list[str]) -> dict[str, str | None]:
        found: dict[str, str | None] = dict.fromkeys(names)
        with suppress(KafkaException):  # not even asked
            answers = self._admin.describe_topics(TopicCollection(names), request_timeout=GLANCE_S)
            for name, answer in answers.items():
                with suppress(KafkaException, TimeoutError):
                    found[name] = str(answer.result(2 * GLANCE_S).topic_id)
        return found
