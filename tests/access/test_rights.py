"""What somebody may do is what his rights say, and no more."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.access.rights import KINDS, ROLES, Rights, Verb, named
from penstock.errors import DeclarationError

VERBS: tuple[Verb, ...] = get_args(Verb)
NAMES = ["tx", "tx/acme", "tx/acme2", "txx", "models/delay", "subscriptions/ops", "dead/tx", "penstock.system", "keys"]
words = st.sampled_from(["tx", "acme", "risks", "a-b", "a.b", "A1", "models", "dead"])


@pytest.mark.parametrize(
    ("text", "verb", "may"),
    [
        ("append:tx", "append", ["tx"]),
        ("append:tx/acme", "append", ["tx/acme"]),
        ("append:tx/*", "append", ["tx/acme", "tx/acme2"]),
        ("append:*", "append", ["tx", "tx/acme", "tx/acme2", "txx"]),
        ("read:models/*", "read", ["models/delay"]),
        ("read:penstock.system", "read", ["penstock.system"]),
        ("score:delay", "score", ["models/delay"]),
        ("score:models/delay", "score", ["models/delay"]),
        ("redrive:tx", "redrive", ["dead/tx"]),
        ("steer:*", "steer", ["subscriptions/ops"]),
        ("subscribe:o*", "subscribe", ["subscriptions/ops"]),
        ("subscribe:acme-*", "subscribe", []),
        ("read:subscriptions/o*", "read", ["subscriptions/ops"]),
        ("manage:keys", "manage", ["keys"]),
        ("*:*", "manage", NAMES),
        ("append:tx", "read", []),
        (" append:tx , read:txx ", "read", ["txx"]),
    ],
)
def test_a_right_gives_what_it_says(text: str, verb: Verb, may: list[str]) -> None:
    rights = Rights.parse(text)
    assert [name for name in NAMES if rights.may(verb, name)] == may


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no right is given"),
        (" , ", "no right is given"),
        ("write:tx", "'write' is no verb; there are append, read"),
        ("append", "'append' is no right and no role"),
        ("append:", "after the colon comes a name"),
        ("append:tx*", "after the colon"),
        ("read:p*", "after the colon"),
        ("subscribe:*o", "after the colon"),
        ("append:*/tx", "after the colon"),
        ("append:../tx", "after the colon"),
        ("append:tx//a", "after the colon"),
        ("append:é", "after the colon"),
        ("*:tx", "'\\*' is no verb"),
        ("append:" + "x" * 5_000, "more than 4,096 characters"),
    ],
)
def test_what_is_no_right_is_said(text: str, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        Rights.parse(text)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_a_word_for_rights(role: str) -> None:
    assert Rights.parse(role) == Rights.parse(ROLES[role])
    assert Rights.parse(role).may("manage", "keys") == (role == "admin"), "only the admin makes keys"


def check_covers(mine: str, others: str) -> None:
    """Whoever gives rights on gives none that he has not: whatever theirs open, his do."""
    his, theirs = Rights.parse(mine), Rights.parse(others)
    if all(his.covers(text) for text in theirs.texts):
        for verb in VERBS:
            for name in [*NAMES, *(named(verb, each) for each in NAMES)]:
                assert his.may(verb, name) or not theirs.may(verb, name), "it opens more than its giver may"


right = st.builds(
    lambda verb, parts, star: f"{verb}:{'/'.join([*parts, '*'] if star else parts) or '*'}",
    st.sampled_from(VERBS),
    st.lists(words, max_size=2),
    st.booleans(),
)


@given(st.lists(right, min_size=1, max_size=3), st.lists(right, min_size=1, max_size=3))
def test_nobody_gives_what_he_has_not(mine: list[str], others: list[str]) -> None:
    check_covers(",".join(mine), ",".join(others))
    check_covers(",".join(mine), ",".join(mine))
    assert all(Rights.parse(",".join(mine)).covers(text) for text in Rights.parse(",".join(mine)).texts)


def test_mutant_a_pattern_that_covers_all_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rights, "covers", lambda rights, text: text.partition(":")[0] in str(rights.texts))
    with pytest.raises(AssertionError, match="more than its giver may"):
        check_covers("append:tx/*", "append:*")


def test_names_of_a_verbs_kind() -> None:
    assert {verb: named(verb, "x") for verb in VERBS if verb in KINDS} == {
        verb: f"{kind}x" for verb, kind in KINDS.items()
    }
    assert named("append", "x") == "x"
