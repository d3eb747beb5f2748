"""One request and its answer: what is sent again, and what a refusal means."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from .. import errors
from ..errors import Busy, InvalidEvent, PenstockError, Uncertain, Unreachable

CODES: dict[str, type[PenstockError]] = {
    "too_large": errors.TooLarge,
    "unsupported_media_type": errors.UnsupportedMediaType,
    "not_found": errors.NotFound,
    "conflict": errors.Conflict,
    "model_refused": errors.ModelRefused,
    "schema_changed": errors.SchemaChanged,
    "log_full": errors.LogFull,
    "log_unreachable": errors.LogUnreachable,
    "store_unreachable": errors.StoreUnreachable,
    "store_unusable": errors.StoreUnusable,
    "artifact_damaged": errors.ArtifactDamaged,
    "prediction_invalid": errors.PredictionInvalid,
    "unavailable": errors.Unavailable,
}


class Sender:
    """Requests to one server. ``patience``: seconds for which what it was too busy for is sent again."""

    def __init__(self, url: str, *, timeout: float, patience: float) -> None:
        self.url = url.rstrip("/")
        self._patience = patience
        if not self.url.startswith(("http://", "https://")):
            raise Unreachable(f"{url!r} is no address of a server; write http://HOST:PORT")
        # trust_env off: a proxy meant for the internet must not come between us and our own server.
        self._http = httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        return dict(self.send("GET", path).json())

    def get_list(self, path: str) -> list[dict[str, Any]]:
        return list(self.send("GET", path).json())

    def post(self, path: str, body: Mapping[str, Any], params: Mapping[str, str] | None = None) -> dict[str, Any]:
        kind = {"content-type": "application/json"}
        return dict(self.send("POST", path, msgspec.json.encode(body), kind, params).json())

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send, and again while the server says that it is too busy: then it has done nothing of what was asked."""
        deadline = time.monotonic() + self._patience
        while True:
            answer = self.once(method, path, body, headers or {}, params or {})
            if answer.is_success:
                return answer
            error = to_error(answer)
            wait = getattr(error, "retry_after", 0.0)
            if not isinstance(error, Busy) or time.monotonic() + wait > deadline:
                raise error
            time.sleep(wait)

    def once(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], params: Mapping[str, str]
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, content=body, headers=dict(headers), params=dict(params))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise Unreachable(f"nothing answers at {self.url} ({error}); start it with `penstock run app.py`") from None
        except httpx.TransportError as error:
            said = f"{method} {path}: the connection broke before the answer came ({type(error).__name__})"
            raise Uncertain(
                said if method == "GET" else f"{said}; it may have been done, look before repeating it"
            ) from None


def to_error(answer: httpx.Response) -> PenstockError:
    """The server's refusal as the error that it was there."""
    try:
        detail = dict(answer.json()["error"])
        message = str(detail["message"])
    except (ValueError, KeyError, TypeError):
        return PenstockError(f"HTTP {answer.status_code} from {answer.url}: {answer.text[:200]!r}; is this a Penstock?")
    if detail.get("code") == "invalid_event":
        return InvalidEvent(detail.get("reason") or message, row=detail.get("row"), field=detail.get("field"))
    if detail.get("code") == "busy" or answer.status_code == 429:
        return Busy(message, retry_after=float(answer.headers.get("retry-after", 1)))
    return CODES.get(str(detail.get("code")), PenstockError)(message)
