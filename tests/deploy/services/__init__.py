"""What is known of the services that a program asks for resources: what they answer, and what they refuse.

Two judges use it: the strict pass over captured inputs (``strict.py``) and the stand-in providers of the real engine
(``engine/``). It is taken from the services' documentation; none of it was tried against a real one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import azure, kubernetes
from .made import Made, Refusal
from .values import Value

__all__ = ["Made", "Refusal", "answer", "dangling", "refusals", "state_of"]


def state_of(type: str, name: str, inputs: Mapping[str, Value]) -> tuple[str, dict[str, Any]]:
    """The id that the service gives, and the outputs."""
    for service in (azure, kubernetes):
        if type.startswith(service.PREFIX):
            found: tuple[str, dict[str, Any]] = service.state_of(type, name, inputs)
            return found
    return f"{name}-id", dict(inputs)


def refusals(type: str, inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    """What the service would refuse of a resource, beside what it made before."""
    for service in (azure, kubernetes):
        if type.startswith(service.PREFIX):
            yield from service.refusals(type, inputs, made)
            return
    if not type.startswith(("pulumi:", "penstock:")):
        yield Refusal("", f"no judge knows {type}: its service's rules belong into tests/deploy/services")


def dangling(made: Made) -> Iterator[tuple[str, Refusal]]:
    """What refers to something that is not there, by id, once all is made. Azure refuses it before."""
    for id_, there in made.resources.items():
        if there.type.startswith(kubernetes.PREFIX):
            yield from ((id_, found) for found in kubernetes.dangling(there.type, there.inputs, made))


def answer(token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """To a function that a program calls. Raises ``LookupError`` for one that no service here has."""
    return azure.answer(token, arguments)
