"""A stand-in for a provider: a program that the engine starts, and that plays the cloud.

What is made lies in a file in the folder that ``STANDIN_CLOUD`` names, so that it outlives the program as a cloud does.
``Check`` refuses what the service refuses of the inputs alone; ``Create`` what refers to nothing, or is there already.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import threading
from collections.abc import Mapping
from concurrent import futures
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc
from tests.deploy.capture import decode, encode, plain
from tests.deploy.services import Made, answer, azure, refusals, state_of
from tests.deploy.services.made import UNKNOWN, There

CLOUD = "STANDIN_CLOUD"


class Cloud:
    """What was made, by id; several calls come at once."""

    def __init__(self, file: Path) -> None:
        self.lock = threading.RLock()
        self._file = file

    def load(self) -> Made:
        if not self._file.exists():
            return Made()
        found = json.loads(self._file.read_text())
        return Made({id_: There(**there) for id_, there in found.items()})

    def save(self, made: Made) -> None:
        self._file.write_text(json.dumps({id_: asdict(there) for id_, there in made.resources.items()}))


class Provider(provider_pb2_grpc.ResourceProviderServicer):  # type: ignore[misc]  # the SDK is not looked at
    def __init__(self, cloud: Cloud, version: str) -> None:
        self._cloud, self._version = cloud, version

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self._version)

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse()

    def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Check(self, request: Any, context: Any) -> Any:
        inputs, (type_, name) = decode(request.news), _named(request.urn)
        failures = [
            provider_pb2.CheckFailure(property=refusal.property, reason=refusal.reason)
            for refusal in refusals(type_, inputs, Made(is_preview=True))
        ]
        checked = copy.deepcopy(request.news)
        if type_.startswith(azure.PREFIX):
            added = azure.with_names(type_, name, inputs)
            checked.MergeFrom(encode({key: value for key, value in added.items() if key not in inputs}))
        return provider_pb2.CheckResponse(inputs=checked, failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        old, new = decode(request.old_inputs), decode(request.news)
        changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        type_, name = _named(request.urn)
        moved = changed if state_of(type_, name, old)[0] != state_of(type_, name, new)[0] else []
        kind = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=kind, diffs=changed, replaces=moved)

    def Create(self, request: Any, context: Any) -> Any:
        (type_, name), inputs = _named(request.urn), decode(request.properties)
        id_, state = state_of(type_, name, inputs)
        if request.preview:
            return provider_pb2.CreateResponse(properties=_without(request.properties, inputs, state))
        with self._cloud.lock:
            made = self._cloud.load()
            if made.has(id_):
                context.abort(grpc.StatusCode.ALREADY_EXISTS, f"there is one already that has the id {id_}")
            self._keep(made, type_, id_, inputs, state, context)
        return provider_pb2.CreateResponse(id=id_, properties=_with(request.properties, inputs, state))

    def Update(self, request: Any, context: Any) -> Any:
        (type_, name), inputs = _named(request.urn), decode(request.news)
        _, state = state_of(type_, name, inputs)
        if request.preview:
            # What is there already is known, unless it follows from something that is not.
            shown = _without if UNKNOWN in str(request.news) else _with
            return provider_pb2.UpdateResponse(properties=shown(request.news, inputs, state))
        with self._cloud.lock:
            self._keep(self._cloud.load(), type_, request.id, inputs, state, context)
        return provider_pb2.UpdateResponse(properties=_with(request.news, inputs, state))

    def Delete(self, request: Any, context: Any) -> Any:
        with self._cloud.lock:
            made = self._cloud.load()
            if made.resources.pop(request.id, None) is None:
                context.abort(grpc.StatusCode.NOT_FOUND, f"nothing has the id {request.id}")
            self._cloud.save(made)
        return empty_pb2.Empty()

    def Read(self, request: Any, context: Any) -> Any:
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Invoke(self, request: Any, context: Any) -> Any:
        return provider_pb2.InvokeResponse(**{"return": encode(answer(request.tok, decode(request.args)))})

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def _keep(
        self, made: Made, type_: str, id_: str, inputs: Mapping[str, Any], state: Mapping[str, Any], context: Any
    ) -> None:
        others = Made({known: there for known, there in made.resources.items() if known != id_})
        refused = list(map(str, refusals(type_, inputs, others)))
        if refused:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "; ".join(refused))
        made.add(id_, There(type_, _storable(inputs), _storable(state)))
        self._cloud.save(made)


def _named(urn: str) -> tuple[str, str]:
    """The type and the logical name."""
    _, _, types, name = urn.split("::", 3)
    return types.rpartition("$")[2], name


def _with(properties: Any, inputs: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
    """Outputs: the inputs as they came, secrets and files too, and what the service adds or has in another form."""
    found = copy.deepcopy(properties)
    for key, value in encode({key: value for key, value in state.items() if inputs.get(key) != value}).fields.items():
        found.fields[key].CopyFrom(value)
    return found


def _without(properties: Any, inputs: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
    """Outputs of a preview: what the service adds, or has in another form, is not known yet."""
    found = copy.deepcopy(properties)
    for key in inputs:
        if state.get(key) != inputs[key]:
            del found.fields[key]
    return found


def _storable(value: Any) -> Any:
    return json.loads(json.dumps(plain(value), default=lambda asset: asset.path))


def serve(name: str, version: str) -> None:
    """``version``: the one that the SDK asks for. Until the engine ends the process."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    cloud = Cloud(Path(os.environ[CLOUD], f"{name}.json"))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(cloud, version), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")  # as the engine expects it
    sys.stdout.flush()
    server.wait_for_termination()
