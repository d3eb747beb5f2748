from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.deploy.plans import APPS, PLAN, SUBSCRIBED, plan_of

from penstock import deploy
from penstock.deploy.targets import TARGETS, not_held, target
from penstock.errors import CannotStart

FOLDERS = {name: Path(deploy.__path__[0]) / name for name in TARGETS}


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(CannotStart, match="--target gcp: there are azure and kubernetes"):
        target("gcp")
    with pytest.raises(CannotStart, match="--target Azure"):
        not_held(PLAN, "Azure")


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_cannot_hold_is_found_by_its_name(name: str) -> None:
    assert not_held(PLAN, name) == []
    assert [finding.place for finding in not_held(replace(PLAN, app="___"), name)] == ["app.py:1"]


@pytest.mark.parametrize("app", APPS)
def test_what_the_targets_cannot_hold_of_the_examples(app: str) -> None:
    """Event Hubs Standard does not keep scores for 90 days, as the one on fraud wants."""
    found = [finding.message for finding in not_held(plan_of(app), "azure")]
    kept = ["topic 'scores' is kept for 90 days, and an event hub keeps 7 at most"]
    assert found == (kept if app == "fraud" else [])
    assert not_held(plan_of(app), "kubernetes") == []


def test_targets_have_the_same_files() -> None:
    """So that who has read one finds his way in another."""
    files = {name: sorted(file.name for file in folder.glob("*.py")) for name, folder in FOLDERS.items()}
    assert len(set(map(tuple, files.values()))) == 1, files


@pytest.mark.parametrize("name", TARGETS)
def test_subscriptions_are_held(name: str) -> None:
    assert not_held(SUBSCRIBED, name) == []
