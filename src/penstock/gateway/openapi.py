"""/openapi.json and /docs, made from the table of doors; the page loads nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from .routes import Route

ERROR = {
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
STYLE = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:.1em .3em;border-radius:.2em}"
    "section{border-top:1px solid #8884;padding:.5rem 0}h2{font-size:1rem;margin:.5rem 0}dt{float:left;clear:left}"
    "dd{margin-left:18rem}:root{color-scheme:light dark}"
)


def document(routes: Sequence[Route], app: str) -> dict[str, Any]:
    """The OpenAPI 3.1 description."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    error = {"description": "What was wrong, where, and what to do"}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{app} on Penstock", "version": "1"},
        "paths": paths,
        "components": {
            "responses": {"Error": error | {"content": {"application/json": {"schema": ERROR}}}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", route.path)
    text = {"type": "string"}
    parameters = [{"name": n, "in": "path", "required": True, "schema": text} for n in names]
    parameters += [{"name": n, "in": "query", "description": d, "schema": text} for n, d in route.query]
    operation: dict[str, Any] = {
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            str(route.success): {"description": "done"},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    if route.body:
        content = {kind: {"schema": {"description": what}} for kind, what in route.body}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def page(routes: Sequence[Route], app: str) -> str:
    parts = [
        f"<h1>{escape(app)} on Penstock</h1><p>The same for machines: <a href='/openapi.json'>/openapi.json</a></p>"
    ]
    for route in routes:
        lines = "".join(
            f"<dt><code>{escape(n)}</code></dt><dd>{escape(d)}</dd>" for n, d in (*route.query, *route.body)
        )
        head = f"<h2><code>{route.method} {escape(route.path)}</code></h2><p>{escape(route.summary)}</p>"
        parts.append(f"<section>{head}{f'<dl>{lines}</dl>' if lines else ''}</section>")
    style = f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
    return f"<!doctype html><meta charset=utf-8><title>{escape(app)}</title>{style}{''.join(parts)}"
