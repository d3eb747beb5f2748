"""What the components of all targets are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.deploy.plans import PLAN

from penstock.declare.planning.findings import FindingCollector
from penstock.deploy.arguments import check_values, file_in_image, read_plan
from penstock.deploy.requirements import requirements_of
from penstock.errors import DeclarationError, PlanRefused
from penstock.plan.codec import plan_to_bytes

NEEDED = requirements_of(PLAN)


def told(settings: dict[str, object], secrets: dict[str, object]) -> str:
    report = FindingCollector()
    check_values(NEEDED, settings, secrets, report)
    return "\n".join(map(str, report.findings))


def test_a_value_each_is_enough() -> None:
    assert told({"RISKS_URL": "u"}, {"API_KEY": "k"}) == ""


def test_what_has_no_value_is_told_with_its_line() -> None:
    found = told({}, {})
    assert "app.py:10: ps.secret('API_KEY') has no value" in found
    assert "app.py:10: ps.env('RISKS_URL') has no value" in found


def test_a_secret_that_would_be_in_the_clear_is_refused() -> None:
    found = told({"RISKS_URL": "u", "API_KEY": "k"}, {"API_KEY": "k"})
    assert "'API_KEY' is a secret of the app, and would be in the clear" in found


def test_penstocks_own_settings_are_taken_as_far_as_they_are_right() -> None:
    assert told({"RISKS_URL": "u", "PENSTOCK_DRAIN_TIMEOUT": "30"}, {"API_KEY": "k"}) == ""
    assert "looks up no 'PENSTOCK_DRAIN'" in told({"RISKS_URL": "u", "PENSTOCK_DRAIN": "30"}, {"API_KEY": "k"})
    with pytest.raises(DeclarationError, match="PENSTOCK_DRAIN_TIMEOUT='long' is not a number"):
        told({"RISKS_URL": "u", "PENSTOCK_DRAIN_TIMEOUT": "long"}, {"API_KEY": "k"})


def test_a_plan_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    with pytest.raises(DeclarationError, match=r"plan\.json: No such file.*penstock check APP --plan makes one"):
        read_plan(file)
    file.write_bytes(b"{}")
    with pytest.raises(PlanRefused):
        read_plan(file)
    file.write_bytes(plan_to_bytes(PLAN))
    assert file_in_image(read_plan(file)) == "/app/app.py"
