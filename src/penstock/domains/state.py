"""The topics that domains have: an area of ``penstock.system``. What is in them is the log's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar, Self

import msgspec

from ..system.messages import Command, Malformed, Message, Refused
from . import messages
from .messages import AddDomainTopics, DomainTopicsAdded

REFUSALS = 1_024  # the latest, which are remembered so that whoever asked is told
FULL = "full"  # the kind of refusal


class SavedDomains(msgspec.Struct):
    names: dict[str, str]
    refused: dict[str, str]


class DomainState:
    """The names of each domain's topics. Changed by ``View.refresh`` alone; whether one is known needs no lock.

    A name takes about 150 bytes in each process, and its own length in a snapshot.
    """

    name: ClassVar[str] = "domains"
    form: ClassVar[int] = 1
    messages: ClassVar[Sequence[type[Message]]] = (AddDomainTopics, DomainTopicsAdded)

    def __init__(self, below: DomainState | None = None) -> None:
        """``below``: one that is known too, and is not changed."""
        self._below = below
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._refused: dict[str, str] = {}  # by command: why

    def knows(self, domain: str, name: str) -> bool:
        own = self._names.get(domain)
        return (own is not None and name in own) or (self._below is not None and self._below.knows(domain, name))

    def count(self, domain: str) -> int:
        return len(self._names.get(domain, ())) + (0 if self._below is None else self._below.count(domain))

    def names(self, domain: str) -> list[str]:
        """In no order. Under the view's lock."""
        return list(self._names.get(domain, ()))

    def refusal(self, command: str) -> str | None:
        """Why the command of this id was refused; None: it was not, as far as is known."""
        found = self._refused.get(command)
        return found if found is not None or self._below is None else self._below.refusal(command)

    def apply(self, message: Message) -> None:
        match message:
            case DomainTopicsAdded():
                self._names[message.domain].update(message.names)
            case Refused():
                self._refused[message.causationid] = message.reason
                if len(self._refused) > REFUSALS:
                    del self._refused[next(iter(self._refused))]

    def decide(self, command: Command, *, now: int) -> Sequence[Message]:
        """A command whose topics are there, or come to be, needs to be answered once; so does one that is refused."""
        if self.refusal(command.id) is not None:
            return ()
        if (fault := command.fault()) is not None or isinstance(command, Malformed):
            return [self._refusal(command, "invalid", fault or "it cannot be read")]
        assert isinstance(command, AddDomainTopics)
        new = [name for name in dict.fromkeys(command.names) if not self.knows(command.domain, name)]
        if not new:
            return ()
        if self.count(command.domain) + len(new) > messages.LIMIT:
            reason = f"domain '{command.domain}' takes no new topic: {messages.LIMIT:,} are the most that one has"
            return [self._refusal(command, FULL, reason)]
        return [DomainTopicsAdded(domain=command.domain, names=tuple(new), causationid=command.id)]

    def _refusal(self, command: Command, kind: str, reason: str) -> Refused:
        return Refused(kind=kind, reason=reason, causationid=command.id, area=self.name)

    def ahead(self) -> Self:
        return type(self)(self)

    def save(self) -> bytes:
        """A text a domain: names have no line breaks."""
        names = {domain: "\n".join(sorted(found)) for domain, found in self._names.items()}
        return msgspec.msgpack.encode(SavedDomains(names, self._refused))

    def restore(self, saved: bytes) -> None:
        found = msgspec.msgpack.decode(saved, type=SavedDomains)
        self._names = defaultdict(set, {domain: set(names.split("\n")) for domain, names in found.names.items()})
        self._refused = found.refused

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DomainState):
            return NotImplemented
        return (self._names, self._refused) == (other._names, other._refused)

    __hash__ = None  # type: ignore[assignment]
