"""What ``app.subscribe`` sends to that is neither a webhook nor a topic of the app."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ..plan.destination import DestinationSpec
    from ..plan.plan import BodyFormat


class SubscriptionTarget(ABC):
    """One class a kind of destination; an object of it is written as the target of a subscription.

    ``formats``: those of ``app.subscribe`` that the kind can carry.
    """

    formats: ClassVar[tuple[BodyFormat, ...]] = ("cloudevents", "cloudevents-structured")

    @property
    @abstractmethod
    def spec(self) -> DestinationSpec:
        """As a plan holds it."""
