"""What the component makes of an app: each promise of its own, looked up in the objects that it asked for.

Under Pulumi's mocks: no cluster and no engine is here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from tests.deploy.capture import Captured, capture
from tests.deploy.capture import plain as without_marks
from tests.deploy.components import IMAGE
from tests.deploy.kubernetes.objects import MadeObjects, app_of, component, credentials, delivering, shop
from tests.deploy.plans import APPS, HOOK, PLAN, SUBSCRIBED, plan_of
from tests.deploy.services.made import at
from tests.deploy.services.values import Secret

from penstock.deploy.requirements import requirements_of
from penstock.plan.plan import Plan
from penstock.settings import Settings

pytestmark = pytest.mark.clouds

SERVICES = ("shop-gateway", "shop-worker")
SASL = "kafka://broker-1:9093/shop?security=sasl_ssl&mechanism=SCRAM-SHA-512"
MIB = 1 << 20


@cache
def plain() -> MadeObjects:
    return shop()


@cache
def signed_in() -> MadeObjects:
    buckets = {
        who: {"AWS_ACCESS_KEY_ID": f"{who}-id", "AWS_SECRET_ACCESS_KEY": f"{who}-key"} for who in ("gateway", "worker")
    }
    return shop(log=SASL, kafka_credentials=credentials(), kafka_ca="PEM", artifact_credentials=buckets)


@cache
def sending() -> MadeObjects:
    users = credentials(("gateway", "worker", "courier"))
    return delivering(
        log=SASL,
        kafka_credentials=users,
        kafka_ca="PEM",
        artifact_credentials={"worker": {"AWS_ACCESS_KEY_ID": "worker-id"}},
        settings={"RISKS_URL": "u", "TEAM": "t"},
    )


@cache
def measured() -> MadeObjects:
    from penstock.deploy.kubernetes import Prometheus

    return shop(prometheus=Prometheus("http://prometheus.monitoring:9090", "monitoring"), workers_a_pod=4)


# -- pods ---------------------------------------------------------------------


def test_each_service_runs_its_part_of_the_app() -> None:
    for service, only, more in (("shop-gateway", "gateway", []), ("shop-worker", "workers", ["--workers", "1"])):
        assert plain().container(service)["args"] == [
            "run", "/app/app.py", "--only", only, "--log", "kafka://broker-1:9092,broker-2:9093/shop",
            "--artifacts", "s3://models/shop", "--data", "/data", "--probes", "0.0.0.0:8081", *more,
        ]  # fmt: skip
        assert plain().container(service)["image"] == IMAGE
        assert "command" not in plain().container(service), "the image says which program"


def test_an_app_of_another_variable_is_called_by_it() -> None:
    assert "/app/shop.py:store" in shop(plan=replace(PLAN, target="shop.py:store")).container("shop-worker")["args"]


def test_a_pod_may_do_little() -> None:
    for service in SERVICES:
        check_confined(plain().pod(service))


def check_confined(pod: Mapping[str, Any]) -> None:
    """As the standard ``restricted`` of Kubernetes asks, and a file system that is read-only but for two volumes."""
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }, "not as it should be: the pod"  # fmt: skip
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }, "not as it should be: the container"  # fmt: skip
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False, "not as it should be"
    assert not any(pod.get(of) for of in ("hostNetwork", "hostPID", "hostIPC")), "not as it should be"
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/data", "/tmp"}, "not as it should be: volumes"
    kinds = {volume["name"]: volume for volume in pod["volumes"]}
    assert all(kinds[name]["emptyDir"]["sizeLimit"].endswith("Mi") for name in ("data", "tmp")), "not as it should be"


@pytest.mark.parametrize(
    "path",
    [
        ("securityContext", "runAsNonRoot"),
        ("securityContext", "seccompProfile"),
        ("automountServiceAccountToken",),
        ("containers", 0, "securityContext", "readOnlyRootFilesystem"),
        ("containers", 0, "securityContext", "capabilities"),
        ("volumes", 0, "emptyDir", "sizeLimit"),
    ],
)
def test_a_pod_that_may_do_more_is_found(path: tuple[Any, ...]) -> None:
    pod: Any = copy.deepcopy(plain().pod("shop-worker"))
    inner = pod
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = "none" if path[-1] == "sizeLimit" else None
    with pytest.raises(AssertionError, match="not as it should be"):
        check_confined(pod)


def test_probes_ask_the_port_that_the_pod_names() -> None:
    for service in SERVICES:
        container = plain().container(service)
        assert container["ports"] == [{"name": "probes", "containerPort": 8081, "protocol": "TCP"}]
        asked = {kind: container[kind]["httpGet"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert asked["readinessProbe"] == {"path": "/readyz", "port": "probes"}
        assert asked["startupProbe"] == asked["livenessProbe"] == {"path": "/healthz", "port": "probes"}
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 60, "brokers are waited for 30 s"


def test_a_pod_ends_when_it_has_drained() -> None:
    for service in SERVICES:
        assert plain().pod(service)["terminationGracePeriodSeconds"] >= Settings().drain_timeout + 5


def test_a_new_version_never_leaves_fewer_pods() -> None:
    for service in SERVICES:
        spec = plain().one("Deployment", service)["spec"]
        assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        assert spec["revisionHistoryLimit"] == 3


def test_memory_is_kept_and_bounded_and_a_runner_has_less_than_its_pod() -> None:
    gateway, worker = (plain().container(service)["resources"] for service in SERVICES)
    assert gateway == {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    assert worker == {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2048Mi"}}
    settings = Settings.from_env(dict(plain().one("ConfigMap", "shop-worker-settings")["data"]))
    assert settings.runner_memory == 1_536 * MIB and settings.artifact_limit < 1_024 * MIB, "an upload lies in /tmp"
    assert settings.artifact_cache == 3_072 * MIB


# -- settings and secrets -----------------------------------------------------


def test_each_service_has_the_secrets_that_are_its_own() -> None:
    env = signed_in().env
    assert env("shop-gateway") == {
        "PENSTOCK_RUNNER_MEMORY": "configMap shop-gateway-settings PENSTOCK_RUNNER_MEMORY",
        "PENSTOCK_ARTIFACT_CACHE": "configMap shop-gateway-settings PENSTOCK_ARTIFACT_CACHE",
        "KAFKA_USER": "secret shop-gateway-kafka KAFKA_USER",
        "KAFKA_PASSWORD": "secret shop-gateway-kafka KAFKA_PASSWORD",
        "AWS_ACCESS_KEY_ID": "secret shop-gateway-artifacts AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY": "secret shop-gateway-artifacts AWS_SECRET_ACCESS_KEY",
    }
    gateway = {name: ref.replace("gateway", "worker") for name, ref in env("shop-gateway").items()}
    own = {"API_KEY": "secret shop-api-key API_KEY", "RISKS_URL": "configMap shop-worker-settings RISKS_URL"}
    assert env("shop-worker") == gateway | own


def test_values_are_secret_and_stand_in_secrets_alone() -> None:
    check_hidden(signed_in(), ["hush", "password-of-worker", "password-of-scaler", "worker-key"])


def check_hidden(made: MadeObjects, values: list[str]) -> None:
    found = set()
    for one in made.program.resources:
        secret = one.inputs.get("kind") == "Secret"
        if secret:
            assert isinstance(one.inputs["stringData"], Secret), f"{one.name} is not kept secret"
        for value in values:
            if value in repr(one.inputs):
                assert secret, f"{one.name} tells a secret"
                found.add(value)
    assert found == set(values), "a secret is nowhere"
    assert not any(value in repr(made.outputs) for value in values), "an output tells a secret"


def test_a_secret_that_is_told_is_found() -> None:
    bare = with_each(signed_in(), lambda one: replace(one, inputs=without_marks(one.inputs)))
    with pytest.raises(AssertionError, match="not kept secret"):
        check_hidden(bare, ["hush"])
    with pytest.raises(AssertionError, match="tells a secret"):
        check_hidden(shop(settings={"RISKS_URL": "hush"}), ["hush"])
    with pytest.raises(AssertionError, match="an output tells"):
        check_hidden(with_each(signed_in(), lambda one: replace(one, outputs={"key": "hush"})), ["hush"])


def with_each(made: MadeObjects, change: Callable[[Captured], Captured]) -> MadeObjects:
    return MadeObjects(replace(made.program, resources=tuple(map(change, made.program.resources))))


def test_pods_begin_anew_when_a_value_changes() -> None:
    """What a pod was started with stays. The version of an object says that it changed, and nothing of the value."""
    assert annotations_of(plain()) == {"penstock/configuration": " ".join(versions_of(plain()))}
    values: Any = ({}, {"settings": {"RISKS_URL": "https://other.example"}}, {"secrets": {"API_KEY": "other"}})
    assert len({annotations_of(shop(**changed))["penstock/configuration"] for changed in values}) == 3


def annotations_of(made: MadeObjects) -> Mapping[str, str]:
    """Of a worker's pod."""
    found: Mapping[str, str] = made.one("Deployment", "shop-worker")["spec"]["template"]["metadata"]["annotations"]
    return found


