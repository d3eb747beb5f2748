"""What resources are called: after the app, so that one resource group holds several; and where a name has to be the
only one in the world, with an end that follows from where it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from ..names import dashed

DIGEST_CHARS = 8
PART_LIMIT_CHARS = 40  # characters that a name keeps of one that the app gave


def worldwide(app: str, limit: int, dash: str, *place: str) -> str:
    """A name of up to ``limit`` characters that no other app, subscription or resource group has, always the same.

    ``dash`` is what it may have between letters: ``-``, or nothing. ``place``: the subscription and the group.
    """
    end = _digest(app, *place)
    stem = dashed(app).replace("-", dash)[: limit - len(dash) - len(end)].rstrip("-")
    return f"{stem}{dash}{end}"


def within(name: str) -> str:
    """Small letters, digits and dashes, short enough to be part of a longer one, and no two alike: a name that is not
    all that itself has some digits of its own behind it."""
    plain = dashed(name)
    if plain == name and len(name) <= PART_LIMIT_CHARS:
        return name
    return f"{plain[:PART_LIMIT_CHARS].rstrip('-')}-{_digest(name)}".strip("-")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGEST_CHARS]


@dataclass(frozen=True, slots=True)
class AzureSite:
    """Where the resources of a component are, and what all of them have. ``component`` is what the user's program calls
    it; ``location`` None: the provider's."""

    app: str
    component: str
    parent: pulumi.Resource
    group: pulumi.Input[str]
    subscription: pulumi.Input[str]
    tenant: pulumi.Input[str]
    location: pulumi.Input[str] | None
    tags: Mapping[str, pulumi.Input[str]]

    def logical(self, *parts: str) -> str:
        """What Pulumi calls a resource: there may be other components in the program."""
        return "-".join((self.component, *parts))

    def named(self, *parts: str) -> str:
        return dashed(self.app, *parts)

    def worldwide(self, given: pulumi.Input[str] | None, limit: int, dash: str = "-") -> pulumi.Input[str]:
        """The name that was given, or one that no other app, subscription or resource group has."""
        if given is not None:
            return given
        place = pulumi.Output.all(self.subscription, self.group)
        return place.apply(lambda known: worldwide(self.app, limit, dash, *known))

    def options(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """``after``: what must be there before, beside what the inputs name."""
        return pulumi.ResourceOptions(parent=self.parent, depends_on=list(after))

    def asking(self, *after: pulumi.Resource) -> pulumi.InvokeOutputOptions:
        """Of a question to the provider about ``after``: in a preview, where it is not there yet, none is asked."""
        return pulumi.InvokeOutputOptions(parent=self.parent, depends_on=list(after))
