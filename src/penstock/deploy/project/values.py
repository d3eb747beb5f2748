"""What a stack of a written project has to be told: a row a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...access.admin import ADMIN_KEY
from ...access.sas import SECRET as SAS_SECRET
from ..access import is_open
from ..requirements import Requirements

IMAGE = "image"
MADE_BY = {ADMIN_KEY: "penstock keys generate | ", SAS_SECRET: "openssl rand -hex 32 | "}
"""Secrets that nobody has yet: what makes one, so that it is on no screen and in no history of a shell."""


@dataclass(frozen=True, slots=True)
class StackValue:
    """``key``: in the stack's configuration; with a colon it is the provider's own, which looks it up itself. Else the
    program hands it to ``PenstockAppArgs`` by this name. ``example``: what one looks like. ``text``: what it is."""

    key: str
    example: str
    text: str

    @property
    def is_argument(self) -> bool:
        return ":" not in self.key


@dataclass(frozen=True, slots=True)
class TargetProject:
    """What a target's project has of its own. ``title``: what it is called in texts. ``sdk``: the module of Pulumi's
    that the project's environment has to have. ``exports``: attributes of the component. ``before`` and ``after``:
    commands that somebody types before and after anything is deployed, each with what it is for. Where the doors are to
    be open there is more: ``ingress``, the argument's text, what it takes of ``imported`` names, and its values."""

    title: str
    sdk: str
    own_values: tuple[StackValue, ...]
    exports: tuple[str, ...]
    before: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]
    ingress: str
    imported: tuple[str, ...] = ()
    ingress_values: tuple[StackValue, ...] = ()

    @property
    def values(self) -> tuple[StackValue, ...]:
        """In the order in which they are told."""
        return (*self.own_values, StackValue(IMAGE, "REGISTRY/NAME@sha256:DIGEST", "the app's image, by its digest"))


@dataclass(frozen=True, slots=True)
class WantedValue:
    """``variable``: of the app's environment; empty: a value of the project's own. ``why``: what asks for it.
    ``command``: what gives it, in the project's directory."""

    key: str
    variable: str
    is_secret: bool
    why: str
    command: str


def wanted_values(needed: Requirements, project: TargetProject) -> list[WantedValue]:
    """All that a stack has to be told: the project's own, the app's settings without a default, and its secrets."""
    values = (*project.values, *(project.ingress_values if is_open(needed) else ()))
    found = [
        WantedValue(value.key, "", False, value.text, f"pulumi config set {value.key} {value.example}")
        for value in values
    ]
    for setting in needed.settings:
        if setting.default is None:
            key = _key_of(setting.name, values)
            found.append(WantedValue(key, setting.name, False, str(setting.reason), f"pulumi config set {key} VALUE"))
    for secret in needed.secrets:
        key = _key_of(secret.name, values)
        command = f"{MADE_BY.get(secret.name, '')}pulumi config set --secret {key}"
        found.append(WantedValue(key, secret.name, True, str(secret.reason), command))
    return found


def _key_of(variable: str, values: Iterable[StackValue]) -> str:
    """A variable's name, but for one that the project has taken."""
    return f"app_{variable}" if variable in {value.key for value in values} else variable