def versions_of(made: MadeObjects) -> list[str]:
    """As the server answered, of what a worker's variables refer to."""
    sources = (("ConfigMap", "shop-worker-settings"), ("Secret", "shop-API_KEY"))
    found = [made.program.one(f"kubernetes:core/v1:{kind}", name) for kind, name in sources]
    return [at(one.outputs, "metadata.resourceVersion") for one in found]


# -- network, disruption, rights ----------------------------------------------


def test_pods_speak_with_brokers_store_and_names_alone() -> None:
    for service in SERVICES:
        spec = shop(egress_ports=[5432]).one("NetworkPolicy", service)["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"] and spec["ingress"] == []
        dns, rest = ([(each["protocol"], each["port"]) for each in rule["ports"]] for rule in spec["egress"])
        assert dns == [("UDP", 53), ("TCP", 53)]
        assert rest == [("TCP", port) for port in (443, 5432, 9092, 9093)]


def test_who_scrapes_metrics_comes_in_and_nobody_else() -> None:
    spec = measured().one("NetworkPolicy", "shop-worker")["spec"]
    home = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert spec["ingress"] == [{"from": [home], "ports": [{"protocol": "TCP", "port": 8081}]}]
    asked = annotations_of(measured())
    assert asked["prometheus.io/scrape"] == "true" and asked["prometheus.io/port"] == "8081"


