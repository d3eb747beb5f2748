"""What ``publish`` returns: where the events are, and what of them the topic has no place for."""

from __future__ import annotations

from collections.abc import Iterable

from ..batch import AppendResult
from ..schema.ingress.ignored import IgnoredField


class Published(list[AppendResult]):
    """A span for each request and partition.

    ``ignored``: fields that the topic's type lacks and that were not stored, each with its name (``field``), how many
    events had it (``count``) and the ``reason``, which names the field that may have been meant. A topic declared with
    ``extra="reject"`` refuses them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ignored: list[IgnoredField] = []

    def ignore(self, fields: Iterable[IgnoredField]) -> None:
        """Add what one request's answer says."""
        known = {each["field"]: each for each in self.ignored}
        for each in fields:
            if (before := known.get(each["field"])) is None:
                self.ignored.append(each)
            else:
                before["count"] += each["count"]
