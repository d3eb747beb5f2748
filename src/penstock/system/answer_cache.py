"""The answers that commands were given, so that the same id is answered once and whoever asks again is told."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from itertools import islice

import msgspec

from .messages import Message

REMEMBERED = 16_384
"""Commands of an area whose answers are kept, the latest. A repeat comes from a retry, so minutes or a day after its
first; the bound is counted in commands, not in time, so that every process forgets the same ones (7 MB when full)."""


class AnswerCache(Mapping[str, tuple[Message, ...]]):
    """By the command's id. Kept as bytes, since hardly one is ever asked for: a look-up decodes."""

    def __init__(
        self,
        kinds: Mapping[str, type[Message]],
        given: MutableMapping[str, tuple[bytes, ...]] | None = None,
        most: int | None = None,
    ) -> None:
        """``kinds``: of answers, by ``TYPE``. ``most``: commands that are kept; None: as many as come."""
        self._kinds = kinds
        self._given: MutableMapping[str, tuple[bytes, ...]] = {} if given is None else given
        self._most = most

    def remember(self, command: str, answer: Message) -> None:
        """Harmless twice."""
        given, known = msgspec.msgpack.encode((answer.TYPE, answer)), self._given.get(command, ())
        if given not in known:
            self._given[command] = (*known, given)
            if self._most is not None and len(self._given) > self._most:
                del self._given[next(islice(self._given, 1))]

    def ahead(self) -> AnswerCache:
        """One that remembers more, while this one stays as it is."""
        return AnswerCache(self._kinds, ChainMap({}, self._given))

    def saved(self) -> Mapping[str, tuple[bytes, ...]]:
        """In the order of their coming, in which they are forgotten."""
        return self._given

    def __getitem__(self, command: str) -> tuple[Message, ...]:
        return tuple(map(self._decoded, self._given[command]))

    def __contains__(self, command: object) -> bool:
        return command in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __eq__(self, other: object) -> bool:
        return self._given == other._given if isinstance(other, AnswerCache) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def _decoded(self, given: bytes) -> Message:
        kind, message = msgspec.msgpack.decode(given, type=tuple[str, msgspec.Raw])
        return msgspec.msgpack.decode(message, type=self._kinds[kind])
