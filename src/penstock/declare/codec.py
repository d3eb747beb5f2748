"""A plan as bytes, for the processes that do not import the user's file."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pyarrow as pa

from .plan import Plan


def plan_to_bytes(plan: Plan) -> bytes:
    """JSON; a schema is its Arrow IPC message in base64, so nothing of it is lost."""
    return msgspec.json.encode(plan, enc_hook=_schema_to_text)


def plan_from_bytes(data: bytes) -> Plan:
    """Raises ``msgspec.DecodeError`` for what ``plan_to_bytes`` did not write."""
    return msgspec.json.decode(data, type=Plan, dec_hook=_schema_from_text)


def _schema_to_text(value: object) -> str:
    if isinstance(value, pa.Schema):
        return b64encode(value.serialize()).decode()
    raise NotImplementedError(f"{type(value)} in a plan")


def _schema_from_text(kind: type, text: Any) -> pa.Schema:
    if kind is pa.Schema:
        return pa.ipc.read_schema(pa.py_buffer(b64decode(text)))
    raise NotImplementedError(f"{kind} in a plan")
