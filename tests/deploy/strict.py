"""The strict pass: what a program asked for, looked at as mocks do not.

The SDK's mocks refuse an argument that there is not, and one that is missing, and nothing else. Here every value is
compared with the SDK's own types (names of nested keys, kinds of values, enumerations), every resource with what its
service is known to refuse, and the program with itself: no URN twice, no secret in the clear, no output that is None.
"""

from __future__ import annotations

import enum
import functools
import importlib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.deploy.capture import Captured, Program, leaves
from tests.deploy.services import Made, azure, dangling, refusals
from tests.deploy.services.made import There
from tests.deploy.services.values import Asset, Secret, Value

FOUNDATION = ("pulumi:", "penstock:")


def check(program: Program, folder: Path | None = None, secrets: Sequence[str] = ()) -> list[str]:
    """What is wrong, each as ``type name: path: why``; empty: nothing. ``secrets``: values that nobody may see besides
    those that a service hands out. ``folder``: where relative paths begin."""
    found = check_whole(program, secrets)
    for resource in program.resources:
        found += check_one(resource, folder)
    return found


def check_whole(program: Program, secrets: Sequence[str] = ()) -> list[str]:
    """Of ``check`` what is about services and other resources."""
    return [*_twice(program), *_services(program), *_shown(program, (azure.MARK, *secrets)), *_exports(program)]


def check_one(resource: Captured, folder: Path | None = None) -> list[str]:
    """Of ``check`` what the SDK's own types say of a resource."""
    if resource.type.startswith(FOUNDATION):
        return []
    return [f"{resource.type} {resource.name}: {text}" for text in _shape(resource, folder or Path())]


def _twice(program: Program) -> Iterator[str]:
    seen: set[str] = set()
    for resource in program.resources:
        if resource.urn in seen:
            yield f"{resource.type} {resource.name}: two resources have one URN: {resource.urn}"
        seen.add(resource.urn)


def _services(program: Program) -> Iterator[str]:
    """In the order in which they are made."""
    made = Made()
    for resource in program.resources:
        if resource.type.startswith(FOUNDATION):
            continue
        for refusal in refusals(resource.type, resource.inputs, made):
            yield f"{resource.type} {resource.name}: {refusal}"
        if made.has(resource.id):
            yield f"{resource.type} {resource.name}: there is one already that has the id {resource.id}"
        made.add(resource.id, There(resource.type, resource.inputs, resource.outputs))
    yield from (f"{id_}: {refusal}" for id_, refusal in dangling(made))


def _shown(program: Program, secrets: Sequence[str]) -> Iterator[str]:
    places: list[tuple[str, Mapping[str, Value]]] = [("export", program.exports)]
    for resource in program.resources:
        places.append((f"{resource.type} {resource.name}", resource.inputs))
        if resource.type.startswith("penstock:"):
            places.append((f"output of {resource.name}", resource.outputs))
    for place, values in places:
        for path, value, is_secret in leaves(values):
            if not is_secret and isinstance(value, str) and any(secret in value for secret in secrets):
                yield f"{place}: {path}: a secret in the clear"
            if isinstance(value, str) and azure.ROOT_RULE in value:
                yield f"{place}: {path}: the namespace's root key, which may do all"


def _exports(program: Program) -> Iterator[str]:
    for path, value, _ in leaves(program.exports):
        if value is None or (isinstance(value, str) and "None" in value):
            yield f"export: {path}: {value!r} is nothing"


# -- the SDK's own types ------------------------------------------------------


def _shape(resource: Captured, folder: Path) -> Iterator[str]:
    args = args_class(resource.type)
    if args is None:
        if not resource.type.startswith("kubernetes:keda.sh/"):
            yield "the SDK has no such type"
        return
    yield from _object(resource.inputs, args, "", folder)


def args_class(type: str) -> Any:
    """The SDK's class of a resource's arguments; None where there is none."""
    package, module, name = type.split(":")
    if package == "azure-native":
        found = importlib.import_module(f"pulumi_azure_native.{module.replace('/', '.')}")
        return getattr(found, f"{name}Args", None)
    group, _, version = module.rpartition("/")
    try:
        found = importlib.import_module(f"pulumi_kubernetes.{group.partition('.')[0]}.{version}")
    except ModuleNotFoundError:
        return None
    return getattr(found, f"{name}InitArgs", None)


