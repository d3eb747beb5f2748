"""What a stage that delivers knows of where it delivers to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt."""

    ok: bool
    outcome: str  # "Delivered", or Event Grid's lastDeliveryOutcome: TimedOut, SocketError, NotFound, Busy, …
    status: int = 0  # of HTTP; 0: there was none
    reason: str = ""  # for people: what was said there, or what failed; bounded and without secrets
    retry_after_s: float | None = None  # as the endpoint asked
    final: bool = False  # another attempt of this parcel changes nothing
    gone: bool = False  # the endpoint wants nothing any more
    began: int = 0  # microseconds since the epoch; 0: nothing was sent, and the attempt does not count
    blameless: bool = False  # it is about the parcel, and says nothing of how the endpoint is


@dataclass(slots=True, eq=False)
class Parcel:
    """One request: an event, or a batch of events, for one subscription."""

    id: str  # the same at every attempt, and of this subscription's parcels this one's alone
    body: bytes
    headers: Sequence[tuple[str, str]]
    attempt: int  # from 1
    events: int = 1
    sender: object = None  # whose it is, for who sent it
    answer: Answer | None = None  # written by the destination before it says ``settled``


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """What a destination says of itself, for people. Parcels are counted from when it was opened."""

    opens_at: int = 0  # microseconds since the epoch until when it takes nothing; 0: it takes parcels
    why: str = ""  # why it takes none, or only one to try
    last: Answer | None = None
    delivered: int = 0
    failed: int = 0  # attempts


class Destination(Protocol):
    """Where the parcels of one subscription go. One thread sends; the others' calls are for any."""

    def room(self) -> int:
        """How many parcels it takes now; cheap, asks nobody.

        0 while it is full, while the endpoint asked to be left alone, and on probation, which ends with one parcel that
        is let through to try.
        """
        ...

    @property
    def open(self) -> bool:
        """False while the endpoint asked to be left alone, and on probation; cheap, asks nobody."""
        ...

    def send(self, parcels: Sequence[Parcel], settled: Callable[[Parcel], None]) -> None:
        """Take parcels, as many as there is room for; never waits, and raises nothing.

        ``settled`` is called once for each, in the order in which they end, from a thread of the destination's, with
        ``answer`` set; it must neither block nor raise. A parcel for which there was no room, or none any more when its
        turn came, is settled as well, with ``began`` 0.
        """
        ...

    def status(self) -> DestinationStatus: ...

    def close(self) -> None:
        """Take nothing more, and settle nothing more: what is under way may arrive or not. Does not wait."""
        ...


class SendingDestination(Destination, Protocol):
    """One with a thread of its own: where that ends by itself, the courier ends too, and is started again."""

    @property
    def thread(self) -> Thread: ...


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an endpoint is asked in a handshake. What it holds lets an endpoint in, so its repr does not have it.

    ``code``: to be said back, where the handshake has one. ``callback``: a URL at which it may consent later; empty:
    none is offered.
    """

    id: str
    subscription: str
    code: str = field(repr=False)
    callback: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Consent:
    """What came of asking once. ``later``: it may yet consent by the callback. ``unclear``: asked again, it may say
    something else. ``reason``: for people; bounded and without secrets. ``per_minute``: requests that it allows; None:
    as many as are declared."""

    verdict: Literal["granted", "refused", "later", "unclear"]
    reason: str = ""
    per_minute: int | None = None


class AskingDestination(Destination, Protocol):
    """One whose endpoint can be asked whether it wants what will be sent. Both are for any thread."""

    def ask(self, invitation: Invitation, answered: Callable[[Consent], None]) -> None:
        """Ask once; never waits, and raises nothing. ``answered`` is called once, from a thread of the destination's,
        and must neither block nor raise; never, where the destination is closed before."""
        ...

    def keep_to(self, per_minute: int) -> None:
        """Begin no more requests than that in any minute, and no more than is declared."""
        ...
