"""Errors as HTTP answers: the one place that knows status codes. Nothing of a traceback ever leaves through it."""

from __future__ import annotations

import errno
import math
from difflib import get_close_matches

import msgspec

from ...errors import (
    ArtifactDamaged,
    BadRequest,
    Busy,
    Conflict,
    DomainFull,
    Forbidden,
    InvalidEvent,
    LogFull,
    LogGone,
    LogRefused,
    LogUnreachable,
    ModelRefused,
    NotFound,
    PenstockError,
    PredictionInvalid,
    RunnerDied,
    SchemaChanged,
    StoreUnreachable,
    StoreUnusable,
    TaskFailed,
    TooFast,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from ...telemetry import logger
from .asgi import Headers

__all__ = ["STATUS", "BadRequest", "Disconnected", "Forbidden", "problem", "unknown"]

_log = logger(__name__)

STATUS: list[tuple[type[Exception], int, str]] = [
    (InvalidEvent, 400, "invalid_event"),
    (TooLarge, 413, "too_large"),
    (UnsupportedMediaType, 415, "unsupported_media_type"),
    (TooFast, 429, "too_fast"),
    (Busy, 503, "busy"),
    (Unauthorized, 401, "unauthorized"),
    (Forbidden, 403, "forbidden"),
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (DomainFull, 409, "domain_full"),
    (ModelRefused, 400, "model_refused"),
    (SchemaChanged, 400, "schema_changed"),
    (LogFull, 507, "log_full"),
    (LogGone, 503, "log_gone"),
    (LogUnreachable, 503, "log_unreachable"),
    (LogRefused, 503, "log_refused"),
    (StoreUnreachable, 503, "store_unreachable"),
    (StoreUnusable, 502, "store_unusable"),
    (ArtifactDamaged, 502, "artifact_damaged"),
    (PredictionInvalid, 502, "prediction_invalid"),
    (TaskFailed, 502, "model_failed"),
    (RunnerDied, 503, "model_died"),
    (Unavailable, 503, "unavailable"),
    (TimeoutError, 503, "timeout"),
    (BadRequest, 400, "bad_request"),
]


CODE = b"penstock-error"  # the header that holds an error's code where its body has no place for it
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Disconnected(PenstockError):
    """The publisher went away before its request was whole; nobody is left to answer."""


def problem(error: Exception, path: str = "") -> tuple[int, Headers, bytes]:
    """Status, headers and body that say what was wrong, where, and what to do, as the doors under ``path`` say it."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        error = LogFull(f"no space is left on the disk ({error.filename or 'of the data directory'}): free some")
    status, code = next(((s, c) for kind, s, c in STATUS if isinstance(error, kind)), (500, "internal"))
    if status == 500:
        _log.error("a request failed inside", exc_info=error)
    message = "something failed inside; the server's log says what" if status == 500 else said(error)
    detail: dict[str, object] = {"code": code, "message": message}
    if isinstance(error, InvalidEvent):
        detail |= {"row": error.row, "field": error.field, "reason": error.reason}
    headers = [(b"content-type", b"application/json")]
    if status in (429, 503):
        wait = error.retry_after if isinstance(error, Busy) else 1.0
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait))))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))  # RFC 9110 §11.6.1
    if status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    # Surrogates, control characters, anything a request may have put into a message: JSON escapes or replaces it.
    if of_open_inference(path):
        headers.append((CODE, code.encode()))
    return status, headers, error_body(status, detail, path)


def of_open_inference(path: str) -> bool:
    return path.split("/")[1:2] == ["v2"]


def of_event_grid(path: str) -> bool:
    return path.split("/")[1:2] == ["eventgrid"]


def error_body(status: int, detail: dict[str, object], path: str) -> bytes:
    """``{"error": {"code", "message", …}}``.

    On ``/v2`` the message alone, a string, as the Open Inference Protocol has it: its clients show that to their users.
    Ours has the code from a header. On ``/eventgrid`` as Event Grid answers publishers, whose clients read the status
    there as the code; ours is among the details (https://learn.microsoft.com/azure/event-grid/post-to-custom-topic).
    """
    clean = _clean(detail)
    if of_open_inference(path):
        return msgspec.json.encode({"error": clean["message"]})
    if of_event_grid(path):
        whole = {"code": str(status), "message": clean["message"], "details": [clean]}
        return msgspec.json.encode({"error": whole})
    return msgspec.json.encode({"error": clean})


def said(error: Exception) -> str:
    """Its message, which some of Python's own errors do not have."""
    return str(error).strip() or f"{type(error).__name__}, without a word more; the server's log may say why"


def _clean(detail: dict[str, object]) -> dict[str, object]:
    return {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in detail.items()}


def unknown(kind: str, name: str, known: list[str]) -> NotFound:
    """What to raise for a name that is not there: it says which names are near."""
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"there are: {', '.join(known) or 'none'}"
    return NotFound(f"there is no {kind} '{name[:200]}'; {hint}")
