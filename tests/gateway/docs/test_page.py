"""/docs tells what the app sends out, and to whom, without what may be secret in a URL."""

from __future__ import annotations

from penstock.batch import TopicSpec
from penstock.gateway import routes
from penstock.gateway.docs.page import page
from penstock.gateway.docs.samples import Samples
from penstock.plan.plan import Plan, SubscriptionSpec

PLAN = Plan("shop", "", "", (TopicSpec("scores"),))


def shown(*subscriptions: SubscriptionSpec) -> str:
    plan = Plan(PLAN.app, "", "", PLAN.topics, subscriptions=subscriptions)
    return page(routes.ROUTES, plan, Samples(plan))


def test_subscriptions_are_listed_where_there_are_some() -> None:
    assert "Subscriptions of this app" not in shown()
    html = shown(SubscriptionSpec("cases", "scores", "https://hooks.example.com/?key=hush", where="score > 0.9"))
    assert html.count("Subscriptions of this app") == 2 and "href='#subscriptions'" in html
    assert "<code>cases</code><td>scores to hooks.example.com, where score &gt; 0.9" in html
    assert "hush" not in html and "https://" not in html
