"""Reads what a program on Kubernetes asked for: who signs in to the brokers and the store as whom, what the commands of
its outputs let these do, which secrets a pod sees, and what runs."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.deploy.capture import Captured, Program, plain
from tests.deploy.services.kubernetes import KEDA
from tests.deploy.services.made import at
from tests.deploy.wiring.found import Access, Found, FoundLog, Running, only
from tests.deploy.wiring.ways_in import of_deployment

from penstock.deploy.requirements import Requirements

PREFIX = "kubernetes:"
MS_US = 1_000
OWN = {"app.kubernetes.io/instance", "app.kubernetes.io/component"}  # labels without which others are selected too
ENFORCED = "pod-security.kubernetes.io/enforce"
OPERATIONS = {"Read": "read", "Write": "append"}
CREDENTIALS = ("KAFKA_USER", "KAFKA_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")  # no edge of the app


class Cluster:
    """A program's objects, by kind and name."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.deployments = self.of("apps/v1:Deployment")

    def of(self, kind: str) -> list[Captured]:
        return self._program.of(PREFIX + kind)

    def named(self, kind: str, name: Any) -> Captured | None:
        return next((one for one in self.of(kind) if at(one.inputs, "metadata.name") == name), None)

    def value(self, kind: str, name: Any, key: Any) -> Any:
        """Of a key of a ConfigMap or a Secret."""
        found = self.named(kind, name)
        data = {} if found is None else {**(at(found.inputs, "data") or {}), **(at(found.inputs, "stringData") or {})}
        return plain(data.get(key))

    def output(self, name: str) -> Any:
        """Of the component."""
        found = [one.outputs[name] for one in self._program.resources if name in one.outputs]
        return plain(found[0]) if found else []


def read(program: Program, needed: Requirements) -> Found:
    there, found = Cluster(program), Found()
    services: dict[str, Captured] = {}
    for deployment in there.deployments:
        service = only(_words(deployment))
        if not service or service in services:
            found.findings.append(f"{deployment.name}: which service it is is not said, or it is there twice")
            continue
        services[service] = deployment
        found.running[service] = _running(there, service, deployment, found.findings)
        if (way := of_deployment(there, deployment)) is not None:
            found.ways_in[service] = way
        around = (*_around(there, deployment), *_network(there, deployment, needed))
        found.findings += [f"{service}: {why}" for why in around]
        found.accesses |= set(_of_pod(there, service, deployment, needed, found.findings))
    prefix = _prefix(services, found.findings)
    found.logs = dict(_logs(there, prefix))
    stores = {_options(one).get("--artifacts") for name, one in services.items() if name != "courier"}
    found.stores = {"artifacts"} if len(stores) == 1 else set()
    known = [*(service.name for service in needed.services), "scaler"]
    users = {_user(there, service, services) or f"no {service}": service for service in known}
    acls = list(_acls(there, users, prefix, found.findings))
    found.accesses |= set(_by_acls(acls, there, prefix))
    found.findings += _house_acls(acls, needed)
    return found


def groups(needed: Requirements) -> set[Access]:
    """A rule lets join a group, whatever is read in it."""
    return {
        Access(identity.service, "join", "group", right.group)
        for identity in needed.identities
        for right in identity.rights
        if right.group and identity.service in ("gateway", "worker", "courier")
    }


# -- the brokers' rules -------------------------------------------------------

Acl = tuple[str, str, str, str]  # service, operation, kind, name without the prefix


def _prefix(services: Mapping[str, Captured], findings: list[str]) -> str:
    logs = {_options(one).get("--log", "") for one in services.values()}
    if len(logs) != 1:
        findings.append(f"services are on several logs: {sorted(logs)}")
    url = urlsplit(min(logs, default=""))
    if url.scheme != "kafka" or not url.path.strip("/"):
        findings.append(f"{url.geturl()!r} is no log on Kafka with the app's name")
    return f"{url.path.strip('/')}."


