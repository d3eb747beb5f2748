"""The user's resources: opened when a function first needs them, closed in reverse order at the end."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from ...declare.parts import Parts
from ...declare.planning.functions import Asked, resource_shape_of
from ...errors import DeclarationError


class Resources:
    """One object a type. ``ready`` are objects given instead of opened (tests); they are not closed here.

    ``environ`` gives ``ps.env`` and ``ps.secret`` their values.
    """

    def __init__(self, parts: Parts, *, ready: Mapping[Any, object], environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._openers = {shape.provides: (part.function, shape.asked) for part, shape in _shapes(parts)}
        self._objects: dict[Any, object] = dict(ready)
        self._opened: list[Iterator[object]] = []

    def arguments(self, asked: Asked) -> dict[str, object]:
        """Values for these parameters. Raises what the user's code raises, and ``DeclarationError``."""
        given: dict[str, object] = {name: self._get(kind) for name, kind in asked.types.items()}
        return given | {name: ref.resolve(self._environ) for name, ref in asked.refs.items()}

    def close(self) -> None:
        """Run what stands after each ``yield``. One that raises does not keep the others open; it is printed."""
        while self._opened:
            try:
                next(self._opened.pop(), None)
            except Exception:
                traceback.print_exc()

    def _get(self, kind: Any) -> object:
        if kind not in self._objects:
            if kind not in self._openers:
                raise DeclarationError(f"nobody provides {kind}; declare an @app.resource that yields one")
            function, asked = self._openers[kind]
            made = function(**self.arguments(asked))
            self._objects[kind] = next(made)
            self._opened.append(made)
        return self._objects[kind]


def _shapes(parts: Parts) -> Iterator[tuple[Any, Any]]:
    for part in parts.resources:
        yield part, resource_shape_of(part)
