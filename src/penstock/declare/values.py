"""The small values that declarations are written with: durations, retries, references to the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from ..errors import DeclarationError
from ..plan.references import ReferenceSpec
from .source_location import at_place

Duration: TypeAlias = str | timedelta
"""``"7d"``, ``"24h"``, ``"1h30m"``, ``"200ms"``, or a ``timedelta``. Units: w d h m s ms us."""

_UNITS = {"w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_UNITS |= {"ms": 1_000, "us": 1}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|[wdhms])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_LONGEST = 1_000 * 365 * _UNITS["d"]
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}")
_DOMAIN_TOPIC = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")  # as in ``batch``, which an app's file does not load


def microseconds(duration: Duration, option: str) -> int:
    """A duration in microseconds. Raises ``DeclarationError`` unless it is above 0 and at most 1,000 years."""
    if isinstance(duration, timedelta):
        given = duration // timedelta(microseconds=1)
    elif isinstance(duration, str) and _WHOLE.fullmatch(text := duration.replace(" ", "")):
        given = round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    else:
        raise refused(f'{option}={duration!r} is not a duration; write "7d", "1h30m", "200ms" or a timedelta')
    if not 0 < given <= _LONGEST:
        raise refused(f"{option}={duration!r} must be above 0 and at most 1000 years")
    return given


def seconds(duration: Duration, option: str) -> float:
    return microseconds(duration, option) / 1e6


def checked_name(name: object, what: str) -> str:
    """A name as Kafka allows it for topics and groups: 1 to 249 of letters, digits, ``.``, ``_`` and ``-``."""
    if not isinstance(name, str) or isinstance(name, Ref) or not _NAME.fullmatch(name):
        raise refused(
            f"{name!r} cannot be the name of {what}; use 1 to 249 letters, digits, '-', '_' and '.', no '.' in front"
        )
    if name.startswith("penstock."):
        raise refused(f"{name!r} cannot be the name of {what}: names that begin with 'penstock.' are Penstock's own")
    return name


RESERVED = {"models", "subscriptions", "dead", "keys", "health", "penstock"}
"""What the names of rights begin with, beside those of topics: no domain is called so."""


def checked_domain(name: object) -> str:
    """A domain's name is a topic's, and one that a right can begin with. Raises ``DeclarationError``."""
    found = checked_name(name, "a domain")
    if found in RESERVED or found.startswith("-"):
        raise refused(f"{found!r} cannot be the name of a domain: no '-' in front, and none of {', '.join(RESERVED)}")
    return found


def checked_domain_topic(name: object) -> str:
    if not isinstance(name, str) or isinstance(name, Ref) or not _DOMAIN_TOPIC.fullmatch(name):
        raise refused(
            f"{name!r} cannot be the name of a domain topic; use 1 to 64 letters, digits, '-', '_' and '.', no '-' or "
            "'.' in front"
        )
    return name


def at_least(number: object, least: int, option: str, most: int | None = None) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise refused(f"{option}={number!r} must be an integer")
    if number < least or (most is not None and number > most):
        raise refused(f"{option}={number} must be at least {least}" + ("" if most is None else f" and at most {most}"))
    return number


def refused(message: str) -> DeclarationError:
    """The error of the declaration under way, with its place."""
    return DeclarationError(at_place(message))


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a row that fails alone is tried, and for how long at most (default: ``PENSTOCK_POISON_AFTER``); and how
    often a delivery is, of which a subscription allows 30 attempts and 24 hours (default of its ttl).

    Raises ``DeclarationError`` for fewer than one attempt and for what is no duration.

    >>> ps.Retry(attempts=5, ttl="1h").ttl_seconds
    3600.0
    """

    attempts: int = 3
    ttl: Duration | None = None

    def __post_init__(self) -> None:
        at_least(self.attempts, 1, "attempts")
        if self.ttl is not None:
            microseconds(self.ttl, "ttl")

    @property
    def ttl_seconds(self) -> float | None:
        """``ttl`` in seconds."""
        return None if self.ttl is None else seconds(self.ttl, "ttl")


class Ref(str):
    """A value that the environment gives where it is used; until then it reads ``env:NAME`` or ``secret:NAME``.

    Made by ``ps.env`` and ``ps.secret``. Written as the default of a resource's or a function's parameter, the
    parameter gets the value.
    """

    kind: Literal["env", "secret"]
    variable: str
    default: str | None

    def __new__(cls, kind: Literal["env", "secret"], variable: str, default: str | None = None) -> Ref:
        made = super().__new__(cls, f"{kind}:{variable}")
        made.kind, made.variable, made.default = kind, variable, default
        return made

    def __repr__(self) -> str:
        return f"ps.{self.kind}({self.variable!r})"

    def __reduce__(self) -> tuple[type[Ref], tuple[str, str, str | None]]:
        return Ref, (self.kind, self.variable, self.default)

    @property
    def spec(self) -> ReferenceSpec:
        """As a plan holds it."""
        return ReferenceSpec(self.kind, self.variable, self.default)

    def resolve(self, environ: Mapping[str, str]) -> str:
        """The value, as a plain string. Raises ``DeclarationError`` when the variable is not set."""
        return self.spec.resolve(environ)


def env(name: str, default: str | None = None) -> Ref:
    """The environment variable ``name``, read where it is used and never at import.

    Where it is not set and has no ``default``, ``penstock check`` says so, and a stage that needs it is not ready. The
    plan of the app has its name, not its value. Raises ``DeclarationError`` for what is no name of one.

    >>> ps.env("RISKS_URL", "http://127.0.0.1:9000")
    ps.env('RISKS_URL')
    """
    return Ref("env", _variable(name), default)


def secret(name: str) -> Ref:
    """Like ``env``, for what must never be shown: it has no default, and its repr only names it.

    Raises ``DeclarationError`` for what is no name of an environment variable.

    >>> ps.secret("API_KEY")
    ps.secret('API_KEY')
    """
    return Ref("secret", _variable(name))


def _variable(name: str) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise refused(f"{name!r} cannot be the name of an environment variable; use letters, digits and '_'")
    return name