def _user(there: Cluster, service: str, services: Mapping[str, Captured]) -> str:
    """As whom it signs in to the brokers: with a user and a password of one Secret."""
    if service == "scaler":
        refs = [
            {
                at(ref, "parameter"): (at(ref, "name"), at(ref, "key"))
                for ref in at(one.inputs, "spec.secretTargetRef") or []
            }
            for one in there.of(f"{KEDA}:TriggerAuthentication")
        ]
        pairs = [(ref.get("username"), ref.get("password")) for ref in refs]
    else:
        env = _env(services[service]) if service in services else {}
        pairs = [(_secret_ref(env.get("KAFKA_USER")), _secret_ref(env.get("KAFKA_PASSWORD")))]
    for user, password in pairs:
        if user and password and there.value("core/v1:Secret", *password):
            return str(there.value("core/v1:Secret", *user) or "")
    return ""


def _secret_ref(variable: Any) -> tuple[Any, Any] | None:
    ref = at(variable, "valueFrom.secretKeyRef")
    return None if ref is None else (at(ref, "name"), at(ref, "key"))


def _acls(there: Cluster, users: Mapping[str, str], prefix: str, findings: list[str]) -> Iterator[Acl]:
    for row in there.output("kafka_acls"):
        words = _words_of(str(row.get("command")))
        options = dict(itertools.pairwise(words))
        user = options.get("--allow-principal", "").removeprefix("User:")
        kinds = [kind for kind in ("topic", "group", "transactional-id") if f"--{kind}" in options]
        name = options.get(f"--{kinds[0]}", "") if len(kinds) == 1 else ""
        is_prefixed = options.get("--resource-pattern-type") == "prefixed"
        right = words[:2] == ("kafka-acls.sh", "--add") and name.startswith(prefix) and user in users
        if not right or is_prefixed != (kinds == ["transactional-id"]) or row.get("service") != users.get(user):
            findings.append(f"a rule of the brokers is for nobody, or for more than the app: {row}")
            continue
        yield users[user], options.get("--operation", ""), kinds[0], name.removeprefix(prefix)


def _by_acls(acls: list[Acl], there: Cluster, prefix: str) -> Iterator[Access]:
    may = set(acls)
    for service, operation, kind, name in acls:
        if kind == "topic" and operation in OPERATIONS:
            yield Access(service, OPERATIONS[operation], "log", name)
        elif (kind, operation) == ("group", "Read"):
            yield Access(service, "join", "group", name)
        elif operation not in ("Describe", "DescribeConfigs", "Read", "Write"):
            yield Access(service, operation.lower(), kind, name)
    for topic, group in _scaled(there, prefix):
        if {("scaler", "Describe", "topic", topic), ("scaler", "Describe", "group", group)} <= may:
            yield Access("scaler", "read", "log", topic, group)


def _house_acls(acls: list[Acl], needed: Requirements) -> Iterator[str]:
    """What the brokers ask for besides, as ``docs/kafka.md`` says."""
    wanted: set[Acl] = set()
    for identity in needed.identities:
        for right in identity.rights:
            if identity.service == "scaler":
                wanted |= {("scaler", "Describe", "topic", right.what), ("scaler", "Describe", "group", right.group)}
            elif right.group and identity.service in ("worker", "courier"):
                wanted.add((identity.service, "Write", "transactional-id", f"{right.group}/"))
    services = [service.name for service in needed.services]
    for log in needed.logs:
        looking = ["gateway"] if log.name == "penstock.audit" else services
        for operation in ("Describe", "DescribeConfigs"):
            wanted |= {(service, operation, "topic", log.name) for service in looking}
        seeing = [service for service in services if service != "worker"]
        wanted |= {(service, "Describe", "group", right.group) for service in seeing for right in log.readers}
    wanted |= {(service, "Write", "transactional-id", "append/") for service in services}
    wanted |= {(service, "Describe", "group", "penstock.groupless") for service in services}
    edges = {("Read", "topic"), ("Write", "topic"), ("Read", "group")}
    there = {acl for acl in acls if acl[1:3] not in edges}
    yield from (f"the brokers do not let it: {acl}" for acl in sorted(wanted - there))
    yield from (f"nobody needs of the brokers: {acl}" for acl in sorted(there - wanted))
    if len(acls) != len(set(acls)):
        yield "a rule of the brokers is there twice"


@cache
def _words_of(command: str) -> tuple[str, ...]:
    """Once each: of a program most are the same, whatever is taken away from it."""
    return tuple(shlex.split(command))


