"""A domain with a topic for each tenant; each brings his own webhook, while the app runs."""

import base64
import hmac
from dataclasses import dataclass

import penstock as ps

app = ps.App("saas")


@dataclass
class Tx:
    id: str
    amount: float


@dataclass
class Risk:
    id: str
    risk: float


@dataclass
class Onboarded:
    tenant: str
    url: str


tx = app.domain("tx", Tx, key="id")
risks = app.domain("risks", Risk, key="id")
risk = app.model("risk", "risk.py", inputs=["amount"], outputs=["risk"])
app.score(tx, risk, to=risks, keep=["id"])  # what a tenant publishes is scored in the topic of that tenant

onboarded = app.topic("onboarded", Onboarded, key="tenant")


def secret_of(tenant: str, ours: str) -> str:
    """What signs this tenant's webhooks: made of one secret of ours, so that no event has to hold it."""
    made = hmac.digest(ours.encode(), tenant.encode(), "sha256")
    return "whsec_" + base64.b64encode(made).decode()


@app.on(onboarded)
def subscribe(
    t: Onboarded,
    subscriptions: ps.Subscriptions,
    ours: str = ps.secret("SAAS_SECRET"),
    local: str = ps.env("SAAS_LOCAL", "0"),  # 1: tenants' webhooks may be on this machine, to try it
) -> None:
    subscriptions.put(
        f"{t.tenant}-cases",
        risks[t.tenant],
        t.url,
        where="risk > 0.9",
        secret=secret_of(t.tenant, ours),
        allow_http=local == "1",
        allow_private=local == "1",
    )
