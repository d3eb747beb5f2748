"""What Kubernetes and KEDA publish of their objects, as judges that refuse whatever they do not know.

Kubernetes' schemas are those in the wheel of kubernetes-validate, strict ones; KEDA's definitions and the metadata of
its triggers are in its Go module. Both come from registries; none is copied here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

VERSIONS = ("1.29", "1.37")  # the oldest that has all that is used here, and the newest that is published there
KEDA = "github.com/kedacore/keda/v2@v2.21.0"
FETCH_S = 300.0  # seconds for the module to come


def problems(made: Mapping[str, Any], version: str) -> list[str]:
    """What is wrong with an object, each with its place."""
    if made["apiVersion"].startswith("keda.sh/"):
        found = list(_told(_of_keda(made["kind"]), made))
        return found or [f"spec: {each}" for each in _of_triggers(made["spec"])]
    return list(_told(_of_kubernetes(made["kind"], made["apiVersion"], version), made))


def _told(validator: Any, made: Mapping[str, Any]) -> Iterator[str]:
    for error in validator.iter_errors(made):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"


def unavailable(what: str) -> None:
    """A laptop may be without; where CI is set, nothing is passed over."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


@cache
def _of_kubernetes(kind: str, api_version: str, version: str) -> Any:
    try:
        from kubernetes_validate.utils import schema_contents
    except ImportError:
        unavailable("Kubernetes' schemas are in kubernetes-validate, which is not installed")
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    group, _, of = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], of) if part)
    schema, definitions = (schema_contents(f"{folder}/{each}.json", version) for each in (name, "_definitions"))
    registry: Any = Resource.from_contents(definitions) @ (Resource.from_contents(schema) @ Registry())
    return Draft202012Validator(schema, registry=registry)


@cache
def keda_module() -> Path:
    """Its folder in Go's own cache."""
    if shutil.which("go") is None:
        unavailable("KEDA's definitions come as a Go module, and Go is not installed")
    done = subprocess.run(
        ["go", "mod", "download", "-json", KEDA],
        capture_output=True,
        text=True,
        timeout=FETCH_S,
        env={**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "on"},
        check=False,
    )
    if done.returncode:
        unavailable(f"KEDA's definitions do not come: {done.stdout} {done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


@cache
def _of_keda(kind: str) -> Any:
    import yaml
    from jsonschema import Draft202012Validator

    file = keda_module() / "config" / "crd" / "bases" / f"keda.sh_{kind.lower()}s.yaml"
    definition = yaml.safe_load(file.read_text())["spec"]
    (version,) = definition["versions"]
    assert (definition["group"], version["name"], version["served"]) == ("keda.sh", "v1alpha1", True)
    return Draft202012Validator(_strict(version["schema"]["openAPIV3Schema"]))


def _strict(schema: Any) -> Any:
    """A server drops what a definition does not name, or refuses it; here it is refused. ``metadata`` is not in it."""
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value) for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        found["properties"] = {name: _strict(value) for name, value in schema["properties"].items()}
        found.setdefault("additionalProperties", False)
        if found["properties"].get("metadata") == {"type": "object"}:
            found["properties"]["metadata"] = {
                "type": "object",
                "propertyNames": {"enum": ["name", "namespace", "labels"]},
            }
    return found


def _of_triggers(spec: Mapping[str, Any]) -> Iterator[str]:
    """A definition says of a trigger's metadata only that they are texts; which there are is in the source."""
    for trigger in spec.get("triggers", ()):
        known, needed = _metadata_of(trigger["type"])
        yield from (
            f"no such metadata of {trigger['type']}: {name}" for name in trigger["metadata"] if name not in known
        )
        yield from (f"{trigger['type']} lacks {name}" for name in needed if name not in trigger["metadata"])
    for reference in (*spec.get("secretTargetRef", ()), *spec.get("configMapTargetRef", ())):
        if reference["parameter"] not in _metadata_of("kafka", "authParams")[0]:
            yield f"no such parameter: {reference['parameter']}"


@cache
def _metadata_of(trigger: str, order: str = "triggerMetadata") -> tuple[frozenset[str], frozenset[str]]:
    """Those that there are, and those that must be there."""
    source = (keda_module() / "pkg" / "scalers" / f"{trigger}_scaler.go").read_text()
    tags = re.findall(r'keda:"name=(\w+),\s*order=([^",]*)([^"]*)"', source)
    known = {name for name, where, _ in tags if order in where}
    return frozenset(known), frozenset(
        name for name, where, rest in tags if where.strip().startswith(order) and not rest.strip(" ,")
    )


def misspelt(made: Mapping[str, Any], free: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """The object with one key misspelt, for each that there is, and its place. In those of ``free`` any key goes."""

    def walk(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                rest = {other: kept for other, kept in value.items() if other != key}
                if not path or path[-1] not in free:
                    yield ".".join((*path, key)), {**rest, f"{key}x": inner}
                for place, changed in walk(inner, (*path, key)):
                    yield place, {**rest, key: changed}
        elif isinstance(value, list):
            for at, inner in enumerate(value):
                for place, changed in walk(inner, (*path, str(at))):
                    yield place, [*value[:at], changed, *value[at + 1 :]]

    yield from walk(made, ())
