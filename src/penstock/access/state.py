"""The keys that there are: an area of ``penstock.system``. A key itself is in none of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec

from ..system.messages import Command, Message


class KeyCreated(Message, frozen=True, kw_only=True, gc=False):  # of texts and numbers: a collector need not look
    """``id``: what it is called by; ``name``: whose it is; ``digest``: SHA-256 of the key, in hex; ``rights``: as
    texts; ``expires``, ``at``: microseconds since the epoch; ``by``: who made it; ``signs``: its holder signs requests
    to its topics too (``sas``); ``rate``: requests a second that it may make of each gateway, None: any number;
    ``certificate``: the subject of the one that is shown in the place of a key (RFC 4514); then there is no digest."""

    TYPE: ClassVar[str] = "penstock.key.created"

    id: str
    name: str
    digest: str
    rights: tuple[str, ...]
    expires: int | None
    at: int
    by: str
    signs: bool = False
    rate: float | None = None
    certificate: str = ""

    @property
    def subject(self) -> str | None:
        return f"keys/{self.id}"


class KeyRevoked(Message, frozen=True, kw_only=True):
    """It opens nothing any more, for ever."""

    TYPE: ClassVar[str] = "penstock.key.revoked"

    id: str
    at: int
    by: str

    @property
    def subject(self) -> str | None:
        return f"keys/{self.id}"


class SavedKeys(msgspec.Struct):
    keys: list[KeyCreated]
    revoked: dict[str, int]


@dataclass(slots=True)
class KeyState:
    """Every key that was made, ``by_id``, and ``by_digest`` or ``by_certificate``; ``signers``: those that sign, by
    topic; ``revoked``: since when some open nothing, by their ids (microseconds since the epoch). Changed by
    ``View.refresh`` alone; a look-up in any of them needs no lock."""

    name: ClassVar[str] = "keys"
    form: ClassVar[int] = 1
    messages: ClassVar[Sequence[type[Message]]] = (KeyCreated, KeyRevoked)

    by_id: dict[str, KeyCreated] = field(default_factory=dict)
    by_digest: dict[str, KeyCreated] = field(default_factory=dict)
    by_certificate: dict[str, tuple[KeyCreated, ...]] = field(default_factory=dict)
    signers: dict[str, tuple[KeyCreated, ...]] = field(default_factory=dict)
    revoked: dict[str, int] = field(default_factory=dict)

    def apply(self, message: Message) -> None:
        match message:
            case KeyCreated():
                if message.id not in self.by_id:
                    self._add(message)
            case KeyRevoked():
                self.revoked.setdefault(message.id, message.at)

    def _add(self, key: KeyCreated) -> None:
        self.by_id[key.id] = key
        if key.certificate:
            self.by_certificate[key.certificate] = (*self.by_certificate.get(key.certificate, ()), key)
        else:
            self.by_digest[key.digest] = key
        for topic in signed_topics(key.rights) if key.signs else ():
            self.signers[topic] = (*self.signers.get(topic, ()), key)

    def live(self, name: str, now: int) -> list[KeyCreated]:
        """Of whoever is called so: neither revoked nor expired. ``now``: microseconds since the epoch."""
        named = (key for key in self.by_id.values() if key.name == name)
        return [key for key in named if is_live(self, key, now)]

    def of_certificate(self, subject: str, now: int) -> KeyCreated | None:
        """The one that is live, the last that was made. ``now``: microseconds since the epoch."""
        return next((key for key in reversed(self.by_certificate.get(subject, ())) if is_live(self, key, now)), None)

    def decide(self, command: Command, *, now: int) -> Sequence[Message]:
        raise AssertionError(f"{command.TYPE} is no command of keys")

    def ahead(self) -> KeyState:
        return self  # it has no commands, so nothing is decided ahead

    def save(self) -> bytes:
        return msgspec.msgpack.encode(SavedKeys(list(self.by_id.values()), self.revoked))

    def restore(self, saved: bytes) -> None:
        found = msgspec.msgpack.decode(saved, type=SavedKeys)
        self.by_id, self.by_digest, self.by_certificate, self.signers = {}, {}, {}, {}
        self.revoked = found.revoked
        for key in found.keys:
            self._add(key)


def signed_topics(rights: Sequence[str]) -> list[str]:
    """Those that are named one by one, and domains, of which also a topic may be named or all: of wider patterns one
    could not say how many keys to try."""
    names = (name for verb, _, name in (right.partition(":") for right in rights) if verb == "append")
    return list(dict.fromkeys(topic for name in names if "*" not in (topic := name.partition("/")[0])))


def is_expired(key: KeyCreated, now: int) -> bool:
    """``now``: microseconds since the epoch."""
    return key.expires is not None and now >= key.expires


def is_live(state: KeyState, key: KeyCreated, now: int) -> bool:
    """Does it open what its rights say? ``now``: microseconds since the epoch."""
    return key.id not in state.revoked and not is_expired(key, now)
