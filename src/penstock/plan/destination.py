"""Where a subscription goes outside by another way than a webhook, as data that travels."""

from __future__ import annotations

from dataclasses import dataclass

from .references import ReferenceSpec


@dataclass(frozen=True, slots=True)
class DestinationSpec:
    """``kind`` names it in a plan that is written down, and has a row in ``run.compose.destinations``.

    ``hosts``: those that are connected, ``HOST`` or ``HOST:PORT`` with commas between them; empty: none. ``name``: what
    takes the events there, to be shown. ``settings`` are the kind's own; what lets somebody in is a reference.
    """

    kind: str
    hosts: str | ReferenceSpec
    name: str
    settings: tuple[tuple[str, str | ReferenceSpec], ...] = ()

    @property
    def host_names(self) -> tuple[str, ...]:
        """In small letters, without ports; none where only the environment knows."""
        return tuple(dict.fromkeys(name for name, _ in self.addresses))

    @property
    def addresses(self) -> tuple[tuple[str, int | None], ...]:
        """Each host, in small letters, with its port where it says one; none where only the environment knows."""
        if isinstance(self.hosts, ReferenceSpec):
            return ()
        return tuple(_address(each) for each in self.hosts.split(",") if each)

    @property
    def receiver(self) -> str:
        """To be shown."""
        hosts = str(self.hosts) if isinstance(self.hosts, ReferenceSpec) else ", ".join(self.host_names)
        return f"{self.kind} {self.name}" + (f" at {hosts}" if hosts else "")

    @property
    def references(self) -> tuple[ReferenceSpec, ...]:
        given = (self.hosts, *(value for _, value in self.settings))
        return tuple(value for value in given if isinstance(value, ReferenceSpec))


def _address(text: str) -> tuple[str, int | None]:
    if text.startswith("["):  # IPv6
        name, _, rest = text[1:].partition("]")
    else:
        name, colon, number = text.partition(":")
        rest = colon + number
    return name.lower(), int(rest[1:]) if rest[1:].isdecimal() else None
