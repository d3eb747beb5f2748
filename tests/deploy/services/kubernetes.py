"""Kubernetes, with KEDA: what the API server refuses, and what it takes and then never runs.

The server takes a Deployment whose ConfigMap is missing, and its pods wait for ever; a ScaledObject of nothing, and it
scales nothing. ``dangling`` tells such things once all is made.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .made import UNKNOWN, Made, Refusal, There, at, texts
from .values import Secret, Value

PREFIX = "kubernetes:"
KEDA = "keda.sh/v1alpha1"
SCALED, TRIGGER_AUTHENTICATION = f"{PREFIX}{KEDA}:ScaledObject", f"{PREFIX}{KEDA}:TriggerAuthentication"
CONFIG_MAP, SECRET, ACCOUNT = "core/v1:ConfigMap", "core/v1:Secret", "core/v1:ServiceAccount"
DEPLOYMENT = "apps/v1:Deployment"
SERVICE, INGRESS = "core/v1:Service", "networking.k8s.io/v1:Ingress"
LABEL, SUBDOMAIN = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
# of each kind the longest name and its rule: a DNS label where a name of a host is made of it
NAMES: Mapping[str, tuple[int, str]] = {
    "core/v1:Namespace": (63, LABEL),
    SERVICE: (63, LABEL),
    CONFIG_MAP: (253, SUBDOMAIN),
    SECRET: (253, SUBDOMAIN),
    ACCOUNT: (253, SUBDOMAIN),
    DEPLOYMENT: (63, LABEL),
    "policy/v1:PodDisruptionBudget": (253, SUBDOMAIN),
    "networking.k8s.io/v1:NetworkPolicy": (253, SUBDOMAIN),
    INGRESS: (253, SUBDOMAIN),
    f"{KEDA}:ScaledObject": (63, LABEL),
    f"{KEDA}:TriggerAuthentication": (253, SUBDOMAIN),
}
LABEL_KEY = r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
# of each of KEDA's scalers what its documentation says that it needs
TRIGGERS: Mapping[str, tuple[str, ...]] = {
    "kafka": ("bootstrapServers", "consumerGroup", "topic", "lagThreshold"),
    "prometheus": ("serverAddress", "query", "threshold"),
    "cpu": ("value",),
    "metrics-api": ("url", "valueLocation", "targetValue"),
}

# the SDK has no enumerations: where, under which key, the values that there are
CHOICES: Mapping[str, tuple[str, ...]] = {
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "protocol": ("TCP", "UDP", "SCTP"),
    "policyTypes": ("Ingress", "Egress"),
    "pathType": ("Exact", "Prefix", "ImplementationSpecific"),
    "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    "unhealthyPodEvictionPolicy": ("IfHealthyBudget", "AlwaysAllow"),
}


def key_of(type: str) -> str:
    return type.removeprefix(PREFIX)


def own_name(name: str, inputs: Mapping[str, Value]) -> str:
    """The provider makes up a name where the program gives none."""
    return at(inputs, "metadata.name") or f"{name}-1a2b3c4d"


def state_of(type: str, name: str, inputs: Mapping[str, Value]) -> tuple[str, dict[str, Any]]:
    own, metadata = own_name(name, inputs), inputs.get("metadata")
    named: dict[str, Any] = {**(metadata if isinstance(metadata, Mapping) else {}), "name": own}
    # Another one whenever a value is another: what follows from an object begins anew by it.
    named["resourceVersion"] = str(zlib.crc32(repr(sorted(texts(inputs))).encode()))
    if key_of(type) == "core/v1:Namespace":
        return own, {**inputs, "metadata": named}
    namespace = at(inputs, "metadata.namespace") or "default"
    named["namespace"] = namespace
    # As the provider's, with the kind, so that no two of different kinds are one.
    return f"{namespace}/{key_of(type)}/{own}", {**inputs, "metadata": named}


def refusals(type: str, inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    key = key_of(type)
    if key not in NAMES:
        yield Refusal("", f"no judge knows {type}: its rules belong into tests/deploy/services/kubernetes.py")
        return
    version, _, kind = key.partition(":")
    for path, given in (("apiVersion", version.removeprefix("core/")), ("kind", kind)):
        is_custom = key.startswith(KEDA)  # of the others the SDK says both
        if at(inputs, path) != given and (is_custom or at(inputs, path) is not None):
            yield Refusal(path, f"'{at(inputs, path)}' is not {given}")
    name, (most, legal) = at(inputs, "metadata.name"), NAMES[key]
    if isinstance(name, str) and not (re.fullmatch(legal, name) and len(name) <= most):
        yield Refusal("metadata.name", f"'{name}' is no name that {key} may have: up to {most} characters of {legal}")
    yield from _labels("metadata.labels", at(inputs, "metadata.labels"))
    for path, value in texts(inputs):
        known = CHOICES.get(re.sub(r"\[[0-9]+\]$", "", path).rpartition(".")[2], (value,))
        if value not in known:
            yield Refusal(path, f"'{value}' is none of {', '.join(known)}")
    namespace = at(inputs, "metadata.namespace")
    if namespace is not None and key != "core/v1:Namespace" and not (namespace == "default" or made.has(namespace)):
        yield Refusal("metadata.namespace", f"there is no namespace '{namespace}'")
    yield from _rule(key, inputs, Made(is_preview=True))


def dangling(type: str, inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    """What a resource refers to and is not there once all is made: the API server takes them in any order."""
    known = set(_rule(key_of(type), inputs, Made(is_preview=True)))
    yield from (found for found in _rule(key_of(type), inputs, made) if found not in known)


def _rule(key: str, inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    return RULES[key](inputs, made) if key in RULES else iter(())


def _labels(path: str, labels: Any) -> Iterator[Refusal]:
    for label, value in (labels or {}).items():
        value = at(value, "")
        is_legal = isinstance(value, str) and re.fullmatch(LABEL_KEY, label) and re.fullmatch(LABEL_VALUE, value)
        if value is not None and not is_legal:
            yield Refusal(path, f"{label}={value} is no label")


def _same_place(made: Made, type: str, inputs: Mapping[str, Value]) -> Iterator[There]:
    """What is in the same namespace."""
    place = at(inputs, "metadata.namespace") or "default"
    return (there for there in made.of(PREFIX + type) if at(there.outputs, "metadata.namespace") == place)


def _find(made: Made, type: str, name: Any, inputs: Mapping[str, Value]) -> There | None:
    return next((one for one in _same_place(made, type, inputs) if at(one.outputs, "metadata.name") == name), None)


def _config(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    for part in ("data", "stringData", "binaryData"):
        for key, value in (at(inputs, part) or {}).items():
            if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key):
                yield Refusal(part, f"'{key}' is no key: letters, digits, - _ and .")
            if not isinstance(at({"it": value}, "it"), str | None):
                yield Refusal(part, f"'{key}' is no text")
    if not any(at(inputs, part) for part in ("data", "stringData", "binaryData")):
        yield Refusal("data", "there is nothing in it")


def _deployment(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    selector, labels = at(inputs, "spec.selector.matchLabels"), at(inputs, "spec.template.metadata.labels")
    yield from _labels("spec.template.metadata.labels", labels)
    if not selector:
        yield Refusal("spec.selector.matchLabels", "a Deployment selects its pods")
    elif not selector.items() <= (labels or {}).items():
        yield Refusal("spec.template.metadata.labels", "the selector does not match the pods")
    pod = at(inputs, "spec.template.spec")
    containers = at(pod, "containers") or []
    if not containers:
        yield Refusal("spec.template.spec.containers", "a pod has a container")
    account = at(pod, "serviceAccountName")
    if account and not made.is_preview and _find(made, ACCOUNT, account, inputs) is None:
        yield Refusal("spec.template.spec.serviceAccountName", f"there is no ServiceAccount '{account}'")
    volumes = {at(one, "name"): one for one in at(pod, "volumes") or []}
    for name, volume in volumes.items():
        yield from _volume(name, volume, inputs, made)
    for one in [*(at(pod, "initContainers") or []), *containers]:
        yield from _container(one, volumes, inputs, made)


def _volume(name: Any, volume: Any, inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    path = f"spec.template.spec.volumes[{name}]"
    if not name:
        yield Refusal(path, "a volume needs a name")
    sources = [key for key in volume if key != "name"]
    if len(sources) != 1:
        yield Refusal(path, "a volume is of one kind")
    for source, type, key in (("configMap", CONFIG_MAP, "name"), ("secret", SECRET, "secretName")):
        if source in sources:
            yield from _referred(path, type, at(volume, f"{source}.{key}"), None, inputs, made)
            for item in at(volume, f"{source}.items") or []:
                yield from _referred(path, type, at(volume, f"{source}.{key}"), at(item, "key"), inputs, made)


def _referred(
    path: str, type: str, name: Any, key: str | None, inputs: Mapping[str, Value], made: Made
) -> Iterator[Refusal]:
    """Whether it is there, and the key in it."""
    if made.is_preview:
        return
    found, kind = _find(made, type, name, inputs), type.rpartition(":")[2]
    if found is None:
        yield Refusal(path, f"there is no {kind} '{name}'")
    elif key is not None and not any(key in (at(found.inputs, part) or {}) for part in ("data", "stringData")):
        yield Refusal(path, f"{kind} '{name}' has no key '{key}'")


def _container(one: Any, volumes: Mapping[Any, Any], inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    path = f"spec.template.spec.containers[{at(one, 'name')}]"
    for needed in ("name", "image"):
        if needed not in one:
            yield Refusal(path, f"a container needs {needed}")
    for mount in at(one, "volumeMounts") or []:
        if at(mount, "name") not in volumes:
            yield Refusal(f"{path}.volumeMounts", f"there is no volume '{at(mount, 'name')}'")
        if not str(at(mount, "mountPath") or "").startswith("/"):
            yield Refusal(f"{path}.volumeMounts", "a mount needs a path")
    unmounted = set(volumes) - {at(mount, "name") for mount in at(one, "volumeMounts") or []}
    if unmounted:
        yield Refusal(f"{path}.volumeMounts", f"nobody mounts volume {sorted(map(str, unmounted))}")
    for variable in at(one, "env") or []:
        yield from _variable(path, variable, inputs, made)
    for source in at(one, "envFrom") or []:
        for kind, type in (("configMapRef", CONFIG_MAP), ("secretRef", SECRET)):
            if at(source, kind) is not None:
                yield from _referred(f"{path}.envFrom", type, at(source, f"{kind}.name"), None, inputs, made)
        if not any(at(source, kind) for kind in ("configMapRef", "secretRef")):
            yield Refusal(f"{path}.envFrom", "from where is not said")
    ports = {at(port, "name") for port in at(one, "ports") or []} | {
        at(port, "containerPort") for port in at(one, "ports") or []
    }
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe not in one:
            continue
        ways = [way for way in ("httpGet", "tcpSocket", "exec", "grpc") if at(one, f"{probe}.{way}") is not None]
        if len(ways) != 1:
            yield Refusal(f"{path}.{probe}", "it asks in one way")
        port = at(one, f"{probe}.httpGet.port")
        if ways == ["httpGet"] and port not in ports:
            yield Refusal(f"{path}.{probe}", f"there is no port {port!r}")
    for amounts in ("requests", "limits"):
        for what, amount in (at(one, f"resources.{amounts}") or {}).items():
            if not re.fullmatch(r"[0-9.]+(m|[KMGT]i?)?", str(at({"it": amount}, "it"))):
                yield Refusal(f"{path}.resources.{amounts}.{what}", f"'{amount}' is no amount")


def _variable(path: str, variable: Any, inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    name = at(variable, "name")
    if not name:
        yield Refusal(f"{path}.env", "a variable needs a name")
    given = [key for key in ("value", "valueFrom") if key in variable]
    if len(given) != 1:
        yield Refusal(f"{path}.env", f"variable '{name}' has neither a value nor a place where it is")
    for kind, type in (("configMapKeyRef", CONFIG_MAP), ("secretKeyRef", SECRET)):
        ref = at(variable, f"valueFrom.{kind}")
        if ref is not None:
            yield from _referred(f"{path}.env[{name}]", type, at(ref, "name"), at(ref, "key") or "", inputs, made)
    if "valueFrom" in variable and not at(variable, "valueFrom"):
        yield Refusal(f"{path}.env", f"variable '{name}' has neither a value nor a place where it is")


def _selects(path: str) -> Callable[[Mapping[str, Value], Made], Iterator[Refusal]]:
    """A rule: what lies at ``path`` selects the pods of a Deployment."""

    def rule(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
        wanted = at(inputs, path)
        if not wanted:
            yield Refusal(path, "it selects nothing, or everything")
            return
        pods = [at(one.inputs, "spec.template.metadata.labels") or {} for one in _same_place(made, DEPLOYMENT, inputs)]
        if not made.is_preview and not any(wanted.items() <= labels.items() for labels in pods):
            yield Refusal(path, "no Deployment has such pods")

    return rule


def _budget(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    yield from _selects("spec.selector.matchLabels")(inputs, made)
    given = [key for key in ("minAvailable", "maxUnavailable") if at(inputs, f"spec.{key}") is not None]
    if len(given) != 1:
        yield Refusal("spec", "one of minAvailable and maxUnavailable says what may go")


def _policy(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    yield from _selects("spec.podSelector.matchLabels")(inputs, made)
    types = at(inputs, "spec.policyTypes") or []
    if not types:
        yield Refusal("spec.policyTypes", "which ways it closes")


def _service(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    yield from _selects("spec.selector")(inputs, made)
    wanted = at(inputs, "spec.selector") or {}
    ports = set[Any]()
    for one in _same_place(made, DEPLOYMENT, inputs):
        if wanted.items() <= (at(one.inputs, "spec.template.metadata.labels") or {}).items():
            for container in at(one.inputs, "spec.template.spec.containers") or []:
                ports |= {at(port, "name") for port in at(container, "ports") or []}
    if not at(inputs, "spec.ports"):
        yield Refusal("spec.ports", "a Service has a port")
    for index, port in enumerate(at(inputs, "spec.ports") or []):
        if not isinstance(at(port, "port"), int):
            yield Refusal(f"spec.ports[{index}].port", "which port it is")
        target = at(port, "targetPort")
        if isinstance(target, str) and not made.is_preview and target not in ports:
            yield Refusal(f"spec.ports[{index}].targetPort", f"no pod that it selects has a port '{target}'")


def _ingress(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    if not at(inputs, "spec.rules"):
        yield Refusal("spec.rules", "it leads nowhere")
    for index, rule in enumerate(at(inputs, "spec.rules") or []):
        for path in at(rule, "http.paths") or [None]:
            where = f"spec.rules[{index}].http.paths"
            if not at(path, "pathType"):
                yield Refusal(where, "a path says of which type it is")
            name, port = at(path, "backend.service.name"), at(path, "backend.service.port.name")
            if made.is_preview:
                continue
            service = _find(made, SERVICE, name, inputs)
            if service is None:
                yield Refusal(where, f"there is no Service '{name}'")
            elif port not in {at(one, "name") for one in at(service.inputs, "spec.ports") or []}:
                yield Refusal(where, f"Service '{name}' has no port '{port}'")


def _scaled(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    spec = at(inputs, "spec") or {}
    kind, target = at(spec, "scaleTargetRef.kind"), at(spec, "scaleTargetRef.name")
    if kind not in (None, "Deployment"):
        yield Refusal("spec.scaleTargetRef.kind", f"{kind} is none of ours")
    if not made.is_preview and _find(made, DEPLOYMENT, target, inputs) is None:
        yield Refusal("spec.scaleTargetRef.name", f"there is no Deployment '{target}'")
    least, most = at(spec, "minReplicaCount") or 0, at(spec, "maxReplicaCount") or 100
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield Refusal("spec.minReplicaCount", "more than the most")
    if not at(spec, "triggers"):
        yield Refusal("spec.triggers", "nothing says when there are more")
    for index, trigger in enumerate(at(spec, "triggers") or []):
        path, kind, metadata = f"spec.triggers[{index}]", at(trigger, "type"), at(trigger, "metadata") or {}
        if kind not in TRIGGERS:
            yield Refusal(f"{path}.type", f"'{kind}' is no scaler that is known here")
        for needed in TRIGGERS.get(kind, ()):
            if needed not in metadata:
                yield Refusal(f"{path}.metadata", f"scaler {kind} needs {needed}")
        wrong = [key for key, value in metadata.items() if not isinstance(value, str | Secret) and value != UNKNOWN]
        if wrong:
            yield Refusal(f"{path}.metadata", f"{wrong} are no texts")
        auth = at(trigger, "authenticationRef.name")
        known = made.is_preview or _find(made, f"{KEDA}:TriggerAuthentication", auth, inputs) is not None
        if "authenticationRef" in trigger and not known:
            yield Refusal(f"{path}.authenticationRef", f"there is no TriggerAuthentication '{auth}'")


def _authentication(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    sources = {"secretTargetRef": SECRET, "configMapTargetRef": CONFIG_MAP}
    if not any(at(inputs, f"spec.{source}") for source in sources):
        yield Refusal("spec", "it knows nothing")
    for source, type in sources.items():
        for ref in at(inputs, f"spec.{source}") or []:
            if not at(ref, "parameter"):
                yield Refusal(f"spec.{source}", "what it is for is not said")
            yield from _referred(f"spec.{source}", type, at(ref, "name"), at(ref, "key") or "", inputs, made)


RULES: Mapping[str, Callable[[Mapping[str, Value], Made], Iterator[Refusal]]] = {
    CONFIG_MAP: _config,
    SECRET: _config,
    DEPLOYMENT: _deployment,
    "policy/v1:PodDisruptionBudget": _budget,
    "networking.k8s.io/v1:NetworkPolicy": _policy,
    SERVICE: _service,
    INGRESS: _ingress,
    f"{KEDA}:ScaledObject": _scaled,
    f"{KEDA}:TriggerAuthentication": _authentication,
}