def test_no_door_is_open() -> None:
    for made in (plain(), signed_in(), measured()):
        assert not [one for one in made.objects if one["kind"] in ("Service", "Ingress", "Role", "RoleBinding")]
    command = "kubectl --namespace ml port-forward deployment/shop-gateway 8000:8000"
    assert plain().outputs["port_forward"] == command


def test_a_node_can_be_drained_of_a_single_pod() -> None:
    for service in SERVICES:
        spec = plain().one("PodDisruptionBudget", service)["spec"]
        assert spec["maxUnavailable"] == 1 and "minAvailable" not in spec


def test_accounts_hold_no_token_and_have_the_clouds_annotations() -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/shop"}
    made = shop(service_account_annotations={"worker": role})
    for service, asked in (("shop-gateway", {}), ("shop-worker", role)):
        account = made.one("ServiceAccount", service)
        assert account["automountServiceAccountToken"] is False
        assert account["metadata"].get("annotations", {}) == asked


# -- how many workers ---------------------------------------------------------


def test_workers_follow_the_lag_of_each_stage() -> None:
    scaled = signed_in().one("ScaledObject", "shop-worker")["spec"]
    assert scaled["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop-worker"}
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (1, 5)
    assert "replicas" not in signed_in().one("Deployment", "shop-worker")["spec"], "KEDA says how many there are"
    assert signed_in().one("Deployment", "shop-gateway")["spec"]["replicas"] == 2
    read = [(each["metadata"]["topic"], each["metadata"]["consumerGroup"]) for each in scaled["triggers"]]
    assert read == [
        ("shop.orders", "shop.prepare"),
        ("shop.penstock.system", "shop.evaluate"),
        ("shop.inputs", "shop.score"),
    ]
    for trigger in scaled["triggers"]:
        assert trigger["type"] == "kafka" and trigger["authenticationRef"] == {"name": "shop-scaler"}
        assert trigger["metadata"] == {
            "bootstrapServers": "broker-1:9093", "lagThreshold": "50", "offsetResetPolicy": "earliest",
            "excludePersistentLag": "true", "limitToPartitionsWithLag": "true", "tls": "enable", "sasl": "scram_sha512",
            **{name: trigger["metadata"][name] for name in ("topic", "consumerGroup")},
        }  # fmt: skip
    signing = signed_in().one("TriggerAuthentication", "shop-scaler")["spec"]
    assert signing["secretTargetRef"] == [
        {"parameter": each, "name": "shop-scaler-kafka", "key": each} for each in ("username", "password")
    ]
    assert signing["configMapTargetRef"] == [{"parameter": "ca", "name": "shop-kafka-ca", "key": "ca.pem"}]


