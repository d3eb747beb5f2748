"""Runs a Pulumi program without engine and cloud, and keeps what it asked for.

The SDK's mocks let a program pass that is none: outputs that no mock returns are None, secrets lose their mark, and
what was awaited nowhere never ran. Here the program runs as the engine would run it, services answer with ids and
keys (``services/``), and every value keeps whether it is secret, at the place where the program said so.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import runpy
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.deploy.services import answer, state_of
from tests.deploy.services.values import Asset, Secret, Value

PROJECT, STACK = "app", "dev"
SIGNATURE = "4dabf18193072939515e22adb298388d"  # the key of Pulumi's protocol that says that a map is no map
SECRET, ASSET, ARCHIVE, REFERENCE, OUTPUT = (
    "1b47061264138c4ac30d75fd1eb44270",
    "c44067f5952c0a294b673a41bacd8c17",
    "0def7320c3a5731c473e5ecbe6d01bc7",
    "5cf8f73096256a8f31e491e813e4eb8e",
    "d0e6a833031e9bbcd3f4e8bde6ca49a4",
)


@dataclass(frozen=True, slots=True)
class Captured:
    """A resource that the program asked for. ``inputs``: by the names that travel, camelCase; a secret value is a
    ``Secret``. ``parent``: the URN of the resource that it belongs to. ``outputs``: what the service answered; of a
    component, what it registered."""

    type: str
    name: str
    inputs: Mapping[str, Value]
    urn: str
    parent: str
    id: str = ""
    outputs: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Program:
    """``resources`` in the order in which they were asked for, ``exports``: the stack's outputs, ``calls``: functions
    of a cloud that were called, each with its arguments."""

    resources: tuple[Captured, ...]
    exports: Mapping[str, Value]
    calls: tuple[tuple[str, Mapping[str, Value]], ...] = ()

    def of(self, type: str) -> list[Captured]:
        return [resource for resource in self.resources if resource.type == type]

    def one(self, type: str, name: str = "") -> Captured:
        """Raises ``LookupError`` where there is none, or more than one."""
        found = [resource for resource in self.of(type) if name in ("", resource.name)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} of {type} {name}")
        return found[0]


def capture(program: Callable[[], object]) -> Program:
    """What ``program`` asks for: a component or any other code that makes resources.

    Raises what the program raises.
    """
    return _in_own_thread(lambda: _run(program, {}))


def capture_file(main: Path, config: Mapping[str, str | Secret] | None = None) -> Program:
    """The same of a written project's ``__main__.py``, run in its folder. ``config`` without the project's name."""

    def program() -> None:
        before, path = Path.cwd(), list(sys.path)
        os.chdir(main.parent)
        sys.path.insert(0, str(main.parent))
        try:
            runpy.run_path(str(main), run_name="__main__")
        finally:
            os.chdir(before)
            sys.path[:] = path

    return _in_own_thread(lambda: _run(program, config or {}))


def _in_own_thread(run: Callable[[], Program]) -> Program:
    """The SDK keeps the loop of a thread, and its settings in the context."""
    found: list[Program] = []
    failed: list[BaseException] = []

    def body() -> None:
        try:
            found.append(contextvars.Context().run(run))
        except BaseException as failure:
            failed.append(failure)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def _run(program: Callable[[], object], config: Mapping[str, str | Secret]) -> Program:
    from pulumi.runtime import config as pulumi_config
    from pulumi.runtime import settings
    from pulumi.runtime.mocks import MockEngine, MockSettings
    from pulumi.runtime.stack import run_in_stack

    # Before the settings: else what they make belongs to another loop than what the program awaits.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        monitor = _monitor()
        # Not ``set_mocks``: it begins a stack of its own, beside that of the program.
        common: dict[str, Any] = {"organization": None, "callbacks": None, "dry_run": False, "monitor_features": set()}
        settings.configure(
            MockSettings(monitor=monitor, engine=MockEngine(None), project=PROJECT, stack=STACK, **common)
        )
        values = {f"{PROJECT}:{key}": plain(value) for key, value in config.items()}
        secrets = [f"{PROJECT}:{key}" for key, value in config.items() if isinstance(value, Secret)]
        pulumi_config.set_all_config(values, secrets)

        def body() -> None:
            program()  # what it returns is no awaitable for the SDK

        loop.run_until_complete(run_in_stack(body))
        found: Program = monitor.program()
        return found
    finally:
        loop.run_until_complete(_end())
        pulumi_config.set_all_config({}, [])
        settings.reset_options()
        asyncio.set_event_loop(None)
        loop.close()


async def _end() -> None:
    """Of a program that failed some is under way still, and not all of it has begun: what has not cannot be ended."""
    for _ in range(10):
        await asyncio.sleep(0)
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _monitor() -> Any:
    """The mocks' monitor, with its own eyes: it looks at what travels, before the SDK makes plain values of it."""
    from pulumi.runtime.mocks import MockMonitor
    from pulumi.runtime.proto import resource_pb2

    class Monitor(MockMonitor):  # type: ignore[misc]  # nothing is known of the SDK here
        """Called in threads of the SDK's, in the order in which values become known."""

        def __init__(self) -> None:
            super().__init__(None)
            self.asked: list[Captured] = []
            self.calls: list[tuple[str, Mapping[str, Value]]] = []
            self.registered: dict[str, Mapping[str, Value]] = {}
            self.root = ""

        def Invoke(self, request: Any) -> Any:
            arguments = decode(request.args)
            self.calls.append((request.tok, arguments))
            return resource_pb2.ResourceInvokeResponse(**{"return": encode(answer(request.tok, arguments))})

        def RegisterResource(self, request: Any) -> Any:
            if request.type == "pulumi:pulumi:Stack":
                self.root = self.make_urn("", request.type, request.name)
                return resource_pb2.RegisterResourceResponse(urn=self.root)
            # The stack is in no type's way: as the engine makes them.
            parent = "" if request.parent == self.root else request.parent
            urn = self.make_urn(parent, request.type, request.name)
            inputs = decode(request.object)
            id_, state = state_of(request.type, request.name, inputs) if request.custom else ("", dict(inputs))
            for key in request.additionalSecretOutputs:
                if key in state and not isinstance(state[key], Secret):
                    state[key] = Secret(state[key])
            self.asked.append(Captured(request.type, request.name, inputs, urn, parent, id_, state))
            return resource_pb2.RegisterResourceResponse(urn=urn, id=id_, object=encode(state))

        def RegisterResourceOutputs(self, request: Any) -> Any:
            self.registered[request.urn] = decode(request.outputs)
            return super().RegisterResourceOutputs(request)

        def program(self) -> Program:
            resources = [replace(one, outputs=self.registered.get(one.urn, one.outputs)) for one in self.asked]
            return Program(tuple(resources), self.registered.get(self.root, {}), tuple(self.calls))

    return Monitor()


