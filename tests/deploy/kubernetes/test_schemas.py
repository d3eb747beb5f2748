"""Every object that the component makes, held against what Kubernetes and KEDA publish of theirs.

No cluster is here: a server checks more than a schema says (``test_component.py`` has the references between objects).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from tests.deploy.capture import capture
from tests.deploy.components import component, opened
from tests.deploy.kubernetes.objects import MadeObjects, app_of, credentials, delivering, shop
from tests.deploy.kubernetes.schemas import VERSIONS, misspelt, problems
from tests.deploy.plans import APPS, SUBSCRIBED

pytestmark = pytest.mark.clouds

SASL = "kafka://broker-1:9093/shop?security=sasl_ssl&mechanism=SCRAM-SHA-512"
# Maps whose keys are the user's, or that ``problems`` looks at by themselves.
FREE = frozenset({"labels", "annotations", "data", "stringData", "matchLabels", "limits", "requests"})


@cache
def made_of(case: str) -> MadeObjects:
    if case in APPS:
        return app_of(case)
    if case == "subscriptions":
        return delivering(courier_replicas=2)
    if case == "access":
        return MadeObjects(capture(component("kubernetes", SUBSCRIBED, **opened("kubernetes", SUBSCRIBED))))
    if case == "everything":
        return everything()
    return shop(prometheus=prometheus(), make_namespace=True)


def prometheus() -> Any:
    from penstock.deploy.kubernetes import Prometheus

    return Prometheus("http://prometheus.monitoring:9090", "monitoring")


def everything() -> MadeObjects:
    return shop(
        log=SASL,
        kafka_credentials=credentials(),
        kafka_ca="-----BEGIN CERTIFICATE-----",
        artifacts="file:///artifacts/shop",
        artifacts_claim="models",
        service_account_annotations={"worker": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/shop"}},
        image_pull_secrets=["registry"],
        egress_ports=[5432],
        labels={"team": "risk"},
    )


CASES = (*APPS, "subscriptions", "access", "everything", "the metric")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_objects_are_as_they_are_published(case: str, version: str) -> None:
    made = made_of(case)
    assert len(made.objects) >= 10
    for one in made.objects:
        assert problems(one, version) == [], f"{one['kind']} {one['metadata']['name']}"


@pytest.mark.parametrize("case", ["everything", "access", "the metric"])
def test_any_misspelt_key_is_found(case: str) -> None:
    """Of each object each key: a server without strict validation drops it in silence."""
    tried = 0
    for one in made_of(case).objects:
        for place, changed in misspelt(one, FREE):
            if place in ("kind", "apiVersion"):  # by these the schema is chosen
                continue
            if not (one["kind"] == "Service" and place.startswith("spec.selector.")):  # whose keys are labels
                assert problems(changed, VERSIONS[0]), f"{one['kind']}: {place} may be misspelt"
                tried += 1
    assert tried > 150


def changed(made: Any, *path: Any, to: Any = None) -> Any:
    """With another value at that place; without one, nothing is there."""
    key, *rest = path
    inner = changed(made[key], *rest, to=to) if rest else to
    if isinstance(made, list):
        return [*made[:key], inner, *made[key + 1 :]]
    return {name: value for name, value in {**made, key: inner}.items() if value is not None}


CONTAINER = ("spec", "template", "spec", "containers", 0)
WRONG: tuple[tuple[str, tuple[Any, ...], Any], ...] = (
    ("Deployment", ("spec", "selector"), None),
    ("Deployment", ("spec", "template"), None),
    ("Deployment", ("spec", "replicas"), "two"),
    ("Deployment", (*CONTAINER, "name"), None),
    ("Deployment", (*CONTAINER, "args"), "run"),
    ("Deployment", (*CONTAINER, "securityContext", "readOnlyRootFilesystem"), "yes"),
    ("Deployment", (*CONTAINER, "livenessProbe", "httpGet", "port"), None),
    ("Deployment", (*CONTAINER, "env", 0, "name"), None),
    ("PodDisruptionBudget", ("spec", "maxUnavailable"), [1]),
    ("NetworkPolicy", ("spec", "egress", 0, "ports", 0, "port"), {"number": 53}),
    ("Ingress", ("spec", "rules", 0, "http", "paths", 0, "pathType"), None),
    ("Ingress", ("spec", "tls"), {"hosts": ["a"]}),
    ("Service", ("spec", "ports", 0, "port"), "http"),
    ("ServiceAccount", ("automountServiceAccountToken",), "no"),
    ("ScaledObject", ("spec", "scaleTargetRef"), None),
    ("ScaledObject", ("spec", "maxReplicaCount"), "5"),
    ("ScaledObject", ("spec", "triggers", 0, "type"), None),
    ("ScaledObject", ("spec", "triggers", 0, "metadata", "lagThreshold"), 50),
    ("ScaledObject", ("spec", "triggers", 0, "metadata", "consumerGroup"), None),
    ("TriggerAuthentication", ("spec", "secretTargetRef", 0, "key"), None),
    ("TriggerAuthentication", ("spec", "secretTargetRef", 0, "parameter"), "user"),
)


@pytest.mark.parametrize(("kind", "path", "value"), WRONG)
def test_a_wrong_or_missing_value_is_found(kind: str, path: tuple[Any, ...], value: Any) -> None:
    one = made_of("access" if kind in ("Ingress", "Service") else "everything").of(kind)[0]
    assert problems(changed(one, *path, to=value), VERSIONS[0]), f"{'.'.join(map(str, path))} may be {value}"
