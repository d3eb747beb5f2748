"""Rights on a cluster that are taken away while an app runs, and given back: told, and all goes on by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not marked as exported
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.cluster.client import admin
from tests.brokers import jars
from tests.brokers.cluster import SASL, Cluster, running
from tests.brokers.fixtures import or_skip
from tests.brokers.hub import AUTHORIZER
from tests.brokers.node import PASSWORD, USER
from tests.e2e import rig, steps

LOGIN = {"KAFKA_USER": USER, "KAFKA_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker that asks each user for rights; over PLAINTEXT, which the test uses, nobody needs any."""
    with or_skip():
        jars.classpath()
    with running(tmp_path_factory.mktemp("guarded"), overrides=AUTHORIZER) as cluster:
        yield cluster


@contextmanager
def denied(
    cluster: Cluster,
    kind: ResourceType,
    name: str,
    operation: AclOperation,
    pattern: ResourcePatternType = ResourcePatternType.LITERAL,
) -> Iterator[None]:
    where = kind, name, pattern
    user = f"User:{USER}", "*"
    rights = [
        AclBinding(*where, *user, AclOperation.ALL, AclPermissionType.ALLOW),
        AclBinding(*where, *user, operation, AclPermissionType.DENY),
    ]
    client = admin(Address(cluster.bootstrap))
    for done in client.create_acls(rights).values():
        done.result(30)
    try:
        yield
    finally:
        all_of_it = AclBindingFilter(*where, None, None, AclOperation.ANY, AclPermissionType.ANY)  # type: ignore[arg-type]
        for removed in client.delete_acls([all_of_it]).values():
            removed.result(30)


def test_a_start_without_the_right_to_transactions_is_explained(tmp_path: Path, guarded: Cluster) -> None:
    log = f"kafka://{guarded.address(SASL)}/none?security=sasl_plaintext"
    command = [sys.executable, "-m", "penstock", "run", str(steps.APP), "--data", str(tmp_path), "--log", log]
    env = {**os.environ, **LOGIN}
    with denied(guarded, ResourceType.TRANSACTIONAL_ID, "none.", AclOperation.WRITE, ResourcePatternType.PREFIXED):
        done = subprocess.run([*command, "--port", "0"], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "let this user write and describe transactional ids that begin with 'none.'" in done.stderr


def publish(url: str, count: int) -> httpx.Response:
    rows = [{"key": f"k{n}", "writer": steps.PROBES, "seq": n} for n in range(count)]
    return httpx.post(f"{url}/topics/steps/events", json=rows, timeout=60)


def refused(url: str, count: int) -> bool:
    answer = publish(url, count)
    return answer.status_code == 503 and said(answer) and bool(answer.headers["retry-after"])


def said(answer: httpx.Response) -> bool:
    error: Mapping[str, Any] = answer.json()["error"]
    return error["code"] == "log_refused" and "rights.steps" in error["message"] and "uthorization" in error["message"]


def refused_after(answer: httpx.Response, url: str) -> bool:
    assert answer.status_code == 200
    return "authorization" in reasons(url).lower()


def reasons(url: str) -> str:
    return " ".join(each["reason"] for each in httpx.get(f"{url}/readyz", timeout=30).json()["reasons"])


def test_rights_that_are_taken_away_and_given_back(
    tmp_path: Path, guarded: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"kafka://{guarded.address(SASL)}/rights?security=sasl_plaintext"
    data = tmp_path / "data"
    with rig.running(steps.APP, data, workers=1, env=LOGIN, log=url) as run:
        pids = {process.pid for process in (*run.children("gateway"), *run.children("worker"))}
        steps.probe(run.url, 0)
        with denied(guarded, ResourceType.TOPIC, "rights.steps", AclOperation.WRITE):
            for count in (1, 16):  # one record, and a transaction
                assert rig.eventually(lambda count=count: refused(run.url, count)), publish(run.url, count).text  # type: ignore[misc]
        steps.probe(run.url, 1)
        stage = [
            (ResourceType.TOPIC, "rights.copies", AclOperation.WRITE),
            (ResourceType.TOPIC, "rights.steps", AclOperation.READ),
            (ResourceType.GROUP, "rights.copy", AclOperation.READ),
            (ResourceType.GROUP, "rights.copy", AclOperation.DESCRIBE),  # how far it is
        ]
        for number, (kind, name, operation) in enumerate(stage, 2):
            with denied(guarded, kind, name, operation):
                # What is published before the brokers know of the denial may pass, and only work meets a refusal.
                assert rig.eventually(lambda: refused_after(publish(run.url, 16), run.url)), reasons(run.url)
            steps.probe(run.url, number)
        assert rig.eventually(lambda: steps.lag(run.url) == 0)
        assert rig.eventually(lambda: not reasons(run.url))
        assert pids == {process.pid for process in (*run.children("gateway"), *run.children("worker"))}
        assert run.stop() == 0
    monkeypatch.setattr(rig, "log_url", lambda _: f"kafka://{guarded.bootstrap}/rights")
    steps.judge(data, [])