@pytest.mark.parametrize("app", APPS)
def test_each_stage_of_an_example_has_its_trigger(app: str) -> None:
    made = app_of(app)
    (scaled,) = made.of("ScaledObject")
    needed = requirements_of(plan_of(app))
    read = {
        (f"{needed.app}.{right.what}", f"{needed.app}.{right.group}")
        for right in needed.rights
        if right.group and right.reason.place
    }
    assert {
        (each["metadata"]["topic"], each["metadata"]["consumerGroup"]) for each in scaled["spec"]["triggers"]
    } == read


def test_workers_follow_the_metric_where_there_is_one() -> None:
    (trigger,) = measured().one("ScaledObject", "shop-worker")["spec"]["triggers"]
    labels = 'app="shop",namespace="ml",stage=~"prepare|evaluate|score"'
    assert trigger == {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": "http://prometheus.monitoring:9090",
            "query": f"max(sum by (stage) (penstock_wanted_workers{{{labels}}}))",
            "threshold": "4",
        },
    }
    assert not measured().of("TriggerAuthentication")
    assert measured().container("shop-worker")["args"][-2:] == ["--workers", "4"]


# -- the courier --------------------------------------------------------------


def test_a_courier_is_there_where_the_app_has_subscriptions() -> None:
    assert plain().outputs["courier"] == "" and len(plain().of("Deployment")) == 2
    assert sending().outputs["courier"] == "shop-courier"
    deployed, container = sending().one("Deployment", "shop-courier"), sending().container("shop-courier")
    assert container["args"] == [
        "run", "/app/app.py", "--only", "courier",
        "--log", "kafka://broker-1:9093/shop?security=sasl_ssl&mechanism=SCRAM-SHA-512&ca=/etc/penstock/kafka/ca.pem",
        "--data", "/data", "--probes", "0.0.0.0:8081",
    ]  # fmt: skip
    assert container["resources"] == {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1024Mi"}}
    assert deployed["spec"]["replicas"] == 1 and "pulumi.com/skipAwait" not in str(deployed)
    assert delivering(courier_replicas=3).one("Deployment", "shop-courier")["spec"]["replicas"] == 3
    assert sending().pod("shop-courier")["terminationGracePeriodSeconds"] == Settings().drain_timeout + 10
    check_confined(sending().pod("shop-courier"))
    assert broken_references(sending().objects) == []


def test_no_lag_of_a_subscription_says_how_many_workers_there_are() -> None:
    check_scaled(sending(), signed_in())
    check_scaled(asked_of_prometheus(SUBSCRIBED), asked_of_prometheus(PLAN))


def check_scaled(made: MadeObjects, before: MadeObjects) -> None:
    (scaled,), (other,) = made.of("ScaledObject"), before.of("ScaledObject")
    assert scaled["spec"] == other["spec"], "what delivers says how many workers there are"


def asked_of_prometheus(plan: Plan) -> MadeObjects:
    from penstock.deploy.kubernetes import Prometheus

    return delivering(plan=plan, prometheus=Prometheus("http://prometheus.monitoring:9090", "monitoring"))


def test_mutant_that_counts_what_delivers_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.kubernetes import scaling

    reads = lambda needed: [r for r in needed.rights if r.verb == "read" and r.group and r.reason.place]  # noqa: E731
    monkeypatch.setattr(scaling, "stage_reads", reads)
    with pytest.raises(AssertionError, match="what delivers says how many workers there are"):
        check_scaled(asked_of_prometheus(SUBSCRIBED), asked_of_prometheus(PLAN))


def test_a_courier_alone_sees_what_requests_are_signed_with() -> None:
    check_seen(sending())


def check_seen(made: MadeObjects) -> None:
    own = ("RISKS_URL", "API_KEY", "TEAM", "HOOK_KEY", "HOOK_URL", "AWS_ACCESS_KEY_ID", "KAFKA_USER")
    seen = {who: {name for name in made.env(f"shop-{who}") if name in own} for who in ("gateway", "worker", "courier")}
    assert seen == {
        "gateway": {"KAFKA_USER"},
        "worker": {"RISKS_URL", "API_KEY", "AWS_ACCESS_KEY_ID", "KAFKA_USER"},
        "courier": {"TEAM", "HOOK_KEY", "HOOK_URL", "KAFKA_USER"},
    }, "somebody sees what is none of theirs"
    assert made.env("shop-courier")["HOOK_KEY"] == "secret shop-hook-key HOOK_KEY"
    assert made.env("shop-courier")["KAFKA_USER"] == "secret shop-courier-kafka KAFKA_USER"
    assert not [name for name in made.env("shop-courier") if name.startswith("PENSTOCK_")], "it has no use for models"


@pytest.mark.parametrize("what", ["secrets_of", "settings_of"])
def test_mutant_that_shows_everybody_a_signing_secret_is_caught(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.requirements import Requirements

    everything = lambda needed, _: [each.name for each in getattr(needed, what.removesuffix("_of"))]  # noqa: E731
    monkeypatch.setattr(Requirements, what, everything)
    with pytest.raises(AssertionError, match="somebody sees what is none of theirs"):
        check_seen(delivering(settings={"RISKS_URL": "u", "TEAM": "t"}))


def test_a_courier_mounts_no_models() -> None:
    made = delivering(artifacts="file:///artifacts/shop", artifacts_claim="models")
    assert not [volume for volume in made.pod("shop-courier")["volumes"] if "persistentVolumeClaim" in volume]
    assert {mount["mountPath"] for mount in made.container("shop-courier")["volumeMounts"]} == {"/data", "/tmp"}


def ways_out(made: MadeObjects, service: str) -> list[tuple[list[int], dict[str, list[str]]]]:
    """Ports, and the blocks that they are reached at with what is taken out of each; none: anywhere."""
    return [
        (
            sorted({port["port"] for port in way["ports"]}),
            {peer["ipBlock"]["cidr"]: peer["ipBlock"].get("except", []) for peer in way.get("to", ())},
        )
        for way in made.one("NetworkPolicy", f"shop-{service}")["spec"]["egress"]
    ]


INSIDE = [
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.192/32", "192.168.0.0/16",
]  # fmt: skip


def check_ways(made: MadeObjects) -> None:
    assert ways_out(made, "courier") == [
        ([53], {}),
        ([9092, 9093], {}),
        ([443, 8443], {"0.0.0.0/0": INSIDE, "2000::/3": []}),
    ], "it comes to where it should not"
    for who in ("gateway", "worker"):
        assert ways_out(made, who) == [([53], {}), ([443, 9092, 9093], {})], "it comes to hosts of the courier"


def test_a_courier_comes_to_its_hosts_ports_and_to_no_private_address() -> None:
    check_ways(delivering())


def test_mutant_that_lets_a_courier_into_the_network_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.kubernetes import services

    monkeypatch.setattr(services, "allowed_blocks", lambda _: {"0.0.0.0/0": (), "2000::/3": ()})
    with pytest.raises(AssertionError, match="it comes to where it should not"):
        check_ways(delivering())


def test_where_a_subscription_may_go_inside_its_ports_lead_there_and_to_no_credentials() -> None:
    inside = replace(HOOK, url="http://10.0.0.9:8080/x", allow_http=True, allow_private=True)
    made = delivering(plan=replace(SUBSCRIBED, subscriptions=(inside, *SUBSCRIBED.subscriptions[1:])))
    ways = ways_out(made, "courier")
    (public,) = (blocks for ports, blocks in ways if ports == [443])
    (private,) = (blocks for ports, blocks in ways if ports == [8080])
    assert public["0.0.0.0/0"] == INSIDE
    assert private["0.0.0.0/0"] == ["100.100.100.200/32", "168.63.129.16/32", "169.254.0.0/16", "192.0.0.192/32"]
    assert private["fc00::/7"] == ["fd00:ec2::/32", "fd20:ce::/32"]


# -- all of it together -------------------------------------------------------


def test_what_is_referred_to_is_there() -> None:
    for made in (plain(), signed_in(), measured(), *map(app_of, APPS)):
        assert broken_references(made.objects) == []


def test_an_object_that_is_missing_is_found() -> None:
    """Whichever it is, but for those that others do not refer to, which have tests of their own above."""
    alone = {"PodDisruptionBudget", "NetworkPolicy", "ScaledObject"}
    for missing in signed_in().objects:
        rest = [one for one in signed_in().objects if one != missing]
        found = broken_references(rest)
        assert found or missing["kind"] in alone, f"{missing['kind']} {missing['metadata']['name']} may be missing"


def broken_references(objects: list[Mapping[str, Any]]) -> list[str]:
    """What an object names and no other is; a schema knows nothing of others."""
    there = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    return [told for one in objects for told in _broken(one, there)]


def _broken(one: Mapping[str, Any], there: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[str]:
    spec, name = one.get("spec", {}), one["metadata"]["name"]

    def lacks(kind: str, other: str, key: str = "") -> Iterator[str]:
        found = there.get((kind, other))
        if found is None or (key and key not in found.get("data", found.get("stringData", {}))):
            yield f"{name} names {kind} {other} {key}"

    if one["kind"] == "Deployment":
        pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
        (container,) = pod["containers"]
        yield from lacks("ServiceAccount", pod["serviceAccountName"])
        for env in container["env"]:
            ((kind, ref),) = env["valueFrom"].items()
            yield from lacks("Secret" if kind == "secretKeyRef" else "ConfigMap", ref["name"], ref["key"])
        for volume in pod["volumes"]:
            if "configMap" in volume:
                yield from lacks("ConfigMap", volume["configMap"]["name"], "ca.pem")
        volumes = {volume["name"] for volume in pod["volumes"]}
        yield from (f"{name} mounts {m['name']}" for m in container["volumeMounts"] if m["name"] not in volumes)
        if not spec["selector"]["matchLabels"].items() <= labels.items():
            yield f"{name} selects other pods"
    if one["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
        selector = spec.get("selector", spec.get("podSelector"))
        of = [o for (kind, _), o in there.items() if kind == "Deployment"]
        if not any(o["spec"]["selector"] == selector for o in of):
            yield f"{name} selects nobody"
    if one["kind"] == "ScaledObject":
        yield from lacks(spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"])
        for trigger in spec["triggers"]:
            if "authenticationRef" in trigger:
                yield from lacks("TriggerAuthentication", trigger["authenticationRef"]["name"])
    if one["kind"] == "TriggerAuthentication":
        for ref in spec.get("secretTargetRef", ()):
            yield from lacks("Secret", ref["name"], ref["key"])
        for ref in spec.get("configMapTargetRef", ()):
            yield from lacks("ConfigMap", ref["name"], ref["key"])


def test_two_apps_share_a_namespace() -> None:
    def both() -> None:
        component()
        component("store", plan=replace(PLAN, app="store"), log="kafka://broker-1:9092")

    made = MadeObjects(capture(both))
    names = [(one["kind"], one["metadata"]["name"]) for one in made.objects]
    assert len(set(names)) == len(names), "two objects are one"
    resources = [(one.type, one.name) for one in made.program.resources]
    assert len(set(resources)) == len(resources), "two resources are one"
    selectors = [tuple(sorted(one["spec"]["selector"]["matchLabels"].items())) for one in made.of("Deployment")]
    assert len(set(selectors)) == 4, "two Deployments take each other's pods"
    groups = [t["metadata"]["consumerGroup"] for one in made.of("ScaledObject") for t in one["spec"]["triggers"]]
    assert len(set(groups)) == len(groups)


def test_labels_are_on_everything_and_pods_are_selected_by_our_own() -> None:
    made = shop(labels={"team": "risk"}, make_namespace=True)
    for one in made.objects:
        labels = one["metadata"]["labels"]
        assert labels["team"] == "risk" and labels["app.kubernetes.io/instance"] == "shop"
        assert one["metadata"].get("namespace", "ml") == "ml"
    for deployed in made.of("Deployment"):
        assert deployed["spec"]["template"]["metadata"]["labels"]["team"] == "risk"
        assert "team" not in deployed["spec"]["selector"]["matchLabels"]


def test_a_namespace_is_made_when_asked_for_and_takes_no_pods_that_may_do_more() -> None:
    assert plain().of("Namespace") == []
    (namespace,) = shop(make_namespace=True).of("Namespace")
    assert namespace["metadata"]["name"] == "ml"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_models_lie_on_a_volume_that_all_pods_mount() -> None:
    made = shop(artifacts="file:///artifacts/shop", artifacts_claim="models")
    for service in SERVICES:
        (volume,) = (each for each in made.pod(service)["volumes"] if "persistentVolumeClaim" in each)
        assert volume["persistentVolumeClaim"] == {"claimName": "models"}
        mounts = {mount["name"]: mount["mountPath"] for mount in made.container(service)["volumeMounts"]}
        assert mounts[volume["name"]] == "/artifacts"
        ports = [each["port"] for each in made.one("NetworkPolicy", service)["spec"]["egress"][1]["ports"]]
        assert 443 not in ports, "no bucket is there"


def test_in_a_program_of_the_users_own() -> None:
    """Its arguments are other resources' outputs, its outputs go into others."""
    from penstock.deploy.kubernetes import PenstockApp

    def program() -> None:
        import pulumi
        from pulumi_kubernetes.core.v1 import ConfigMap

        bucket = pulumi.Output.from_input("models")
        app = component(
            artifacts=pulumi.Output.concat("s3://", bucket, "/shop"),
            image=pulumi.Output.from_input(IMAGE),
            secrets={"API_KEY": pulumi.Output.secret("hush")},
        )
        ConfigMap("doors", data={"command": app.port_forward})

    made = MadeObjects(capture(program))
    assert "s3://models/shop" in made.container("shop-worker")["args"]
    assert made.of("ConfigMap")[-1]["data"]["command"].startswith("kubectl --namespace ml")
    assert (made.outputs["gateway"], made.outputs["worker"]) == SERVICES
    assert made.outputs.keys() == PenstockApp.__annotations__.keys(), "an output is nothing, and registered nowhere"
    assert None not in made.outputs.values()


def test_an_image_that_is_known_late_needs_its_digest_too() -> None:
    import pulumi

    from penstock.errors import DeclarationError

    with pytest.raises(DeclarationError, match="names no digest"):
        capture(lambda: component(image=pulumi.Output.from_input("registry.example/shop:latest")))
