"""What there is in a cloud, for those who refer to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .values import Secret

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # of Pulumi's protocol: a value that a preview cannot know


@dataclass(frozen=True, slots=True)
class Refusal:
    """``property``: the path of the input that is wrong, empty where it is the resource."""

    property: str
    reason: str

    def __str__(self) -> str:
        return f"{self.property}: {self.reason}" if self.property else self.reason


@dataclass(frozen=True, slots=True)
class There:
    type: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


@dataclass(slots=True)
class Made:
    """By id. ``is_preview``: some of it is not there yet, so nothing is said to be missing."""

    resources: dict[str, There] = field(default_factory=dict)
    is_preview: bool = False
    _ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._ids.update(id_.lower() for id_ in self.resources)

    def add(self, id_: str, there: There) -> None:
        self.resources[id_] = there
        self._ids.add(id_.lower())

    def of(self, type: str) -> Iterator[There]:
        return (there for there in self.resources.values() if there.type == type)

    def has(self, id: str) -> bool:
        """Ids are compared without case, as the services do."""
        return self.is_preview or id.lower() in self._ids


def at(value: Any, path: str) -> Any:
    """What lies at ``a.b`` of a tree, without marks of secrets; None where there is nothing, or nothing known."""
    for key in (*path.split("."), ""):
        while isinstance(value, Secret):
            value = value.value
        if not key:
            break
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if value == UNKNOWN else value


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Of a tree: the path of each text, and the text; without those that a preview cannot know."""
    if isinstance(value, Secret):
        yield from texts(value.value, path)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from texts(one, f"{path}.{key}".strip("."))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from texts(one, f"{path}[{index}]")
    elif isinstance(value, str) and UNKNOWN not in value:
        yield path, value
