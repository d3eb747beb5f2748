"""What an app asks of its environment: by name, never the value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..errors import DeclarationError


@dataclass(frozen=True, slots=True)
class ReferenceSpec:
    """An environment variable, as ``ps.env`` or ``ps.secret`` names it. ``default`` is the file's, if it has one."""

    kind: Literal["env", "secret"]
    variable: str
    default: str | None = None

    def __str__(self) -> str:
        return f"ps.{self.kind}({self.variable!r})"

    def is_given(self, environ: Mapping[str, str]) -> bool:
        return self.default is not None or self.variable in environ

    def resolve(self, environ: Mapping[str, str]) -> str:
        """The value. Raises ``DeclarationError`` when the variable is not set."""
        value = environ.get(self.variable, self.default)
        if value is None:
            raise DeclarationError(f"{self} has no value: set the environment variable {self.variable}")
        return value


def value_of(given: str | ReferenceSpec | None, environ: Mapping[str, str]) -> str | None:
    """A text as it is, and what a reference stands for; None where that has no value here."""
    if not isinstance(given, ReferenceSpec):
        return given
    return given.resolve(environ) if given.is_given(environ) else None
