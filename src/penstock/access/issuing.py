"""Keys made and revoked. Either is one row of ``penstock.system``, whoever writes it; the key itself is never in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..batch import SYSTEM, Write
from ..clock import Clock
from ..errors import BadRequest, Conflict, NotFound
from ..log.interface import Log
from ..system.messages import to_rows
from ..system.view import View
from . import keys
from .rights import Rights
from .state import KeyCreated, KeyRevoked, KeyState, is_live, signed_topics

LIVE = 2  # keys of one name at once: the one in use, and the one that takes its place
SIGNERS = 16  # keys that sign for one topic: so many may have to be tried
NAME_CHARS = 64  # characters of a name at most
DAY_US = 86_400_000_000  # microseconds
LONGEST_DAYS = 3_650
SUBJECT_CHARS = 512  # characters of a certificate's subject at most
SUBJECT = re.compile(r"\w+=(?:[^\\,]|\\.)*(?:,\w+=(?:[^\\,]|\\.)*)*", re.DOTALL)  # RFC 4514, as the doors write it
MOST_A_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Issued:
    """``key``: to be shown once; empty: a certificate is shown in its place."""

    made: KeyCreated
    key: str

    def __repr__(self) -> str:
        return f"Issued({self.made.id})"


def issue(
    log: Log,
    view: View,
    clock: Clock,
    name: str,
    allow: str,
    *,
    days: float | None,
    by: str,
    signs: bool = False,
    rate: float | None = None,
    certificate: str = "",
) -> Issued:
    """Durable on return. ``days``: after which it opens nothing any more; None: never. ``signs``: its holder may sign
    requests to the topics that its rights name, see ``sas``. ``rate``: requests a second that each gateway takes of it.
    ``certificate``: the subject of one (RFC 4514, as ``gateway.tls`` writes it), whose holder needs no key.

    Raises ``BadRequest`` for a name, days or a subject that are none, and for one that signs and names no topic;
    ``DeclarationError`` for rights that are none; ``Conflict`` where two keys of that name are live, or one of that
    certificate, or ``SIGNERS`` sign for a topic.
    """
    if not name.isprintable() or not 0 < len(name.strip()) <= NAME_CHARS:
        raise BadRequest(f"a key's name says whose it is, in at most {NAME_CHARS} characters")
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise BadRequest(f"days={days:g}: a key holds for more than 0 days, and at most {LONGEST_DAYS:,}; or for ever")
    if rate is not None and not 0 < rate <= MOST_A_SECOND:
        raise BadRequest(f"rate={rate:g}: a key may ask more than 0 times a second, and at most {MOST_A_SECOND:,}")
    rights = Rights.parse(allow)
    view.refresh()
    now = clock.now()
    live = view.areas.only(KeyState).live(name, now)
    if len(live) >= LIVE:
        raise Conflict(
            f"'{name}' has {len(live)} keys, {' and '.join(key.id for key in live)}: revoke the one that nobody uses "
            "any more, then make another"
        )
    if signs:
        _check_signs(view.areas.only(KeyState), rights, now)
    if certificate:
        _check_certificate(view.areas.only(KeyState), certificate, signs, now)
    key = "" if certificate else keys.make()
    expires = None if days is None else now + round(days * DAY_US)
    made = KeyCreated(
        id=keys.make_id(),
        name=name,
        digest=keys.digest(key) if key else "",
        rights=rights.texts,
        expires=expires,
        at=now,
        by=by,
        signs=signs,
        rate=rate,
        certificate=certificate,
    )
    log.append([Write(SYSTEM, 0, to_rows([made]))])
    view.refresh()
    return Issued(made, key)


def _check_signs(state: KeyState, rights: Rights, now: int) -> None:
    topics = signed_topics(rights.texts)
    if not topics:
        raise BadRequest("a key that signs is for topics that are named: append:orders, and not append:*")
    for topic in topics:
        signers = [key for key in state.signers.get(topic, ()) if is_live(state, key, now)]
        if len(signers) >= SIGNERS:
            raise Conflict(f"{SIGNERS} keys sign for topic '{topic}' already: revoke one that nobody uses any more")


def _check_certificate(state: KeyState, subject: str, signs: bool, now: int) -> None:
    """One that the doors would write otherwise would never be found."""
    if signs:
        raise BadRequest("a certificate signs no requests: make a key for that, without one")
    parts = re.split(r"(?<!\\)[,+]", subject)
    if len(subject) > SUBJECT_CHARS or not SUBJECT.fullmatch(subject) or any(part != part.strip() for part in parts):
        raise BadRequest(
            f"certificate={subject[:100]!r}: write the subject as RFC 4514 has it, the narrowest first and no space "
            f"after a comma, such as 'CN=till 7,O=Shop', in at most {SUBJECT_CHARS} characters"
        )
    if (other := state.of_certificate(subject, now)) is not None:
        raise Conflict(
            f"{other.id} of {other.name} is live for the certificate '{subject}': revoke it, then make another"
        )


def revoke(log: Log, view: View, clock: Clock, id: str, *, by: str) -> KeyCreated:
    """Durable on return, and then this process admits nobody with it; others within a second. One that was revoked
    stays so. Raises ``NotFound``."""
    view.refresh()
    state = view.areas.only(KeyState)
    if (key := state.by_id.get(id)) is None:
        raise NotFound(f"there is no key {id[:100]!r}; `penstock keys list` has their ids")
    if id not in state.revoked:
        log.append([Write(SYSTEM, 0, to_rows([KeyRevoked(id=id, at=clock.now(), by=by)]))])
        view.refresh()
    return key
