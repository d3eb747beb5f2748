"""The ways to a service from outside, as each target's resources lay them: with TLS, or they are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.deploy.capture import Captured, plain
from tests.deploy.services.made import at
from tests.deploy.wiring.found import WayIn

if TYPE_CHECKING:
    from tests.deploy.wiring.azure import Azure
    from tests.deploy.wiring.kubernetes import Cluster

CONTROLLER = "ingress-nginx"  # the namespace of the components' tests
OWN = {"app.kubernetes.io/instance", "app.kubernetes.io/component"}  # labels of an app's service alone
LIMITS = {"proxy-body-size": 32 << 20, "proxy-read-timeout": 90, "proxy-send-timeout": 90}
"""What the doors take, in the words of ingress-nginx, whose own are 1 MiB and 60 seconds: bytes, and seconds of a body
and of ``?wait=``."""


def of_container_app(there: Azure, app: Captured) -> WayIn | None:
    ingress = at(app.inputs, "configuration.ingress")
    if ingress is None:
        return None
    environment = next(
        (one for one in there.of("app:ManagedEnvironment") if one.id == at(app.inputs, "environmentId")), None
    )
    domain = environment and at(environment.outputs, "defaultDomain")
    faults = []
    if at(ingress, "external") is not True:
        faults.append("it is reached within its environment alone")
    if at(ingress, "allowInsecure") is not False:
        faults.append("keys may come in the clear")
    if at(ingress, "transport") != "http":
        faults.append("what the doors speak is looked for")
    url = f"https://{at(app.inputs, 'containerAppName')}.{domain}"
    return WayIn(str(at(ingress, "targetPort")), url, tuple(faults))


def of_deployment(there: Cluster, deployment: Captured) -> WayIn | None:
    """By a Service that selects its pods alone, and an Ingress to that."""
    labels = plain(at(deployment.inputs, "spec.template.metadata.labels") or {})
    for service in there.of("core/v1:Service"):
        selected = plain(at(service.inputs, "spec.selector") or {})
        if not selected.items() <= labels.items():
            continue
        others = [one for one in there.deployments if one is not deployment]
        pods = [plain(at(one.inputs, "spec.template.metadata.labels") or {}) for one in others]
        faults = ["its Service leads to others too"] if any(selected.items() <= each.items() for each in pods) else []
        faults += [] if selected.keys() >= OWN else ["its Service selects pods of others too"]
        ports = {at(port, "name"): at(port, "targetPort") for port in at(service.inputs, "spec.ports") or []}
        for ingress in there.of("networking.k8s.io/v1:Ingress"):
            faults += _of_ingress(ingress)
            host = at((at(ingress.inputs, "spec.rules") or [None])[0], "host")
            for backend in _backends(ingress):
                if at(backend, "name") == at(service.outputs, "metadata.name"):
                    container = (at(deployment.inputs, "spec.template.spec.containers") or [{}])[0]
                    known = {at(port, "name"): at(port, "containerPort") for port in at(container, "ports") or []}
                    port = known.get(ports.get(at(backend, "port.name")))
                    return WayIn(str(port), f"https://{host}", (*faults, *_through(there, labels, port)))
    return None


def _backends(ingress: Captured) -> Iterator[Any]:
    for rule in at(ingress.inputs, "spec.rules") or []:
        for path in at(rule, "http.paths") or []:
            if at(path, "path") == "/" and at(path, "pathType") == "Prefix":
                yield at(path, "backend.service")


def _of_ingress(ingress: Captured) -> Iterator[str]:
    hosts = {at(rule, "host") for rule in at(ingress.inputs, "spec.rules") or []}
    kept = {
        host for tls in at(ingress.inputs, "spec.tls") or [] if at(tls, "secretName") for host in at(tls, "hosts") or []
    }
    if not hosts <= kept:
        yield f"no certificate is for {sorted(map(str, hosts - kept))}: keys may come in the clear"
    if not at(ingress.inputs, "spec.ingressClassName"):
        yield "no controller is named for its Ingress"
    annotations = at(ingress.inputs, "metadata.annotations") or {}
    for name, least in LIMITS.items():
        if int(annotations.get(f"nginx.ingress.kubernetes.io/{name}", "0")) < least:
            yield f"its Ingress takes less than the doors do: {name}"


def _through(there: Cluster, labels: dict[str, Any], port: Any) -> Iterator[str]:
    """Whether the network lets the controller to that port, and nobody else."""
    found = []
    for policy in there.of("networking.k8s.io/v1:NetworkPolicy"):
        if plain(at(policy.inputs, "spec.podSelector.matchLabels") or {}).items() <= labels.items():
            found += plain(at(policy.inputs, "spec.ingress") or [])
    home = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": CONTROLLER}}}
    if found != [{"from": [home], "ports": [{"protocol": "TCP", "port": port}]}]:
        yield f"its network lets in {found}, and not the controller alone to port {port}"
