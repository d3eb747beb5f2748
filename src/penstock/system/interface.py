"""What an area must provide: one part of what ``penstock.system`` knows, such as the models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from ..log.interface import Log, LogInspection, Offsets
from .messages import Command, Message


class Unfinished(Exception):
    """What a command asks for is being looked at: it is left unanswered, and will be asked again by its id."""


class Area(Protocol):
    """An image that is only ever what its messages say, so every process that reads them comes to the same one.

    It knows of no other area. One that is new reads the whole history once, until it has a snapshot.
    """

    name: ClassVar[str]
    form: ClassVar[int]  # of what ``save`` makes; greater whenever an older version could not read it any more
    messages: ClassVar[Sequence[type[Message]]]  # its commands and events; those it shares are in ``messages.SHARED``

    def apply(self, message: Message) -> None:
        """Take in a message that is in the log. One that was taken in before changes nothing. Raises ``ValueError`` or
        ``ModelRefused`` for an event that cannot be."""
        ...

    def decide(self, command: Command, *, now: int) -> Sequence[Message]:
        """The events that answer a command, which are not applied yet; none when its id was answered before. ``now``
        is in microseconds since the epoch. Raises ``Unfinished``; anything else fails the whole pass."""
        ...

    def ahead(self) -> Area:
        """One that knows what this one does, and decides and takes in more without changing it. The cost does not grow
        with what is known. What this one takes in meanwhile may be seen in it."""
        ...

    def save(self) -> bytes:
        """All of it, for ``restore``."""
        ...

    def restore(self, saved: bytes) -> None:
        """Be what was saved, in this form. Raises ``ValueError`` for what is not that, and then nothing has changed."""
        ...


class SystemLog(Log, LogInspection, Offsets, Protocol):
    """The log that the system's topics are in."""