def decode(struct: Any) -> dict[str, Value]:
    """What travelled, with secrets at their places."""
    return {key: _decoded(value) for key, value in struct.fields.items()}


def _decoded(value: Any) -> Value:
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        return [_decoded(one) for one in value.list_value.values]
    if kind == "struct_value":
        return _decoded_map(value.struct_value.fields)
    if kind == "number_value":
        number = value.number_value
        return int(number) if number == int(number) else number
    return None if kind in (None, "null_value") else getattr(value, kind)


def _decoded_map(fields: Any) -> Value:
    signature = fields[SIGNATURE].string_value if SIGNATURE in fields else ""
    if not signature:
        return {key: _decoded(value) for key, value in fields.items()}
    if signature == SECRET:
        return Secret(_decoded(fields["value"]))
    if signature == OUTPUT:
        found = _decoded(fields["value"]) if "value" in fields else None
        return Secret(found) if "secret" in fields and fields["secret"].bool_value else found
    if signature == REFERENCE:
        return _decoded(fields["id"]) if "id" in fields else _decoded(fields["urn"])
    if signature in (ASSET, ARCHIVE):
        return Asset(fields["path"].string_value if "path" in fields else "", signature == ARCHIVE)
    raise ValueError(f"a value with a signature that is not known: {signature}")


def encode(values: Mapping[str, Any]) -> Any:
    """The other way; an asset, which no service answers with, is nothing."""
    from google.protobuf import struct_pb2

    struct = struct_pb2.Struct()
    struct.update({key: _encoded(value) for key, value in values.items()})
    return struct


def _encoded(value: Any) -> Any:
    if isinstance(value, Secret):
        return {SIGNATURE: SECRET, "value": _encoded(value.value)}
    if isinstance(value, Mapping):
        return {key: _encoded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_encoded(one) for one in value]
    return None if isinstance(value, Asset) else value


def plain(value: Any) -> Any:
    """Without marks."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def leaves(value: Value, path: str = "", is_secret: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Of a tree: each value that is no map or list, its path (``a.b[0]``), and whether it is in anything secret."""
    if isinstance(value, Secret):
        yield from leaves(value.value, path, True)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from leaves(one, f"{path}.{key}" if path else key, is_secret)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from leaves(one, f"{path}[{index}]", is_secret)
    else:
        yield path, value, is_secret
