"""What catches the webhooks of `penstock dev`, so that nobody's real one is called: requests as they would have been
sent, the last few of each subscription, and what each is answered."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ...errors import BadRequest
from ...plan.plan import Plan, SubscriptionSpec
from ...plan.references import ReferenceSpec, value_of

KEPT = 20  # requests of one subscription
KEPT_BYTES = 8 << 20  # of all subscriptions together
BODY_BYTES = 64 << 10  # of one request's body
OVERHEAD_BYTES = 512  # what a request takes beside its texts

SECRET = "whsec_" + base64.b64encode(b"penstock dev: known to all").decode()
"""Signs where the file names a secret that has no value here. It is no secret: nothing else is ever signed with it."""

ANSWERS: Mapping[str, tuple[int, str]] = {
    "200": (200, "takes it"),
    "400": (400, "refuses it for good: a dead letter at once"),
    "410": (410, "wants nothing any more: the subscription is disabled"),
    "500": (500, "fails: it is tried again in 10 seconds, then ever later"),
    "slow": (503, "says nothing for longer than the 30 seconds that are waited for"),
}
"""What one may choose: the status, and what it means."""


class CaughtRequest(msgspec.Struct, frozen=True, array_like=True):
    """``number``: in the order in which they came, of all subscriptions. ``signature``: verified, none, or why it does
    not hold."""

    number: int
    at: int  # microseconds since the epoch
    headers: tuple[tuple[str, str], ...]
    body: bytes  # its first BODY_BYTES
    size: int  # bytes of all of the body
    signature: str
    answered: str  # one of ANSWERS

    def header(self, name: str) -> str:
        return next((value for each, value in self.headers if each == name), "")

    @property
    def held(self) -> int:
        """Bytes that it takes here, about."""
        return OVERHEAD_BYTES + len(self.body) + sum(len(name) + len(value) for name, value in self.headers)


class SavedRequests(msgspec.Struct):
    count: int
    chosen: dict[str, str]
    kept: dict[str, list[CaughtRequest]]


class Catcher:
    """Of the gateway's event loop alone. ``environ``: what the courier looks its secrets up in, too."""

    def __init__(self, plan: Plan, environ: Mapping[str, str]) -> None:
        self.subscriptions = {spec.name: spec for spec in plan.subscriptions if spec.is_delivered}
        self.released = asyncio.Event()  # who is kept waiting is let go, for the gateway stops
        self.count = 0  # of all that came
        self._environ = environ
        self._kept: dict[str, deque[CaughtRequest]] = {}
        self._chosen: dict[str, str] = {}  # where that is not 200
        self._bytes: dict[str, int] = {}  # that the kept ones take

    def answer_of(self, name: str) -> str:
        return self._chosen.get(name, "200")

    def choose(self, name: str, answer: str) -> None:
        """What this subscription's requests are answered from now on. Raises ``BadRequest`` for what is not there."""
        if answer not in ANSWERS:
            raise BadRequest(f"{answer!r:.60} is no answer of the catcher; there are {', '.join(ANSWERS)}")
        self._chosen[name] = answer

    def take(self, name: str, headers: Sequence[tuple[str, str]], body: bytes, now: int) -> str:
        """Keep a request; what it is to be answered. ``now``: microseconds since the epoch."""
        self.count += 1
        signature = self._look_at_signature(self.subscriptions[name], dict(headers), body)
        answer = self.answer_of(name)
        caught = CaughtRequest(self.count, now, tuple(headers), body[:BODY_BYTES], len(body), signature, answer)
        self._kept.setdefault(name, deque()).append(caught)
        self._bytes[name] = self._bytes.get(name, 0) + caught.held
        if len(self._kept[name]) > KEPT:
            self._drop(name)
        while sum(self._bytes.values()) > KEPT_BYTES:  # whose requests are many or large loses some, and no other
            self._drop(max(self._bytes, key=self._bytes.__getitem__))
        return answer

    def kept(self, since: int = 0) -> Iterator[tuple[str, CaughtRequest]]:
        """Those behind this number, by subscription, the latest first."""
        for name, requests in self._kept.items():
            yield from ((name, caught) for caught in reversed(requests) if caught.number > since)

    def save(self) -> bytes:
        """For the gateway that follows when the app's files change."""
        kept = {name: list(requests) for name, requests in self._kept.items()}
        return msgspec.msgpack.encode(SavedRequests(self.count, self._chosen, kept))

    def restore(self, saved: bytes) -> None:
        """Of subscriptions that are there still. Raises ``ValueError`` for what was not saved."""
        found = msgspec.msgpack.decode(saved, type=SavedRequests)
        self.count = found.count
        self._chosen = {name: answer for name, answer in found.chosen.items() if name in self.subscriptions}
        self._kept = {name: deque(each) for name, each in found.kept.items() if name in self.subscriptions}
        self._bytes = {name: sum(caught.held for caught in each) for name, each in self._kept.items()}

    def _drop(self, name: str) -> None:
        self._bytes[name] -= self._kept[name].popleft().held

    def _look_at_signature(self, spec: SubscriptionSpec, headers: Mapping[str, str], body: bytes) -> str:
        """As a receiver does, with the library that receivers use."""
        if not spec.secrets and "webhook-signature" not in headers:
            return "none"
        from standardwebhooks import Webhook, WebhookVerificationError

        why = "signed, and the file names no secret"
        for secret in signing_secrets(spec, self._environ):
            try:
                Webhook(secret).verify(body, dict(headers), json_parse=False)
            except (WebhookVerificationError, ValueError) as error:
                why = f"wrong: {error}"
            else:
                return "verified"
        return why


def signing_secrets(spec: SubscriptionSpec, environ: Mapping[str, str]) -> list[str]:
    """What its requests are signed with where they are caught."""
    found = [value_of(secret, environ) or SECRET for secret in spec.secrets]
    return list(dict.fromkeys(found))


def shown_headers(spec: SubscriptionSpec, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The subscription's own headers where requests are caught and shown: a secret is not looked up, but named."""
    hide = spec.run_time  # whose values are texts, and may let somebody in
    return [(name, "not shown" if hide else _shown(value, environ)) for name, value in spec.headers]


def _shown(value: str | ReferenceSpec, environ: Mapping[str, str]) -> str:
    if not isinstance(value, ReferenceSpec):
        return value
    return value.resolve(environ) if value.kind == "env" and value.is_given(environ) else str(value)
