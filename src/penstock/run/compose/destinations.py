"""Which kinds of destination there are beside webhooks. The only module that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...clock import Clock
from ...destinations.interface import SendingDestination
from ...destinations.kafka.open import open_kafka
from ...errors import DeclarationError
from ...plan.plan import BodyFormat, SubscriptionSpec
from ...schema.egress.render import Format


@dataclass(frozen=True, slots=True)
class DestinationKind:
    """``open`` looks up what the subscription refers to, in the environment that it is given; it raises
    ``DeclarationError`` and ``CannotStart``. ``formats``: how events are rendered for it, where that is not what the
    subscription calls it."""

    open: Callable[[SubscriptionSpec, Mapping[str, str], Clock], SendingDestination]
    formats: Mapping[BodyFormat, Format] = field(default_factory=dict)

    def format(self, spec: SubscriptionSpec) -> Format:
        return self.formats.get(spec.format, spec.format)


KINDS: dict[str, DestinationKind] = {
    "kafka": DestinationKind(open_kafka, {"cloudevents": "cloudevents-kafka"}),
}
"""A row a kind, by the name in its ``DestinationSpec``."""


def kind_of(spec: SubscriptionSpec) -> DestinationKind:
    """Raises ``DeclarationError`` for a kind that this Penstock does not know."""
    assert spec.destination is not None
    if spec.destination.kind not in KINDS:
        raise DeclarationError(
            f"there is no kind of destination '{spec.destination.kind}' here, but {', '.join(KINDS)}; is this the "
            "Penstock that the app was checked with?"
        )
    return KINDS[spec.destination.kind]
