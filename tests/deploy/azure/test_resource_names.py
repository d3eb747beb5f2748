"""Names of resources: legal by Azure's own table, and no two alike."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.deploy.plans import NAMES

pytestmark = pytest.mark.clouds

APPS = NAMES.filter(lambda name: re.fullmatch("[a-z].*", name.lower()) is not None)
LEGAL = {
    (50, "-"): r"[a-z](?!.*--)[a-z0-9-]{4,48}[a-z0-9]",
    (24, ""): r"[a-z0-9]{3,24}",
    (24, "-"): r"[a-z](?!.*--)[a-z0-9-]{1,22}[a-z0-9]",
}


@settings(max_examples=200, deadline=None)
@given(APPS, st.sampled_from(sorted(LEGAL)))
def test_a_name_in_the_world_is_legal_and_says_whose_it_is(app: str, kind: tuple[int, str]) -> None:
    from penstock.deploy.azure.names import worldwide

    limit, dash = kind
    name = worldwide(app, limit, dash, "subscription", "group")
    assert re.fullmatch(LEGAL[kind], name), name
    assert name == worldwide(app, limit, dash, "subscription", "group"), "not the same again"
    others = [worldwide(app, limit, dash, *place) for place in (("subscription", "other"), ("other", "group"))]
    assert name not in others and worldwide(f"{app}2", limit, dash, "subscription", "group") != name


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, min_size=2, max_size=6, unique=True))
def test_no_two_parts_of_names_are_alike(names: list[str]) -> None:
    from penstock.deploy.azure.names import within

    parts = [within(name) for name in names]
    assert len(set(parts)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", part) and len(part) <= 49 for part in parts), parts
    assert within("prepare") == "prepare"
