"""The fields of an event type, whichever of the four kinds of class it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, Required, get_origin, get_type_hints, is_typeddict

import msgspec

from ..errors import DeclarationError

MISSING: Any = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class DeclaredField:
    """One field as declared. ``default`` is MISSING without one; ``optional``: may be absent all the same."""

    name: str
    annotation: Any
    default: Any = MISSING
    metadata: Sequence[Any] = ()
    optional: bool = False


def is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def is_pydantic(kind: Any) -> bool:
    """Told by its shape, so that Pydantic need not be installed."""
    return isinstance(kind, type) and hasattr(kind, "model_fields") and hasattr(kind, "model_validate")


def is_event_type(kind: Any) -> bool:
    if is_typeddict(kind) or is_struct(kind) or is_pydantic(kind):
        return True
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def members(kind: type) -> list[DeclaredField]:
    """In order of declaration. Raises ``DeclarationError`` for what has no place in a row."""
    if is_typeddict(kind):
        return _of_typeddict(kind)
    if is_struct(kind):
        return _of_struct(kind)
    return _of_pydantic(kind) if is_pydantic(kind) else _of_dataclass(kind)


def _hints(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except Exception as error:  # whatever evaluating the user's annotations raises
        raise DeclarationError(f"{kind.__qualname__}: its annotations cannot be resolved: {error}") from error


def _of_dataclass(kind: Any) -> list[DeclaredField]:
    hints = _hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        if not field.init:
            raise _refused(kind, field.name, "a field with init=False cannot be read from an event: remove init=False")
        default = _default(kind, field.name, field.default, field.default_factory, dataclasses.MISSING)
        found.append(DeclaredField(field.name, hints[field.name], default))
    return found


def _of_struct(kind: Any) -> list[DeclaredField]:
    config = kind.__struct_config__
    if config.tag is not None or config.array_like:
        raise DeclarationError(f"{kind.__qualname__}: a tagged or array-like Struct has no columns: use a plain one")
    hints = _hints(kind)
    found = []
    for field in msgspec.structs.fields(kind):
        default = _default(kind, field.name, field.default, field.default_factory, msgspec.NODEFAULT)
        found.append(DeclaredField(field.encode_name, hints[field.name], default))
    return found


def optional_keys(kind: Any) -> set[str]:
    """The keys that a TypedDict may lack; its own record does not see through annotations that are strings."""
    hints = _hints(kind)
    said = {name: get_origin(hint) for name, hint in hints.items() if get_origin(hint) in (Required, NotRequired)}
    return {n for n in hints if said.get(n) is NotRequired or (n not in said and n in kind.__optional_keys__)}


def _of_typeddict(kind: Any) -> list[DeclaredField]:
    optional = optional_keys(kind)
    return [DeclaredField(name, hint, optional=name in optional) for name, hint in _hints(kind).items()]


def _of_pydantic(kind: Any) -> list[DeclaredField]:
    found = []
    for name, field in kind.model_fields.items():
        if field.alias is not None or field.validation_alias is not None:
            raise _refused(kind, name, "an alias gives the field two names: name the field itself so")
        fixed = MISSING if field.is_required() or field.default_factory is not None else field.default
        default = _default(kind, name, fixed, field.default_factory or MISSING, MISSING)
        found.append(DeclaredField(name, field.annotation, default, field.metadata))
    return found


def _default(kind: type, name: str, fixed: Any, factory: Any, absent: Any) -> Any:
    if fixed is not absent:
        return fixed
    return MISSING if factory is absent else _made(kind, name, factory)


def _made(kind: type, name: str, factory: Callable[[], Any]) -> Any:
    """A default is written into the topic's type once, so one that differs from call to call is refused."""
    first, second = factory(), factory()
    if msgspec.to_builtins(first) != msgspec.to_builtins(second):
        raise _refused(kind, name, "its default differs from call to call: set the value where the event is made")
    return first


def _refused(kind: type, name: str, why: str) -> DeclarationError:
    return DeclarationError(f"{kind.__qualname__}.{name}: {why}")