@functools.cache
def _hints(args: Any) -> Mapping[str, Any]:
    """By the names that travel."""
    from pulumi import _types

    found: Mapping[str, Any] = _types._raw_return_hints(args)
    return found


def _object(value: Mapping[str, Value], args: Any, path: str, folder: Path) -> Iterator[str]:
    hints = _hints(args)
    for key, one in value.items():
        inner = f"{path}.{key}".strip(".")
        if key in hints:
            yield from _value(one, hints[key], inner, folder)
        elif not key.startswith("__"):
            near = [known for known in hints if known.lower().replace("_", "") == key.lower().replace("_", "")]
            hint = f"; it is {near[0]}" if near else f"; there are {', '.join(sorted(hints))}"
            yield f"{inner}: {args.__name__} has no such key{hint}"
    for key in _required(args) - set(value):
        yield f"{path}.{key}: {args.__name__} needs it".strip(".")


@functools.cache
def _required(args: Any) -> set[str]:
    """Those that the constructor has no default for."""
    import inspect

    from pulumi import _types

    names = _types.input_type_py_to_pulumi_names(args)
    parameters = inspect.signature(args.__init__).parameters.values()
    return {names[p.name] for p in parameters if p.name in names and p.default is inspect.Parameter.empty}


def _members(hint: Any) -> Iterator[Any]:
    """Of a union of whatever an input may be: what it is once it is known."""
    import collections.abc

    from pulumi import Output

    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for one in typing.get_args(hint):
            yield from _members(one)
    elif hint is type(None) or hint is Output or origin in (Output, collections.abc.Awaitable):
        return
    elif isinstance(hint, typing.ForwardRef) or typing.is_typeddict(hint):
        return  # ``Output[T]`` in quotes, and the same as a class beside it
    else:
        yield hint


def _value(value: Any, hint: Any, path: str, folder: Path) -> Iterator[str]:
    if isinstance(value, Secret):
        value = value.value
    if isinstance(value, Asset):
        if value.path and not (folder / value.path).exists():
            yield f"{path}: there is no {'folder' if value.is_folder else 'file'} {value.path}"
        return
    members = list(_members(hint))
    if value is None or not members or Any in members:
        return
    reasons: list[list[str]] = []
    enums = [one for one in members if isinstance(one, type) and issubclass(one, enum.Enum)]
    for one in members:
        if enums and one is str and isinstance(value, str):
            continue  # the SDK lets any text by where it knows an enumeration
        reasons.append(list(_one(value, one, path, folder)))
        if not reasons[-1]:
            return
    yield from min(reasons, key=len)


def _one(value: Any, hint: Any, path: str, folder: Path) -> Iterator[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if value not in arguments:
            yield f"{path}: {value!r} is none of {list(arguments)}"
    elif origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            yield f"{path}: {value!r} is no map"
            return
        for key, one in value.items():
            yield from _value(one, arguments[1], f"{path}.{key}", folder)
    elif origin is not None and issubclass(origin, Sequence):
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for index, one in enumerate(value):
            yield from _value(one, arguments[0], f"{path}[{index}]", folder)
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        known = [member.value for member in hint]
        if value not in known:
            yield f"{path}: {value!r} is none of {hint.__name__}: {', '.join(map(str, known))}"
    elif hasattr(hint, "__init__") and isinstance(hint, type) and hint.__module__.startswith("pulumi_"):
        if not isinstance(value, Mapping):
            yield f"{path}: {value!r} is no {hint.__name__}"
            return
        yield from _object(value, hint, path, folder)
    else:
        yield from _plain(value, hint, path)


def _plain(value: Any, hint: Any, path: str) -> Iterator[str]:
    kinds: Mapping[Any, tuple[Any, str]] = {
        str: (str, "text"), bool: (bool, "true or false"), int: (int, "whole number"), float: ((int, float), "number"),
    }  # fmt: skip
    if hint not in kinds:
        return
    kind, name = kinds[hint]
    if not isinstance(value, kind) or (isinstance(value, bool) and hint is not bool):
        yield f"{path}: {value!r} is no {name}"
