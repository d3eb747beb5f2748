"""What is written in ``penstock.system`` of subscriptions at run time: commands, and the events that answer them."""

from __future__ import annotations

from typing import ClassVar

from ....plan.run_time import RunTimeSubscription
from ....system.messages import Command, Message


class PutSubscription(Command, frozen=True, kw_only=True):
    """Have this subscription. ``by``: who asks, for people. Its ``private`` part is in no answer of a door."""

    TYPE: ClassVar[str] = "penstock.command.subscription.put"

    put: RunTimeSubscription
    by: str

    @property
    def subject(self) -> str | None:
        return f"subscriptions/{self.put.name}"


class DeleteSubscription(Command, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "penstock.command.subscription.delete"

    subscription: str
    by: str

    @property
    def subject(self) -> str | None:
        return f"subscriptions/{self.subscription}"


class PauseSubscription(Command, frozen=True, kw_only=True):
    """Or, where ``paused`` is not, resume it; what a function asks for."""

    TYPE: ClassVar[str] = "penstock.command.subscription.pause"

    subscription: str
    paused: bool
    by: str


class SubscriptionPut(Message, frozen=True, kw_only=True):
    """There is this subscription from here on, in the place of one of its name. ``at``: microseconds since the epoch;
    ``begun``: when the first of its name and source was put, whose place it goes on from."""

    TYPE: ClassVar[str] = "penstock.subscription.put"

    put: RunTimeSubscription
    by: str
    at: int
    begun: int
    causationid: str

    @property
    def subject(self) -> str | None:
        return f"subscriptions/{self.put.name}"


class SubscriptionDeleted(Message, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "penstock.subscription.deleted"

    subscription: str
    by: str
    at: int
    causationid: str

    @property
    def subject(self) -> str | None:
        return f"subscriptions/{self.subscription}"


PRIVATE = (PutSubscription.TYPE, SubscriptionPut.TYPE)
"""The types of those that hold what may let somebody in."""
