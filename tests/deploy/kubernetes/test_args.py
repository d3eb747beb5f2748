"""What a component may not be told: said before any resource is made, with what to write instead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.capture import capture
from tests.deploy.kubernetes.objects import MINIMUM, component
from tests.deploy.plans import PLAN, SUBSCRIBED

from penstock.deploy.kubernetes import KafkaCredentials, PenstockAppArgs, Pods, Prometheus
from penstock.deploy.kubernetes.args import checked
from penstock.errors import CannotStart, DeclarationError, PlanRefused
from penstock.plan.codec import as_json

SASL = "kafka://b:9093?security=sasl_ssl"
USERS = {who: KafkaCredentials(who, "password") for who in ("gateway", "worker", "scaler")}
DELIVERING = {"plan": SUBSCRIBED, "secrets": {"API_KEY": "hush", "HOOK_KEY": "hush", "HOOK_URL": "hush"}}
TWO = {"API_KEY": "hush", "OTHER": "hush"}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a tag": ({"image": "registry.example/shop:1"}, "image: .*:1' names no digest.* NAME@sha256"),
    "a short digest": ({"image": "shop@sha256:abc"}, "names no digest"),
    "no secret": ({"secrets": {}}, r"app.py:10: ps.secret\('API_KEY'\) has no value\n.*secrets={'API_KEY'"),
    "a secret of nothing": ({"secrets": {"API_KEY": None}}, r"ps.secret\('API_KEY'\) has no value"),
    "a secret too many": ({"secrets": TWO}, "app.py:1: secrets: the app looks up no 'OTHER'\n.* it looks up API_KEY"),
    "no setting": ({"settings": {}}, r"app.py:10: ps.env\('RISKS_URL'\) has no value"),
    "a setting too many": ({"settings": {"RISKS_URL": "u", "RISK_URL": "u"}}, "the app looks up no 'RISK_URL'"),
    "an app that names cannot hold": (
        {"plan": replace(PLAN, app="s" * 60)},
        "app.py:1: the gateway of .* characters shorter",
    ),
    "an app that is a module": ({"plan": replace(PLAN, target="shop:app")}, "'shop:app', a module: make the plan of"),
    "no plan": ({"plan": "nowhere.json"}, "plan: nowhere.json: No such file.*penstock check APP --plan"),
    "another log": ({"log": "sqlite:here"}, "log: .* no Kafka that pods reach: write kafka://HOST"),
    "a folder of one pod": ({"artifacts": "file:///models"}, "artifacts: .* folder of one pod: name a volume"),
    "the volume itself": ({"artifacts": "file:///artifacts", "artifacts_claim": "c"}, "folder of one pod"),
    "out of the volume": ({"artifacts": "file:///artifacts/../data", "artifacts_claim": "c"}, "folder of one pod"),
    "a volume for a bucket": ({"artifacts_claim": "models"}, "artifacts_claim is of no use with 's3://"),
    "no bucket": ({"artifacts": "s3://"}, "artifacts: 's3://' is none of s3://, gs://"),
    "a key in a URL": ({"artifacts": "s3://id:key@bucket"}, "a URL is seen by everybody"),
    "no credentials": ({"log": SASL}, "with security=sasl_ssl gateway, worker, scaler needs a user"),
    "no scaler's": ({"log": SASL, "kafka_credentials": {**USERS, "scaler": None}}, "scaler needs a user"),
    "credentials for nobody": ({"kafka_credentials": USERS}, "nobody is 'gateway': with security=plaintext"),
    "a scaler that asks Prometheus": (
        {"log": SASL, "kafka_credentials": USERS, "prometheus": Prometheus("http://p", "m")},
        "nobody is 'scaler': with security=sasl_ssl and prometheus it is of gateway, worker",
    ),
    "a store's credentials for nobody": ({"artifact_credentials": {"gatway": {}}}, "nobody is 'gatway'.*gateway, wor"),
    "a role for nobody": ({"service_account_annotations": {"scaler": {}}}, "service_account_annotations: nobody is"),
    "no gateway": ({"gateway_replicas": 0}, "gateway_replicas: 0 is too few"),
    "no worker": ({"min_workers": 0}, "min_workers: 0 is too few: write 1, or more"),
    "more at least than at most": ({"min_workers": 6}, "max_workers: 5 is less than min_workers, 6"),
    "no worker in a pod": ({"workers_a_pod": 0}, "workers_a_pod: 0 is too few"),
    "no lag": ({"lag_threshold": 0}, "lag_threshold: 0 is too few"),
    "memory beyond the limit": ({"worker_pods": Pods(500, 4_096, 2_048)}, "worker_pods: .* more memory than its limit"),
    "no CPU": ({"gateway_pods": Pods(0, 128, 256)}, "gateway_pods: .* keeps nothing for a pod"),
    "no port": ({"egress_ports": [70_000]}, "egress_ports: 70000 is no port"),
    "no courier": ({"courier_replicas": 0}, "courier_replicas: 0 is too few"),
    "a courier's memory": ({"courier_pods": Pods(100, 2, 1)}, "courier_pods: .* more memory than its limit"),
    "no courier's user": ({**DELIVERING, "log": SASL, "kafka_credentials": USERS}, "sasl_ssl courier needs a user"),
    "a user of no courier": (
        {"log": SASL, "kafka_credentials": {**USERS, "courier": KafkaCredentials("c", "p")}},
        "nobody is 'courier': with security=sasl_ssl it is of gateway, worker, scaler",
    ),
    "a courier with models": (
        {**DELIVERING, "artifact_credentials": {"courier": {}}},
        "artifact_credentials: nobody is 'courier': here it is of gateway, worker",
    ),
    "a label of ours": ({"labels": {"app.kubernetes.io/name": "x"}}, "'app.kubernetes.io/name' is Penstock's own"),
    "no label": ({"labels": {"team": "risk & fraud"}}, "labels: 'team: risk & fraud' is no label"),
    "no label's key": ({"labels": {"-": "x"}}, "labels: '-: x' is no label"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_the_mend(case: str) -> None:
    changed, told = WRONG[case]
    with pytest.raises(DeclarationError, match=f"(?s){told}"):
        checked(PenstockAppArgs(**{**MINIMUM, **changed}))


def test_all_that_is_wrong_with_an_app_is_told_at_once() -> None:
    with pytest.raises(DeclarationError, match=r"(?s)API_KEY.*RISKS_URL.*'OTHER'"):
        checked(PenstockAppArgs(**{**MINIMUM, "settings": {}, "secrets": {"OTHER": "hush"}}))


@pytest.mark.clouds
def test_nothing_is_made_before() -> None:
    made = []

    def program() -> None:
        with pytest.raises(DeclarationError, match="is too few"):
            component(gateway_replicas=0)
        made.append(component("other"))

    assert {one.name.partition("-")[0] for one in capture(program).resources} == {"other"} and made


def test_a_plan_is_read_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(as_json(PLAN))
    assert checked(PenstockAppArgs(**{**MINIMUM, "plan": file})).needed.app == "shop"
    file.write_text("{}")
    with pytest.raises(PlanRefused, match="this is no plan"):
        checked(PenstockAppArgs(**{**MINIMUM, "plan": str(file)}))


def test_the_targets_limits_are_read_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import penstock.deploy.kubernetes as target

    for name in [name for name in sys.modules if name.startswith("penstock.deploy.kubernetes.component")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pulumi", None)  # as if it were not installed
    assert target.PenstockAppArgs is PenstockAppArgs
    with pytest.raises(CannotStart, match=r"needs Pulumi and its SDK for Kubernetes: pip install .*\[kubernetes\]"):
        _ = target.PenstockApp
    with pytest.raises(AttributeError, match="has no attribute 'Penstock'"):
        _ = target.Penstock
