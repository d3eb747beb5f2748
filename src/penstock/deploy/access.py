"""Who is let in by the doors of a deployed app: the words of ``--access``, and what each takes of a cloud.

Without access there is no way to the doors from outside, and nothing here is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from ..access.admin import ADMIN_KEY, checked_admin_key
from ..access.audit import AUDIT, AUDIT_TOPIC
from ..access.oidc.open import FIELDS, PREFIX
from ..access.rights import DEAD, HEALTH, KEYS, MODELS, OWN, ROLES, SUBSCRIPTIONS, Rights, Verb
from ..access.sas import LEAST_CHARS, SECRET
from ..errors import DeclarationError
from .house import DOORS, Grant
from .requirements import COURIER, GATEWAY, Identity, Reason, RequiredLog, RequiredSecret, Requirements, Right

WORDS = ("keys", "oidc", "sas")
ISSUER = tuple(PREFIX + name for name in ("ISSUER", "AUDIENCE", "ROLES"))
"""What an issuer of tokens takes at least; the others have a default."""

OUTSIDE = "outside"
"""What whoever shows a key, a token or a signature is in a drawing; nothing else there has such an id."""


@dataclass(frozen=True, slots=True)
class DoorAccess:
    """How somebody shows who he is: a key always. ``secrets``: the variables that the gateway, and nobody else, is
    told for it, each with why."""

    word: str
    secrets: Mapping[str, str]

    @property
    def has_tokens(self) -> bool:
        return ISSUER[0] in self.secrets

    @classmethod
    def parse(cls, text: str, given: Iterable[str] = ()) -> Self | None:
        """``text``: ``keys``, and with commas ``oidc`` (tokens of an issuer too) and ``sas`` (signatures of Azure's
        clients too); empty: nobody is asked, and None. ``given``: the variables that have a value, of which those are
        taken that may be left away.

        Raises ``DeclarationError`` for another word, and for ``oidc`` or ``sas`` without ``keys``.
        """
        words = [word.strip() for word in text.split(",")] if text else []
        if not words:
            return None
        if wrong := [word for word in words if word not in WORDS] or (["".join(words)] if "keys" not in words else []):
            raise DeclarationError(f"access: '{wrong[0]}': there are keys, and beside it oidc and sas: keys,oidc,sas")
        secrets = {ADMIN_KEY: "the first key, by which others are made"}
        if "oidc" in words:
            further = [name for name in given if name.startswith(PREFIX) and name.removeprefix(PREFIX) in FIELDS]
            secrets |= dict.fromkeys((*ISSUER, *further), "whose tokens are let in, and what their roles may do")
        if "sas" in words:
            secrets[SECRET] = "what keys that sign are derived from"
        return cls(",".join(word for word in WORDS if word in words), secrets)


def with_access(needed: Requirements, access: DoorAccess | None) -> Requirements:
    """What the app needs, and what it takes to ask whoever comes: the audit, the gateway's secrets, and its rights.

    Raises ``DeclarationError`` for an app that looks up a secret of the gateway's: its code would see it.
    """
    if access is None:
        return needed
    taken = {*access.secrets, *(PREFIX + name for name in FIELDS), SECRET, ADMIN_KEY}
    for each in (*needed.secrets, *needed.settings):
        if each.name in taken:
            raise DeclarationError(
                f"{each.reason.place}: the app looks up '{each.name}', which is the gateway's alone: give the variable "
                "another name"
            )
    own = [log.is_internal for log in needed.logs].count(True)
    audit = RequiredLog(
        AUDIT, Reason("who was refused, and who changed what"), AUDIT_TOPIC.partitions, None, None, readers=()
    )
    secrets = [RequiredSecret(name, Reason(text)) for name, text in access.secrets.items()]
    rights = tuple(Right(DOORS, grant.verb, grant.what, Reason(grant.text)) for grant in _of_access(access))
    return replace(
        needed,
        logs=(*needed.logs[:own], audit, *needed.logs[own:]),
        secrets=(*needed.secrets, *secrets),
        identities=tuple(
            Identity(each.service, each.rights + (rights if each.service == GATEWAY else ()))
            for each in needed.identities
        ),
    )


def is_open(needed: Requirements) -> bool:
    """Is whoever comes asked who he is?"""
    return any(log.name == AUDIT for log in needed.logs)


def _of_access(access: DoorAccess) -> Iterator[Grant]:
    """Keys themselves are made and revoked in ``penstock.system``, to which the doors append anyhow."""
    yield Grant("append", AUDIT, "each refusal is noted there, and each change before it is answered")
    yield Grant("read", AUDIT, "the audit is shown to whoever may read it")
    yield from (Grant("secret", name, text) for name, text in access.secrets.items())


def checked_secret(name: str, value: str) -> str:
    """The same. Raises ``DeclarationError``, which does not say the value, for one that no gateway could start with."""
    if name == ADMIN_KEY:
        return checked_admin_key(value)
    if name == SECRET and len(value) < LEAST_CHARS:
        raise DeclarationError(f"{name} has fewer than {LEAST_CHARS} characters: make one with `openssl rand -hex 32`")
    return value


def outside_rights(needed: Requirements) -> Iterator[tuple[str, Verb, str]]:
    """Of each role what it may do with what the app has: the role, a verb, and the name as a right has it. Every key
    and every role of a token has some of these rights, or those of one of these roles; nobody else may do anything.
    """
    things = list(_things(needed)) if is_open(needed) else []
    for role, text in ROLES.items():
        rights = Rights.parse(text)
        yield from ((role, verb, name) for verb, name in things if rights.may(verb, name))


def _things(needed: Requirements) -> Iterator[tuple[Verb, str]]:
    logs = [log for log in needed.logs if not log.is_internal]
    yield from (("append", _named(log)) for log in logs)
    yield from (("read", _named(log)) for log in needed.logs)
    for log in logs:
        yield from (("read", f"{DEAD}{log.name}"), ("redrive", f"{DEAD}{log.name}"))
    models: tuple[Verb, ...] = ("score", "read", "register", "alias")
    yield from ((verb, f"{MODELS}{model.name}") for model in needed.models for verb in models)
    steered: tuple[Verb, ...] = ("read", "steer")
    delivering = [part for service in needed.services if service.name == COURIER for part in service.parts]
    for name in (part for part in delivering if not part.startswith(OWN)):
        yield from ((verb, f"{SUBSCRIPTIONS}{name}") for verb in steered)
    yield from (("look", HEALTH), ("manage", KEYS))


def _named(log: RequiredLog) -> str:
    """As a right to all of it names it."""
    return f"{log.name}/*" if log.is_domain else log.name