def _logs(there: Cluster, prefix: str) -> Iterator[tuple[str, FoundLog]]:
    for command in there.output("kafka_topics"):
        words = _words_of(command)
        options = dict(itertools.pairwise(words))
        configs = dict(word.split("=", 1) for at_, word in itertools.pairwise(words) if at_ == "--config")
        kept = int(configs.get("retention.ms", "0"))
        name = options.get("--topic", "")
        right = words[:2] == ("kafka-topics.sh", "--create") and name.startswith(prefix)
        right = right and configs.get("cleanup.policy") == "delete"
        right = right and configs.get("message.timestamp.type") == "LogAppendTime"
        right = right and int(configs.get("max.message.bytes", "0")) > 1 << 20
        if right and "retention.bytes" in configs:
            log = FoundLog(int(options.get("--partitions", "0")), None if kept < 0 else kept * MS_US)
            yield name.removeprefix(prefix), log


# -- pods ---------------------------------------------------------------------


def _pod(deployment: Captured) -> Any:
    return at(deployment.inputs, "spec.template.spec")


def _container(deployment: Captured) -> Any:
    return (at(_pod(deployment), "containers") or [{}])[0]


def _words(deployment: Captured) -> tuple[str, ...]:
    return tuple(map(str, plain(at(_container(deployment), "args") or [])))


def _options(deployment: Captured) -> Mapping[str, str]:
    words = _words(deployment)
    return dict(itertools.pairwise(words))


def _env(deployment: Captured) -> Mapping[str, Any]:
    return {at(one, "name"): one for one in at(_container(deployment), "env") or []}


def _of_pod(
    there: Cluster, service: str, deployment: Captured, needed: Requirements, findings: list[str]
) -> Iterator[Access]:
    """The store knows nothing of who may put and who may only get: whoever signs in may both."""
    env = _env(deployment)
    for variable, one in env.items():
        if _secret_ref(one) is not None and variable not in CREDENTIALS:
            yield Access(service, "secret", "secret", variable)
    signed = [_secret_ref(env.get(name)) for name in CREDENTIALS[2:]]
    if service == "courier":
        if any(signed) or "--artifacts" in _words(deployment):
            findings.append(f"{service}: it is told of the store, and has no use for models")
    elif all(ref and there.value("core/v1:Secret", *ref) for ref in signed):
        rights = next(identity.rights for identity in needed.identities if identity.service == service)
        yield from (Access(service, right.verb, "store", right.what) for right in rights if right.kind == "store")
    else:
        findings.append(f"{service}: it does not sign in to the store")


def _running(there: Cluster, service: str, deployment: Captured, findings: list[str]) -> Running:
    pod, one = _pod(deployment), _container(deployment)
    volumes = {at(volume, "name"): volume for volume in at(pod, "volumes") or []}
    mounts = {at(mount, "mountPath"): at(mount, "name") for mount in at(one, "volumeMounts") or []}
    ports = {at(port, "name"): str(at(port, "containerPort")) for port in at(one, "ports") or []}
    scaled = [
        scale
        for scale in there.of(f"{KEDA}:ScaledObject")
        if at(scale.inputs, "spec.scaleTargetRef.name") == at(deployment.inputs, "metadata.name")
    ]
    replicas = at(deployment.inputs, "spec.replicas") or 0  # the cluster's own would be 1
    least, most = replicas, replicas
    if scaled:
        least = at(scaled[0].inputs, "spec.minReplicaCount") or 0
        most = at(scaled[0].inputs, "spec.maxReplicaCount") or 0  # KEDA's own would be 100
        if at(deployment.inputs, "spec.replicas") is not None:
            findings.append(f"{service}: each deployment sets back how many there are")
    probes = {}
    for probe in ("startup", "liveness", "readiness"):
        port = at(one, f"{probe}Probe.httpGet.port")
        if all(at(one, f"{probe}Probe.{given}") for given in ("periodSeconds", "failureThreshold", "timeoutSeconds")):
            probes[probe] = (at(one, f"{probe}Probe.httpGet.path"), ports.get(port, str(port)))
    return Running(
        _words(deployment),
        at(one, "image") or "",
        frozenset(
            name
            for name, variable in _env(deployment).items()
            if at(variable, "valueFrom.configMapKeyRef") is not None or "value" in variable
        ),
        frozenset(name for name, variable in _env(deployment).items() if _secret_ref(variable)),
        frozenset(path for path, name in mounts.items() if at(volumes.get(name), "emptyDir.sizeLimit")),
        probes,
        str(at(one, "resources.requests.cpu") or ""),
        str(at(one, "resources.limits.memory") or "") if at(one, "resources.requests.memory") else "",
        at(pod, "terminationGracePeriodSeconds"),
        least,
        most,
        _told(there, deployment, "PENSTOCK_PUBLIC_URL"),
    )


