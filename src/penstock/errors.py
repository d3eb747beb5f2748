"""Every error Penstock raises: what was wrong, where, and what to do about it.

HTTP status codes are the gateway's business; exit codes are the command line's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DISTRIBUTION = "penstock-ml"  # on the index; the package and the command are `penstock`, a name that others hold there


def install(*extras: str) -> str:
    """The command that brings these extras, as a message or a page writes it. Raises nothing.

    >>> print(errors.install("onnx", "kafka"))
    pip install 'penstock-ml[onnx,kafka]'
    """
    chosen = f"[{','.join(extras)}]" if extras else ""
    return f"pip install '{DISTRIBUTION}{chosen}'"


class PenstockError(Exception):
    """The base of every error raised on purpose."""


# -- what the user wrote ------------------------------------------------------


class DeclarationError(PenstockError):
    """The app file declares something that could not run; names file, line and the mend."""


class FilterInvalid(PenstockError):
    """A condition on events that cannot be evaluated: what is wrong, where in it, and what could be written."""


class PlanRefused(PenstockError):
    """A plan that this version of Penstock cannot read: a later version's, or no plan at all; says what to do."""


class Reject(PenstockError):
    """Raised by a user's function: these rows are refused for good, the rest runs again.

    ``rows`` is a boolean mask over the frame the function was given (anything with one boolean a row);
    without it every row of the call is refused.

    >>> raise ps.Reject("an order costs something", rows=frame["amount"] < 0)
    Traceback (most recent call last):
    penstock.errors.Reject: an order costs something
    """

    def __init__(self, reason: str, *, rows: object | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rows = rows


class Unavailable(PenstockError):
    """Raised by a user's function when something it depends on is away: hold, back off, dead-letter nothing."""


# -- what came in at a door ---------------------------------------------------


class InvalidEvent(PenstockError):
    """An event does not fit its topic's type; nothing of its request was stored.

    ``row`` is the 0-based place in the request, ``field`` the dotted path within the event.
    """

    def __init__(self, reason: str, *, row: int | None = None, field: str | None = None) -> None:
        place = ([] if row is None else [f"row {row}"]) + ([] if field is None else [f"field '{field}'"])
        super().__init__(f"{', '.join(place)}: {reason}" if place else reason)
        self.reason = reason
        self.row = row
        self.field = field


class BadRequest(PenstockError):
    """A query parameter, a header or a path that makes no sense; says which and what would."""


class TooLarge(PenstockError):
    """A body, an event, a batch or a depth is over its limit; says which limit and its value."""


class UnsupportedMediaType(PenstockError):
    """The content type or encoding is not one that this door reads."""


class Busy(PenstockError):
    """A bounded queue is full; try again after ``retry_after`` seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooFast(Busy):
    """Whoever asks has a limit of requests, and is beyond it; try again after ``retry_after`` seconds."""


class TimedOut(PenstockError):
    """The server gave the request up: it came too slowly, or what it needs took too long. Look before repeating it."""


class NotFound(PenstockError):
    """There is no topic, model, version or alias of that name."""


class DomainFull(PenstockError):
    """A domain has as many topics as one can have, and takes no new one; nothing of the request was stored."""


class Forbidden(PenstockError):
    """Not for whoever asks: a foreign page, something of Penstock's own, or the secret that it needs is missing."""


class Unauthorized(PenstockError):
    """Nobody known asks: without a key or a token, or with one that opens nothing.

    ``why``: which of these it was, for those who look after it; who asks is not told.
    """

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why


class TokenRefused(Unauthorized):
    """A bearer token that admits nobody. Its text tells the sender no more than that; why it is so is for the audit.

    ``reason`` is one word of ``penstock.access.oidc.faults.TokenFault``, ``detail`` what was found; neither holds the
    token.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__("not admitted", f"token: {reason}: {detail}")
        self.reason = reason
        self.detail = detail


class IssuerUnusable(PenstockError):
    """The issuer of bearer tokens is away, or what it answers is no set of keys; those of before stay for a while."""


class Conflict(PenstockError):
    """A compare-and-set found another value than expected; says which."""


# -- the log ------------------------------------------------------------------


class LogError(PenstockError):
    """The log could not do what was asked."""


class LogUnusable(LogError):
    """The data directory cannot be used: its version, owner, file system, permission or SQLite."""


class LogGone(LogError):
    """A file of the log was removed or replaced while it was in use: nothing is acknowledged any more."""


class LogFull(LogError):
    """No space is left; nothing of the request was stored, and appends work again once there is."""


class RowsTooLarge(LogError):
    """Rows that no record of the log holds; nothing of the call was stored, and all but them may be stored again.

    ``rows`` holds their places within each write, by the write's place in the call.
    """

    def __init__(self, message: str, rows: Mapping[int, Sequence[int]]) -> None:
        super().__init__(message)
        self.rows = rows


class LogRefused(LogError):
    """The brokers refuse it: a right is missing, a policy forbids it, a topic is gone. Nothing of it was stored, and
    trying again changes nothing until that is mended."""


class LogUnreachable(LogError):
    """The brokers do not answer. Nothing was acknowledged; what was sent may be stored or not: send it again later."""


class AccessRefused(LogUnreachable):
    """The brokers refuse this client's credentials, or it their certificate. Trying again changes nothing."""


class DiskFailed(LogError):
    """A write or an fsync failed: what the disk holds is unknown, so the process must stop, with an exit code."""


class SchemaChanged(LogError):
    """A topic's type may gain optional fields; any other change is refused."""


class PartitionsChanged(LogError):
    """A topic may not lose partitions, and gains them only when told to."""


class Corrupt(LogError):
    """A stored batch is damaged. ``topic``, ``partition`` and ``position`` say which; others keep serving."""

    def __init__(self, message: str, *, topic: str, partition: int, position: int) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition
        self.position = position


class Fenced(LogError):
    """A commit named partitions that this reader no longer owns; nothing of it was stored.

    ``lost`` holds the (topic, partition) pairs. Their work is dropped; the rest may be committed again.
    """

    def __init__(self, lost: Sequence[tuple[str, int]]) -> None:
        super().__init__("no longer the owner of " + ", ".join(f"{t}/{p}" for t, p in lost))
        self.lost = frozenset(lost)


class Overtaken(LogError):
    """Retention removed events that a group had not read; reading continues at the earliest left."""

    def __init__(self, message: str, *, topic: str, partition: int, earliest: int) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition
        self.earliest = earliest


# -- object storage -----------------------------------------------------------


class StoreError(PenstockError):
    """Object storage could not do what was asked; nothing of it was done that anybody sees."""


class StoreUnreachable(StoreError):
    """It does not answer. Try again later."""


class StoreUnusable(StoreError):
    """No such bucket or folder, or credentials missing or refused: trying again changes nothing."""


# -- models -------------------------------------------------------------------


class ModelRefused(PenstockError):
    """An artifact cannot be registered: not what its name says, untrusted code, or a signature that does not fit."""


class ArtifactDamaged(PenstockError):
    """An artifact's bytes no longer have the SHA-256 recorded at registration."""


class InputInvalid(PenstockError):
    """Rows hold values that no input of the model can hold; all the others may be scored.

    ``rows`` are their places in the call, one at least. No other attempt is luckier: the values and the model stay.
    """

    def __init__(self, reason: str, rows: Sequence[int]) -> None:
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        super().__init__(f"{reason}, in row {rows[0]}{more}")
        self.reason = reason
        self.rows = list(rows)


class PredictionInvalid(PenstockError):
    """A model answered with another row count, type or column than its signature, or with NaN or infinity."""


class PredictionMisshapen(PredictionInvalid):
    """A model answered with another number of rows than it was given: the fault is the model's and no row's, so none is
    looked for that might pass by itself."""


# -- processes and clients ----------------------------------------------------


class CannotStart(PenstockError):
    """The processes cannot be started: an address, a port, or a child that does not come up."""


class NotPenstock(PenstockError):
    """What answers at that address is no Penstock, or one of another version."""


class Unreachable(PenstockError):
    """No server answers at that address; nothing was sent."""


class TLSFailed(Unreachable):
    """TLS was not agreed upon with the server, whose certificate is not trusted here or for another name, or a file of
    certificates cannot be used; nothing was sent."""


class Uncertain(PenstockError):
    """The connection broke, or no answer came in time, after a request was sent: it may have been carried out, so it
    was not sent again."""


# -- stages -------------------------------------------------------------------


class OutcomeInvalid(PenstockError):
    """What a stage says of its work cannot be: done beyond what it was given or less than before, a partition of which
    it was given nothing, no time to wait. Nothing was stored, and the positions are held."""


# -- the runner ---------------------------------------------------------------


class NotOffered(PenstockError, AttributeError):
    """A function asked a handle, such as ``ps.Models``, for what that does not do; says what it does. Nothing was done,
    and the event fails as by any error of the function."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    @classmethod
    def by(cls, handle: str, asked: str, offered: Iterable[str]) -> NotOffered:
        """The error of a handle that offers these. Raises nothing."""
        return cls(f"ps.{handle} has no '{asked}' for this function; it has {', '.join(offered) or 'nothing'}")


class ResultInvalid(PenstockError):
    """A function's answer does not fit: its row count, its parents, or its columns; says which and what to do."""


class ResultMisshapen(ResultInvalid):
    """A function's answer whose rows cannot be told to the events that they were made of: another number of rows
    without ``_row``, a ``_row`` that is nobody's, no frame at all. The declaration's fault, whichever rows it is given:
    rows that would pass one by one would pass with wrong values."""


@dataclass
class TaskFailed(PenstockError):
    """User code or a model raised: the whole call has no result."""

    error: str  # the exception's type name
    reason: str  # its message
    traceback: str
    unavailable: bool = False  # Unavailable: the dependency is away, not the rows bad
    transient: bool = False  # OSError and its kin: waiting may help

    def __str__(self) -> str:
        return f"{self.error}: {self.reason}"


@dataclass
class RunnerDied(PenstockError):
    """The runner was killed, crashed, overran its time or its memory during a call."""

    reason: str
    row: int | None = None  # the row that a per-event function was at, where known

    def __str__(self) -> str:
        return self.reason
