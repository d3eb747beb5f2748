"""Who is let in is subscribed to what is his, and his webhook believes nobody else. ``tests/docs`` runs it all."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

import penstock as ps
from penstock.declare.planning.build import plan_of
from penstock.errors import DeclarationError
from penstock.plan.edges import edges, references
from penstock.plan.plan import Edge

OURS = "of the operator"
EXAMPLE = Path(__file__).parents[2] / "examples" / "saas"


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location(f"saas_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    return loaded("app", monkeypatch)


@pytest.fixture
def webhooks(app: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    found = loaded("tenants", monkeypatch).Webhooks({name: app.secret_of(name, OURS) for name in ("acme", "bolt")})
    with closing(found):
        yield found


def test_whoever_is_onboarded_is_subscribed_to_his_own(app: Any) -> None:
    subscriptions = ps.Subscriptions()
    app.subscribe(app.Onboarded("acme", "https://acme.example.com/cases"), subscriptions, OURS)
    put = subscriptions.put_by_name["acme-cases"]
    assert (put.source, put.where) == ("risks/acme", "risk > 0.9")


@pytest.mark.parametrize("url", ["http://acme.example.com/cases", "https://127.0.0.1/cases", "https://10.0.0.7/cases"])
def test_nobody_has_us_call_what_is_inside(app: Any, url: str) -> None:
    with pytest.raises(DeclarationError, match=r"without TLS|not on the public internet"):
        app.subscribe(app.Onboarded("acme", url), ps.Subscriptions(), OURS)


def test_a_deployment_is_told_of_the_secret_and_who_looks_it_up(app: Any) -> None:
    plan = plan_of(app.app)
    assert Edge("subscribe", "secret", "SAAS_SECRET") in edges(plan)
    assert {(who, ref.variable) for who, ref, _ in references(plan)} == {
        ("subscribe", "SAAS_SECRET"),
        ("subscribe", "SAAS_LOCAL"),
    }


def post(webhooks: Any, tenant: str, secret: str) -> int:
    body, now = json.dumps({"id": "acme-1", "risk": 0.95}), datetime.now(UTC)
    signed = Webhook(secret).sign("msg", now, body)
    headers = {"webhook-id": "msg", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed}
    return httpx.post(webhooks.url(tenant), content=body, headers=headers, timeout=60).status_code


def nobody_else_is_believed(webhooks: Any, app: Any) -> None:
    assert post(webhooks, "acme", app.secret_of("bolt", OURS)) == 401, "one tenant signs for another"
    assert post(webhooks, "acme", app.secret_of("acme", OURS)) == 204
    assert webhooks.cases == {"acme": ["acme-1"]}


def test_a_webhook_believes_what_is_signed_for_it(webhooks: Any, app: Any) -> None:
    nobody_else_is_believed(webhooks, app)


def test_mutant_one_secret_for_all_is_caught(webhooks: Any, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    of_all = app.secret_of("all", OURS)
    monkeypatch.setattr(webhooks, "secrets", dict.fromkeys(webhooks.secrets, of_all))
    monkeypatch.setattr(app, "secret_of", lambda tenant, ours: of_all)
    with pytest.raises(AssertionError, match="one tenant signs for another"):
        nobody_else_is_believed(webhooks, app)