def _told(there: Cluster, deployment: Captured, variable: str) -> str:
    ref = at(_env(deployment).get(variable), "valueFrom.configMapKeyRef")
    return str(there.value("core/v1:ConfigMap", at(ref, "name"), at(ref, "key")) or "")


def _around(there: Cluster, deployment: Captured) -> Iterator[str]:
    """How a pod is kept in, and what keeps it."""
    pod, one = _pod(deployment), _container(deployment)
    labels = plain(at(deployment.inputs, "spec.template.metadata.labels") or {})
    for what, wanted in (
        ("securityContext.runAsNonRoot", True),
        ("securityContext.runAsUser", 10001),
        ("securityContext.runAsGroup", 10001),
        ("securityContext.fsGroup", 10001),
        ("securityContext.seccompProfile.type", "RuntimeDefault"),
        ("automountServiceAccountToken", False),
        ("enableServiceLinks", False),
    ):
        if at(pod, what) != wanted:
            yield f"its pod's {what} is {at(pod, what)}"
    for what, kept in (
        ("readOnlyRootFilesystem", True),
        ("allowPrivilegeEscalation", False),
        ("runAsNonRoot", True),
        ("capabilities.drop", ["ALL"]),
    ):
        if at(one, f"securityContext.{what}") != kept:
            yield f"its container's {what} is {at(one, f'securityContext.{what}')}"
    account = there.named("core/v1:ServiceAccount", at(pod, "serviceAccountName"))
    if account is None or at(account.inputs, "automountServiceAccountToken") is not False:
        yield "it has no account of its own, or one with a token"
    strategy = at(deployment.inputs, "spec.strategy")
    rolling = at(strategy, "rollingUpdate.maxUnavailable"), at(strategy, "rollingUpdate.maxSurge")
    if at(strategy, "type") != "RollingUpdate" or rolling != (0, 1):
        yield "a new version is not started before the old one ends"
    for kind, path in (
        ("policy/v1:PodDisruptionBudget", "spec.selector.matchLabels"),
        ("networking.k8s.io/v1:NetworkPolicy", "spec.podSelector.matchLabels"),
    ):
        chosen = [plain(at(each.inputs, path) or {}) for each in there.of(kind)]
        others = [
            plain(at(other.inputs, "spec.template.metadata.labels") or {})
            for other in there.deployments
            if other is not deployment
        ]
        own = [pick for pick in chosen if pick.items() <= labels.items() and pick.keys() >= OWN]
        if len(own) != 1 or any(pick.items() <= other.items() for pick in own for other in others):
            yield f"there is no {kind.partition(':')[2]} of its own"
    if not plain(at(deployment.inputs, "spec.selector.matchLabels") or {}).keys() >= OWN:
        yield "it selects pods of others too"
    if "penstock/configuration" not in (at(deployment.inputs, "spec.template.metadata.annotations") or {}):
        yield "a changed setting starts no pod anew"
    if only(_words(deployment)) != "courier" and "PENSTOCK_ARTIFACT_CACHE" not in _env(deployment):
        yield "models may fill its volume"
    annotations = plain(at(deployment.inputs, "metadata.annotations") or {})
    if only(_words(deployment)) == "worker" and annotations.get("pulumi.com/skipAwait") != "true":
        yield "a deployment waits for models that nobody has registered yet"
    namespace = there.named("core/v1:Namespace", at(deployment.inputs, "metadata.namespace"))
    if namespace and (plain(at(namespace.inputs, "metadata.labels") or {})).get(ENFORCED) != "restricted":
        yield "its namespace takes pods that may do anything"
    authorities = parse_qs(urlsplit(_options(deployment).get("--log", "")).query).get("ca")
    if authorities and not any(
        authorities[0].rpartition("/")[0] == at(mount, "mountPath") and at(mount, "readOnly")
        for mount in at(one, "volumeMounts") or []
    ):
        yield f"it does not see the authorities {authorities[0]}"


