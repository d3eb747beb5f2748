"""A program with one thing taken away: each resource, each input however deep, each row of an output, each mark of a
secret. Whoever wrote the program cannot have forgotten any of them, if for each some judge turns red."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.deploy.capture import Captured, Program, leaves
from tests.deploy.services import state_of
from tests.deploy.services.values import Secret


@dataclass(frozen=True, slots=True)
class Removal:
    """``type`` and ``path`` of what is gone; ``path`` empty: the resource itself. ``changed``: what is left of it."""

    type: str
    name: str
    path: str
    program: Program
    changed: Captured | None = None

    @property
    def kind(self) -> str:
        """Of all that are alike: without names and numbers."""
        path = re.sub(r"\[[^\]]*\]", "", self.path)
        return f"{self.type} {path}".strip()

    def __str__(self) -> str:
        return f"{self.type} {self.name} {self.path}".strip()


def removals(program: Program, secrets: tuple[str, ...]) -> Iterator[Removal]:
    """``secrets``: what the values of secrets have in them."""
    for index, resource in enumerate(program.resources):
        if resource.type.startswith("penstock:"):
            for path, outputs in _without(dict(resource.outputs)):
                yield Removal(resource.type, resource.name, f"output {path}", _put(program, index, resource, outputs))
            continue
        others = (*program.resources[:index], *program.resources[index + 1 :])
        yield Removal(resource.type, resource.name, "", replace(program, resources=others))
        for path, inputs in _without(dict(resource.inputs)):
            yield _made(program, index, resource, path, inputs)
        for path, inputs in _shown(dict(resource.inputs), secrets):
            yield _made(program, index, resource, f"secret {path}", inputs)


def _made(program: Program, index: int, resource: Captured, path: str, inputs: Mapping[str, Any]) -> Removal:
    """With what the service answers then."""
    id_, outputs = state_of(resource.type, resource.name, inputs)
    changed = replace(resource, inputs=inputs, id=id_, outputs=outputs)
    whole = replace(program, resources=(*program.resources[:index], changed, *program.resources[index + 1 :]))
    return Removal(resource.type, resource.name, path, whole, changed)


def _put(program: Program, index: int, resource: Captured, outputs: Mapping[str, Any]) -> Program:
    """An output that is not there is exported by nobody."""
    exports = {key: outputs[key] for key in program.exports if key in outputs}
    resources = (*program.resources[:index], replace(resource, outputs=outputs), *program.resources[index + 1 :])
    return Program(resources, exports)


def _without(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A tree without one of its branches, for each."""
    if isinstance(value, Secret):
        yield from ((inner, Secret(rest)) for inner, rest in _without(value.value, path))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            inner = f"{path}.{key}".strip(".")
            if one in ({}, [], "", None):
                continue  # that is nothing already
            yield inner, {other: kept for other, kept in value.items() if other != key}
            yield from ((deep, {**value, key: rest}) for deep, rest in _without(one, inner))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            named = one.get("name") if isinstance(one, Mapping) else None
            inner = f"{path}[{named if isinstance(named, str) else index}]"
            yield inner, [*value[:index], *value[index + 1 :]]
            yield from ((deep, [*value[:index], rest, *value[index + 1 :]]) for deep, rest in _without(one, inner))


def _shown(value: Any, secrets: tuple[str, ...], path: str = "") -> Iterator[tuple[str, Any]]:
    """A tree in which a secret is none, for each."""
    if isinstance(value, Secret):
        if any(secret in str(leaf) for _, leaf, _ in leaves(value) for secret in secrets):
            yield path, value.value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from ((deep, {**value, key: rest}) for deep, rest in _shown(one, secrets, f"{path}.{key}".strip(".")))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            rest_of = _shown(one, secrets, f"{path}[{index}]")
            yield from ((deep, [*value[:index], rest, *value[index + 1 :]]) for deep, rest in rest_of)
