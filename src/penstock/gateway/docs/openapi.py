"""/openapi.json, made from the table of doors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ..routes import EVENT_GRID, INFER, Route
from .examples import EXAMPLES, Example
from .samples import Samples

ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "row": {"type": ["integer", "null"]},
                "field": {"type": ["string", "null"]},
                "reason": {"type": "string"},
            },
        }
    },
}
GRID_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "the status"},
                "message": {"type": "string"},
                "details": {"type": "array", "items": ERROR["properties"]["error"]},
            },
        }
    },
}
INFER_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}


def document(routes: Sequence[Route], app: str, samples: Samples) -> dict[str, Any]:
    """The OpenAPI 3.1 description; examples name what the running app has."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, samples)
    error = {"description": "What was wrong, where, and what to do"}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{app} on Penstock", "version": "1"},
        "tags": [{"name": group} for group in dict.fromkeys(route.group for route in routes)],
        "paths": paths,
        "components": {
            "responses": {
                "Error": error | {"content": {"application/json": {"schema": ERROR}}},
                "GridError": error | {"content": {"application/json": {"schema": GRID_ERROR}}},
                "InferError": error | {"content": {"application/json": {"schema": INFER_ERROR}}},
            },
        },
    }


def _operation(route: Route, samples: Samples) -> dict[str, Any]:
    text = {"type": "string"}
    parameters: list[dict[str, Any]] = [
        {"name": n, "in": "path", "required": True, "schema": text, "example": samples.name(n)}
        for n in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [{"name": n, "in": "query", "description": d, "schema": text} for n, d in route.query]
    examples = EXAMPLES.get((route.method, route.path), ())
    done: dict[str, Any] = {"description": "done"}
    error = {INFER: "InferError", EVENT_GRID: "GridError"}.get(route.group, "Error")
    if answers := [e.answer for e in examples if e.answer]:
        done["content"] = {"application/json": {"example": msgspec.json.decode(samples.answer(answers[-1]))}}
    operation: dict[str, Any] = {
        "tags": [route.group],
        "summary": route.summary,
        "parameters": parameters,
        "responses": {str(route.success): done, "default": {"$ref": f"#/components/responses/{error}"}},
    }
    if route.body:
        content = {kind: {"schema": {"description": what}} for kind, what in route.body}
        operation["requestBody"] = {"required": True, "content": content}
    if examples:
        sources = [{"lang": "Shell", "label": e.title, "source": command(e, samples)} for e in examples]
        operation["x-codeSamples"] = sources
    return operation


def command(example: Example, samples: Samples) -> str:
    """What to type in a shell; ``$host`` stands for the address."""
    address = f"'$$host{example.path}'" if "?" in example.path else f"$$host{example.path}"
    lines = [" ".join(example.arguments[:1]), *example.arguments[1:], address]
    return samples.command("curl " + " \\\n     ".join(filter(None, lines)))
