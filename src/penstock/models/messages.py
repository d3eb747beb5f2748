"""What is written about models in ``penstock.system``: commands asked for, and the events that answer them."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

import msgspec

from ..system.messages import Command, Message, Refused

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
CHAMPION = "champion"
SEED = "seed/"  # begins the id of each command that a start asks for


class Register(Command, frozen=True, kw_only=True):
    """Make the artifact with this SHA-256 the next version of ``name``.

    ``outputs`` and ``inputs`` name columns in the model's order where the artifact does not; ``trust`` is
    ``sha256:HEX`` of an artifact that may execute code; ``only_if_none`` asks for version 1 or nothing; ``promote``
    points the alias to the new version, which otherwise only the first one gets.
    """

    TYPE: ClassVar[str] = "penstock.command.register"

    name: str
    digest: str
    outputs: tuple[str, ...] = ()
    inputs: tuple[str, ...] | None = None
    alias: str = CHAMPION
    dataset_id: str | None = None
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    trust: str | None = None
    only_if_none: bool = False
    promote: bool = False

    @property
    def is_seed(self) -> bool:
        """Did a start ask for it, of a file that the app brings along?"""
        return self.id.startswith(SEED)

    @property
    def trusted(self) -> bool:
        return self.trust is not None

    @property
    def subject(self) -> str | None:
        return f"models/{self.name}"

    def fault(self) -> str | None:
        if not NAME.fullmatch(self.name):
            return f"{self.name!r} is no model name: letters, digits, '.', '_' and '-', at most 128"
        if not valid_alias(self.alias):
            return bad_alias(self.alias)
        if self.trust is not None and self.trust.lower() != f"sha256:{self.digest}":
            return f"trust names {self.trust!r}, and the artifact is sha256:{self.digest}"
        if not all(map(math.isfinite, self.metrics.values())):
            return "metrics must be finite numbers"
        return super().fault()


class MoveAlias(Command, frozen=True, kw_only=True):
    """Point ``alias`` to ``version``; with ``expected``, only if it points to that version now (0: to none)."""

    TYPE: ClassVar[str] = "penstock.command.alias"

    model: str
    alias: str
    version: int
    expected: int | None = None
    cause: str | None = None  # the id of the event that led to it

    @property
    def subject(self) -> str | None:
        return f"models/{self.model}:{self.version}"

    def fault(self) -> str | None:
        return super().fault() if valid_alias(self.alias) else bad_alias(self.alias)


class Registered(Message, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "penstock.model.registered"

    model: str
    version: int
    digest: str
    runtime: str
    signature: dict[str, Any]  # see signature.to_json
    created: int  # microseconds since the epoch
    causationid: str
    trusted: bool = False
    dataset_id: str | None = None
    metrics: dict[str, float] = msgspec.field(default_factory=dict)

    @property
    def subject(self) -> str | None:
        return f"models/{self.model}:{self.version}"


class Promoted(Message, frozen=True, kw_only=True, rename={"from_version": "from", "to_version": "to"}):
    """An alias moved. ``epoch`` counts the moves of this alias, from 1; going back to a version is a new epoch."""

    TYPE: ClassVar[str] = "penstock.model.promoted"

    model: str
    alias: str
    from_version: int | None
    to_version: int
    epoch: int
    causationid: str

    @property
    def subject(self) -> str | None:
        return f"models/{self.model}:{self.to_version}"


class Activated(Message, frozen=True, kw_only=True):
    """From ``from_offset`` on, this stage scores this partition with this version; written with its first outputs."""

    TYPE: ClassVar[str] = "penstock.model.activated"

    stage: str
    topic: str
    partition: int
    from_offset: int
    model: str
    version: int
    epoch: int
    alias: str = CHAMPION

    @property
    def subject(self) -> str | None:
        return f"models/{self.model}:{self.version}"


class DeployedVersion(Message, frozen=True, kw_only=True):
    """A stage has begun to score a topic with a version: written after the first ``Activated`` of it, by the
    registry's owner, of which there is one."""

    TYPE: ClassVar[str] = "penstock.model.deployed"

    stage: str
    topic: str
    model: str
    version: int
    alias: str
    epoch: int

    @property
    def subject(self) -> str | None:
        return f"endpoints/{self.stage}"


Answer = Registered | Promoted | Refused
MESSAGES: tuple[type[Message], ...] = (Register, MoveAlias, Registered, Promoted, Activated, DeployedVersion)


def valid_alias(alias: str) -> bool:
    return NAME.fullmatch(alias) is not None and not alias.isdigit()


def bad_alias(alias: str) -> str:
    return f"{alias!r} is no alias: letters, digits, '.', '_' and '-', at most 128, and not only digits"