def _network(there: Cluster, deployment: Captured, needed: Requirements) -> Iterator[str]:
    """Nobody comes in; out to names, to the brokers and to the store, wherever these are. The courier comes to its
    hosts' ports, and not to the store: inside of the network where a subscription says so alone."""
    url = urlsplit(_options(deployment).get("--log", ""))
    labels = plain(at(deployment.inputs, "spec.template.metadata.labels") or {})
    wanted = {("TCP", int(broker.rpartition(":")[2])) for broker in url.netloc.split(",") if ":" in broker}
    wanted |= {("TCP", 53), ("UDP", 53)}
    is_courier = only(_words(deployment)) == "courier"
    wanted |= set() if is_courier else {("TCP", 443)}
    for policy in there.of("networking.k8s.io/v1:NetworkPolicy"):
        if not plain(at(policy.inputs, "spec.podSelector.matchLabels") or {}).items() <= labels.items():
            continue
        if at(policy.inputs, "spec.policyTypes") != ["Ingress", "Egress"]:
            yield "its network does not say whom it lets in, or whom out"
        if at(policy.inputs, "spec.ingress") and of_deployment(there, deployment) is None:
            yield "its network lets somebody in"
        ways = plain(at(policy.inputs, "spec.egress") or [])
        if any(not at(way, "ports") for way in ways):
            yield "its network lets it out to every port"
        out = _ports(way for way in ways if not at(way, "to"))
        if out != wanted:
            yield f"its network lets it out to {sorted(map(str, out))}, and not to {sorted(map(str, wanted))}"
        outside = [way for way in ways if at(way, "to")]
        for is_inside, addresses in ((False, PUBLIC), (True, PRIVATE), (None, CREDENTIALS_AT)):
            hosts = [host for host in needed.hosts if is_courier and (host.is_private or not is_inside)]
            asked = {("TCP", port) for host in hosts for port in host.ports} if is_inside is not None else set()
            for address in addresses:
                found = _ports(way for way in outside if _comes_to(way, ip_address(address)))
                if found != asked:
                    yield f"its network lets it to {address} at {sorted(map(str, found))}, and not {sorted(asked)}"


PUBLIC = ("8.8.8.8", "2606:4700::1111")
PRIVATE = ("10.0.0.1", "172.31.255.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "fd12::1")
CREDENTIALS_AT = ("169.254.169.254", "168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254", "fe80::1")


def _ports(ways: Iterable[Any]) -> set[tuple[str, int]]:
    return {(at(port, "protocol"), at(port, "port")) for way in ways for port in at(way, "ports") or []}


def _comes_to(way: Any, address: IPv4Address | IPv6Address) -> bool:
    """As the API has it: any of its blocks, and none of what is taken out of that."""
    blocks = [at(peer, "ipBlock") for peer in at(way, "to")]
    return any(
        at(block, "cidr")
        and address in ip_network(at(block, "cidr"))
        and not any(address in ip_network(each) for each in at(block, "except") or [])
        for block in blocks
    )


def _scaled(there: Cluster, prefix: str) -> Iterator[tuple[str, str]]:
    """Topic and group of each trigger that signs in, as the pods do."""
    logs = [urlsplit(_options(one).get("--log", "")) for one in there.deployments]
    for scale in there.of(f"{KEDA}:ScaledObject"):
        for trigger in at(scale.inputs, "spec.triggers") or []:
            metadata = plain(at(trigger, "metadata") or {})
            asked = parse_qs(logs[0].query) if logs else {}
            fits = bool(logs) and metadata.get("bootstrapServers") == logs[0].netloc
            fits = fits and metadata.get("sasl") == "scram_sha512" and asked.get("mechanism") == ["SCRAM-SHA-512"]
            fits = fits and metadata.get("tls") == "enable"
            fits = fits and metadata.get("offsetResetPolicy") in ("earliest", "latest")
            known = there.named(f"{KEDA}:TriggerAuthentication", at(trigger, "authenticationRef.name"))
            given = [] if known is None else at(known.inputs, "spec.configMapTargetRef") or []
            authorities = [at(ref, "parameter") for ref in given]
            if fits and authorities == ["ca"] and metadata.get("topic", "").startswith(prefix):
                yield metadata["topic"].removeprefix(prefix), metadata.get("consumerGroup", "").removeprefix(prefix)
