"""The whole of it, in one command: python saas.py

Starts Penstock with access, lets three tenants in while it runs, each with a key and a webhook of his own, and looks
whether each got what is his and nobody anything else. All that it starts ends with it.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app import secret_of
from tenants import Webhooks, look_at, publish

import penstock as ps

HERE = Path(__file__).parent
TENANTS = "acme", "bolt", "cask"
AMOUNTS = [100.0, 950.0, 999.0]  # of each tenant's payments; those above 900 are cases
PATIENCE_S = 120


def first_key(data: str) -> str:
    """The operator's; every other is made with it."""
    make = ("-m", "penstock", "keys", "create", "operator", "--allow", "admin", "--data", data)
    said = subprocess.run([sys.executable, *make], check=True, capture_output=True, text=True).stdout
    return next(word for word in said.split() if word.startswith("psk_"))


@contextmanager
def running(data: str) -> Iterator[str]:
    """Penstock, once it is ready: its URL."""
    run = ("-m", "penstock", "run", "app.py", "--data", data, "--access", "keys", "--port", "0")
    started = subprocess.Popen([sys.executable, *run], stdout=subprocess.PIPE, text=True, cwd=HERE)
    assert started.stdout is not None
    try:
        ready = next((line for line in started.stdout if line.startswith("ready http")), None)
        if ready is None:
            raise SystemExit("Penstock has ended before it was ready")
        yield ready.split()[1]
    finally:
        started.terminate()
        started.wait()


def onboard(operator: ps.Client, tenant: str, webhook: str) -> str:
    """His key: he may publish to his topic and read his risks. That he is there is an event."""
    made = operator.create_key(tenant, f"append:tx/{tenant},read:risks/{tenant}", days=90)
    operator.publish("onboarded", [{"tenant": tenant, "url": webhook}])
    wait_until(lambda: f"{tenant}-cases" in {each["name"] for each in operator.subscriptions()})
    return str(made["key"])


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"that has not come within {PATIENCE_S} s")
        time.sleep(0.05)


def main() -> None:
    ours = os.environ["SAAS_SECRET"] = secrets.token_hex(32)
    os.environ["SAAS_LOCAL"] = "1"
    signed = {tenant: secret_of(tenant, ours) for tenant in TENANTS}
    with tempfile.TemporaryDirectory() as data, closing(Webhooks(signed)) as webhooks:
        operator_key = first_key(data)
        with running(data) as url, ps.connect(url, key=operator_key) as operator:
            keys = {tenant: onboard(operator, tenant, webhooks.url(tenant)) for tenant in TENANTS}
            print(f"{len(keys)} tenants, each with a key and a webhook", flush=True)
            for tenant, key in keys.items():
                publish(url, key, tenant, AMOUNTS)
            wait_until(lambda: all(len(webhooks.cases[tenant]) >= 2 for tenant in TENANTS))
            for tenant in TENANTS:
                print(f"{tenant}: told of {', '.join(sorted(webhooks.cases[tenant]))}", flush=True)
            print(f"acme, of its own risks: {look_at(url, keys['acme'], 'risks/acme')}", flush=True)
            print(f"acme, of bolt's: {look_at(url, keys['acme'], 'risks/bolt')}", flush=True)
            check(webhooks)


def check(webhooks: Webhooks) -> None:
    expected = {tenant: {f"{tenant}-1", f"{tenant}-2"} for tenant in TENANTS}
    if {tenant: set(ids) for tenant, ids in webhooks.cases.items()} != expected:
        raise SystemExit("that is not as it should be")


if __name__ == "__main__":
    main()
