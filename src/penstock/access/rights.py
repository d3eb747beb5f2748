"""What somebody may do, as a text: ``append:tx/acme,read:risks/acme``.

A right is a verb and a name, of a topic unless the verb or the name says another kind: ``score:delay`` and
``read:models/delay`` are about a model. ``*`` is every topic of the app's, ``tx/*`` every topic of a domain,
``models/*`` every model, and ``subscriptions/acme-*`` each whose name begins so. Whatever no right gives is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, get_args

from ..errors import DeclarationError

Verb: TypeAlias = Literal[
    "append",
    "read",
    "score",
    "register",
    "alias",
    "redrive",
    "steer",
    "subscribe",
    "look",
    "manage",
    "consent",
    "catch",
]
"""What a door lets its caller do: with a topic (append, read), with a model (score, register, alias), with dead letters
(redrive), with a subscription (steer, subscribe, consent, catch), with the keys (manage), or look whether all works."""

MODELS, SUBSCRIPTIONS, DEAD = "models/", "subscriptions/", "dead/"
KEYS, HEALTH = "keys", "health"
OWN = "penstock."  # what topics of Penstock's own begin with; they are named one by one

KINDS: dict[Verb, str] = {
    "score": MODELS,
    "register": MODELS,
    "alias": MODELS,
    "redrive": DEAD,
    "steer": SUBSCRIPTIONS,
    "subscribe": SUBSCRIPTIONS,
    "catch": SUBSCRIPTIONS,
}
"""What the names of a verb are, where they are not topics."""

EVERYTHING = "*:*"
ROLES: dict[str, str] = {
    "admin": EVERYTHING,
    "operator": (
        "read:*,read:models/*,read:subscriptions/*,read:dead/*,redrive:*,steer:*,subscribe:*,alias:*,look:health"
    ),
    "publisher": "append:*",
    "reader": "read:*",
    "scorer": "score:*,read:models/*",
    "monitor": "look:health",
}
"""Words for what is often given together."""

_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)*(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\*)", re.ASCII)
_BEGINNING = re.compile(rf"{SUBSCRIPTIONS}[A-Za-z0-9_][A-Za-z0-9_.-]*\*", re.ASCII)
"""Of names of subscriptions: a tenant's begin with his own."""

LONGEST_CHARS = 4_096  # of all rights of one key


@dataclass(frozen=True, slots=True)
class Rights:
    """``texts``: each right, in full. Immutable, for any thread."""

    texts: tuple[str, ...]
    _exact: frozenset[tuple[str, str]]
    _below: tuple[tuple[str, str], ...]  # verb, and what names begin with
    _everything: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Rights and roles, with commas between. Raises ``DeclarationError`` for what is neither."""
        if len(text) > LONGEST_CHARS:
            raise DeclarationError(f"rights of more than {LONGEST_CHARS:,} characters: write a name with * instead")
        words = [word.strip() for part in text.split(",") if (word := part.strip())]
        if not words:
            raise DeclarationError(f"no right is given: write VERB:NAME, such as append:orders, or {_roles()}")
        return cls.of(right for word in words for right in _expanded(word))

    @classmethod
    def of(cls, rights: Iterable[tuple[str, str]]) -> Self:
        """Of verbs and whole names."""
        found = dict.fromkeys(rights)
        below = tuple((verb, name[:-1]) for verb, name in found if name.endswith("*"))
        exact = frozenset((verb, name) for verb, name in found if not name.endswith("*"))
        return cls(tuple(f"{verb}:{name}" for verb, name in found), exact, below, ("*", "*") in found)

    def may(self, verb: Verb, name: str) -> bool:
        """``name``: of a topic as it is, of another kind with that before it (``models/delay``)."""
        if (verb, name) in self._exact or self._everything:
            return True
        return any(verb == given and _is_below(name, start) for given, start in self._below)

    def covers(self, text: str) -> bool:
        """Is a right, one of another's ``texts``, a part of these?"""
        verb, _, name = text.partition(":")
        if self._everything or (verb, name) in self._exact:
            return True
        # What a pattern matches is matched by one that begins no later; that of all topics by none but itself.
        start = name.removesuffix("*")
        return any(
            verb == given and (start == below if not start or not below else _is_below(start, below))
            for given, below in self._below
        )


def named(verb: Verb, name: str) -> str:
    """The whole name of what ``verb`` is done to."""
    kind = KINDS.get(verb, "")
    return name if not kind or name.startswith(kind) else kind + name


def _is_below(name: str, start: str) -> bool:
    if start:
        return name.startswith(start)
    return not name.startswith((OWN, MODELS, SUBSCRIPTIONS, DEAD)) and name not in (KEYS, HEALTH)


def _expanded(word: str) -> Iterable[tuple[str, str]]:
    if word in ROLES:
        return [right for part in ROLES[word].split(",") for right in _expanded(part)]
    if word == EVERYTHING:
        return [("*", "*")]
    verb, colon, name = word.partition(":")
    if not colon:
        raise DeclarationError(f"{word[:100]!r} is no right and no role: write VERB:NAME, or {_roles()}")
    for known in get_args(Verb):
        if verb == known:
            break
    else:
        raise DeclarationError(f"{verb[:100]!r} is no verb; there are {', '.join(get_args(Verb))}")
    if not _NAME.fullmatch(name) and not _BEGINNING.fullmatch(named(known, name)):
        raise DeclarationError(
            f"{word[:100]!r}: after the colon comes a name, such as {verb}:orders, or {verb}:tx/*, or {verb}:*"
        )
    return [(verb, named(known, name))]


def _roles() -> str:
    *most, last = ROLES
    return f"one of {', '.join(most)} and {last}"
