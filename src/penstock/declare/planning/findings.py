"""What is wrong with an app, in the order found: so that one look shows all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...errors import DeclarationError

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``place`` is file:line; ``mend`` says what to write instead."""

    severity: Severity
    place: str
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}\n    {self.mend}"


@dataclass(slots=True)
class FindingCollector:
    """Collects findings."""

    findings: list[Finding] = field(default_factory=list)

    def error(self, place: str, message: str, mend: str) -> None:
        self._add(Finding("error", place, message, mend))

    def warning(self, place: str, message: str, mend: str) -> None:
        self._add(Finding("warning", place, message, mend))

    @property
    def errors(self) -> Sequence[Finding]:
        return [f for f in self.findings if f.severity == "error"]

    def raise_errors(self) -> None:
        """Raises one ``DeclarationError`` that shows every error."""
        if self.errors:
            raise DeclarationError("\n".join(map(str, self.errors)))

    def _add(self, finding: Finding) -> None:
        if finding not in self.findings:
            self.findings.append(finding)
