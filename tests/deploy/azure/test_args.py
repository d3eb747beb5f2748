"""What a component is told, looked at without the SDK and before anything is made."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.azure.built import IMAGE, REGISTRY
from tests.deploy.plans import DAY_US, PLAN

from penstock.deploy.arguments import check_image
from penstock.deploy.azure.args import PenstockAppArgs, checked
from penstock.errors import DeclarationError, PlanRefused
from penstock.plan.codec import as_json
from penstock.plan.references import ReferenceSpec

CLIENT = "AZURE_CLIENT_ID"
ENOUGH: dict[str, Any] = {"plan": PLAN, "image": IMAGE, "secrets": {"API_KEY": "k"}, "settings": {"RISKS_URL": "u"}}
TOO_LONG = replace(PLAN, topics=(replace(PLAN.topics[0], retain_us=8 * DAY_US), *PLAN.topics[1:]))
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a tag": ({"image": "shop.azurecr.io/shop:1"}, "'shop.azurecr.io/shop:1' names no digest.*write NAME@sha"),
    "half a digest": ({"image": f"{IMAGE[:-1]}"}, "names no digest"),
    "no plan there": ({"plan": "none/plan.json"}, "plan: none/plan.json: No such file.*penstock check APP --plan"),
    "a module's plan": ({"plan": replace(PLAN, target="shop:app")}, "plan: the app is 'shop:app', a module"),
    "no secret": ({"secrets": {}}, r"app.py:10: ps.secret\('API_KEY'\) has no value\n.*secrets=\{'API_KEY': …\}"),
    "no setting": ({"settings": {}}, r"app.py:10: ps.env\('RISKS_URL'\) has no value\n.*settings=\{'RISKS_URL': …\}"),
    "a stranger's secret": (
        {"secrets": {"API_KEY": "k", "API_KEZ": "k"}},
        "app.py:1: secrets: the app looks up no 'API_KEZ'\n    leave it away; it looks up API_KEY",
    ),
    "a stranger's setting": ({"settings": {"RISKS_URL": "u", "RISK": "u"}}, "settings: the app looks up no 'RISK'"),
    "a secret in the clear": (
        {"settings": {"RISKS_URL": "u", "API_KEY": "k"}},
        r"settings: 'API_KEY' is a secret of the app.*\n.*secrets=\{'API_KEY': …\}",
    ),
    "an app that cannot be held": ({"plan": TOO_LONG}, "app.py:2: topic 'orders' is kept for 8 days, and an event hub"),
    "a variable of the processes": (
        {"plan": replace(PLAN, resources=(replace(PLAN.resources[0], references=(ReferenceSpec("env", CLIENT, ""),)),)),
         "secrets": {}, "settings": {}},
        f"app.py:10: the app looks up '{CLIENT}', by which the processes",
    ),
    "no seconds": (
        {"settings": {"RISKS_URL": "u", "PENSTOCK_DRAIN_TIMEOUT": "soon"}}, "'soon' is not a number",
    ),
    "no worker": ({"min_workers": 0}, "min_workers: 0 is not within 1 and"),
    "fewer than the least": ({"min_workers": 3, "max_workers": 2}, "max_workers: 2 is not within 3 and"),
    "no lag": ({"lag_threshold": 0}, "lag_threshold: 0 is not"),
    "units": ({"throughput_units": 5, "max_throughput_units": 4}, "max_throughput_units: 4 is not within 5 and 40"),
    "too many units": ({"max_throughput_units": 41}, "max_throughput_units: 41 is not within 1 and 40"),
    "a large replica": ({"worker_cpu": 4.0}, "worker_cpu: 4.0 is not within 0.25 and 2.0"),
    "no pair": ({"gateway_cpu": 0.3}, "gateway_cpu: 0.3: Consumption has steps of 0.25"),
    "a short memory": ({"log_retention_days": 7}, "log_retention_days: 7 is not within 30 and 730"),
    "tags": ({"tags": {str(n): "x" for n in range(16)}}, "tags: 16 of them.* room for 15"),
    "a namespace": ({"event_hubs_namespace": "shop_events"}, "event_hubs_namespace: 'shop_events' is not 6 to 50"),
    "an account": ({"storage_account": "Shop-Models"}, "storage_account: 'Shop-Models' is not 3 to 24 small"),
    "a vault": ({"key_vault": "shop--vault"}, "key_vault: 'shop--vault' is not 3 to 24"),
    "a group": ({"resource_group": "shop."}, r"resource_group: 'shop.' is not up to 90"),
    "a registry's name": ({"registry": "shop.azurecr.io"}, "registry: 'shop.azurecr.io' is not the resource id"),
}  # fmt: skip


def refused(case: str) -> None:
    given, message = CASES[case]
    with pytest.raises(DeclarationError, match=message):
        checked(PenstockAppArgs(**{**ENOUGH, **given}))


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_is_refused_with_what_to_write(case: str) -> None:
    refused(case)


def test_what_nobody_looks_at_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.azure import args

    monkeypatch.setattr(args, "_check_numbers", lambda *_: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        refused("no pair")


def test_what_just_fits_is_taken() -> None:
    most: dict[str, Any] = {"gateway_cpu": 0.25, "worker_cpu": 2.0, "max_throughput_units": 40, "registry": REGISTRY}
    names: dict[str, Any] = {"event_hubs_namespace": "shop-1", "storage_account": "abc", "key_vault": "a-b"}
    tags = {str(n): "x" for n in range(15)}
    known = checked(PenstockAppArgs(**ENOUGH, **most, **names, resource_group="(shop)_1.x", tags=tags))
    assert (known.needed.app, known.file) == ("shop", "/app/app.py")


def test_settings_of_penstock_itself_are_taken() -> None:
    checked(PenstockAppArgs(**{**ENOUGH, "settings": {"RISKS_URL": "u", "PENSTOCK_DRAIN_TIMEOUT": "5"}}))
    with pytest.raises(DeclarationError, match="looks up no 'PENSTOCK_DRAIN'"):
        checked(PenstockAppArgs(**{**ENOUGH, "settings": {"RISKS_URL": "u", "PENSTOCK_DRAIN": "5"}}))


def test_all_that_is_wrong_with_the_values_is_told_at_once() -> None:
    with pytest.raises(DeclarationError) as refusal:
        checked(PenstockAppArgs(plan=TOO_LONG, image=IMAGE))
    assert [text for text in ("8 days", "ps.secret", "ps.env") if text in str(refusal.value)] == [
        "8 days",
        "ps.secret",
        "ps.env",
    ]


def test_a_plan_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(as_json(PLAN))
    assert checked(PenstockAppArgs(**{**ENOUGH, "plan": str(file)})).plan == PLAN
    file.write_text("{")
    with pytest.raises(PlanRefused, match="this is no plan"):
        checked(PenstockAppArgs(**{**ENOUGH, "plan": file}))


@pytest.mark.parametrize(
    ("target", "file"),
    [("app.py:app", "/app/app.py"), ("shop.py:main", "/app/shop.py:main"), ("a/b.py:app", "/app/b.py")],
)
def test_the_app_is_found_in_the_image(target: str, file: str) -> None:
    assert checked(PenstockAppArgs(**{**ENOUGH, "plan": replace(PLAN, target=target)})).file == file


def test_an_image_that_is_known_later_is_looked_at_then() -> None:
    assert check_image(IMAGE) == IMAGE
    with pytest.raises(DeclarationError, match="names no digest"):
        check_image("shop")
    assert re.fullmatch(r".*@sha256:[0-9a-f]{64}", IMAGE)
