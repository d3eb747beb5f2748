"""What is written about domains in ``penstock.system``: new topics asked for, and the events that answer."""

from __future__ import annotations

import re
from typing import ClassVar

from ..batch import DOMAIN_TOPIC
from ..system.messages import Command, Message

LIMIT = 100_000  # topics of a domain, as of one of Event Grid
NEW_LIMIT = 4_096  # of one command, which has to fit a record of the log

_NAME = re.compile(DOMAIN_TOPIC)


class AddDomainTopics(Command, frozen=True, kw_only=True):
    """Let the domain have topics of these names: all of them, or none. Those that it has already count nothing."""

    TYPE: ClassVar[str] = "penstock.command.domain-topics"

    domain: str
    names: tuple[str, ...]

    @property
    def subject(self) -> str | None:
        return f"domains/{self.domain}"

    def fault(self) -> str | None:
        if len(self.names) > NEW_LIMIT:
            return f"{len(self.names)} names, and the limit of one command is {NEW_LIMIT}"
        if not all(map(_NAME.fullmatch, self.names)):
            return "a name that no domain topic can have"
        return super().fault()


class DomainTopicsAdded(Message, frozen=True, kw_only=True):
    """The domain has these topics too. ``causationid``: of the command."""

    TYPE: ClassVar[str] = "penstock.domain.topics-added"

    domain: str
    names: tuple[str, ...]
    causationid: str

    @property
    def subject(self) -> str | None:
        return f"domains/{self.domain}"
