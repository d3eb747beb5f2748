"""One request and its answer: what is sent again, and what a refusal means."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from .. import errors
from ..errors import Busy, InvalidEvent, NotPenstock, PenstockError, TooFast, Uncertain, Unreachable
from .trust import refusal, trusting

T = TypeVar("T")

CODES: dict[str, Callable[[str], PenstockError]] = {
    "bad_request": errors.BadRequest,
    "method_not_allowed": errors.BadRequest,
    "headers_too_large": errors.TooLarge,
    "too_large": errors.TooLarge,
    "unsupported_media_type": errors.UnsupportedMediaType,
    "unauthorized": errors.Unauthorized,
    "forbidden": errors.Forbidden,
    "not_found": errors.NotFound,
    "conflict": errors.Conflict,
    "domain_full": errors.DomainFull,
    "model_refused": errors.ModelRefused,
    "schema_changed": errors.SchemaChanged,
    "log_full": errors.LogFull,
    "log_gone": errors.LogGone,
    "log_unreachable": errors.LogUnreachable,
    "log_refused": errors.LogRefused,
    "store_unreachable": errors.StoreUnreachable,
    "store_unusable": errors.StoreUnusable,
    "artifact_damaged": errors.ArtifactDamaged,
    "prediction_invalid": errors.PredictionInvalid,
    "model_failed": lambda message: _raised_by_the_model(message),
    "model_died": errors.RunnerDied,
    "timeout": errors.TimedOut,
    "unavailable": errors.Unavailable,
}
BUSY = ("busy", "connection_limit")  # nothing of the request was looked at


def door(*parts: str) -> str:
    """The path of a door; a name with a slash or a question mark in it stays one part."""
    return "".join(f"/{quote(part, safe='@:')}" for part in parts)


def events_door(topic: str) -> str:
    """Of a topic; of a domain's, ``tx/acme``; of all of a domain, ``tx/*``."""
    name, slash, domain_topic = topic.partition("/")
    if not slash:
        return door("topics", name, "events")
    return (
        door("domains", name, "events")
        if domain_topic == "*"
        else door("domains", name, "topics", domain_topic, "events")
    )


class Sender:
    """Requests to one server. ``patience``: seconds for which what it was too busy for is sent again; ``key``: what is
    shown with each, none when empty; ``trust``: files for https, as ``trusting`` takes them.

    Raises ``Unreachable`` for what is no address, ``TLSFailed`` for files, and as ``Client`` says.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        patience: float,
        key: str = "",
        trust: Sequence[Path | str | None] = (),
    ) -> None:
        self.url, self._key = url.rstrip("/"), key
        self._timeout, self._patience = timeout, patience
        if not self.url.startswith(("http://", "https://")):
            raise Unreachable(f"{url!r} is no address of a server; write http://HOST:PORT")
        verify = trusting(*trust) if self.url.startswith("https://") else True
        # trust_env off: a proxy meant for the internet must not come between us and our own server.
        self._http = httpx.Client(base_url=self.url, timeout=timeout, trust_env=False, verify=verify)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        return _only(dict, self.send("GET", path))

    def get_list(self, path: str) -> list[dict[str, Any]]:
        return _only(list, self.send("GET", path))

    def post(self, path: str, body: Mapping[str, Any], params: Mapping[str, str] | None = None) -> dict[str, Any]:
        kind = {"content-type": "application/json"}
        return _only(dict, self.send("POST", path, msgspec.json.encode(body), kind, params))

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
        shown = dict(headers)
        if self._key and "authorization" in shown:
            shown["x-api-key"] = self._key
        elif self._key:
            shown["authorization"] = f"Bearer {self._key}"
        try:
            return self._http.request(method, path, content=body, headers=shown, params=dict(params))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            if (untrusted := refusal(error, self.url)) is not None:
                raise untrusted from None
            raise Unreachable(f"nothing answers at {self.url} ({error}); start it with `penstock run app.py`") from None
        except httpx.TimeoutException:
            raise _uncertain(method, path, f"no answer came within {self._timeout:g} s") from None
        except httpx.RequestError as error:
            what = f"the connection broke before the answer came ({type(error).__name__})"
            if self.url.startswith("https://"):
                what += ", as with a server that asks for another certificate than it is shown"
            raise _uncertain(method, path, what) from None


def _uncertain(method: str, path: str, what: str) -> Uncertain:
    cure = "" if method == "GET" else "; it may have been done, look before repeating it"
    return Uncertain(f"{method} {path}: {what}{cure}")


def _only(kind: type[T], answer: httpx.Response) -> T:
    found = json(answer)
    if not isinstance(found, kind):
        raise stranger(answer)
    return found


def json(answer: httpx.Response) -> Any:
    """What a Penstock answers. Raises ``NotPenstock``."""
    try:
        return answer.json()
    except ValueError:
        raise stranger(answer) from None


def stranger(answer: httpx.Response) -> NotPenstock:
    """The error for an answer that no Penstock gives."""
    return NotPenstock(f"HTTP {answer.status_code} from {answer.url}: {answer.text[:200]!r}; is this a Penstock?")


def to_error(answer: httpx.Response) -> PenstockError:
    """The server's refusal as the error that it was there."""
    try:
        said = answer.json()["error"]
        # The doors of the Open Inference Protocol say a text, and the code beside it.
        detail = (
            {"code": answer.headers.get("penstock-error"), "message": said} if isinstance(said, str) else dict(said)
        )
        message = str(detail["message"])
    except (ValueError, KeyError, TypeError):
        return stranger(answer)
    if detail.get("code") == "invalid_event":
        return InvalidEvent(detail.get("reason") or message, row=detail.get("row"), field=detail.get("field"))
    if detail.get("code") in BUSY or answer.status_code == 429:
        kind = TooFast if detail.get("code") == "too_fast" else Busy
        return kind(message, retry_after=_retry_after(answer))
    return CODES.get(str(detail.get("code")), PenstockError)(message)


def _retry_after(answer: httpx.Response) -> float:
    """Seconds; a proxy may write a date there, or nonsense."""
    given = answer.headers.get("retry-after", "1")
    return float(given) if given.isascii() and given.isdecimal() else 1.0


def _raised_by_the_model(message: str) -> errors.TaskFailed:
    kind, _, reason = message.partition(": ")
    return errors.TaskFailed(kind, reason, traceback="")
