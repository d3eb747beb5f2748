"""The way to the gateway's doors from outside of the cluster: a Service of its pods, and an Ingress over TLS to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...settings import Settings
from ..requirements import GATEWAY
from .names import own_labels
from .services import DOORS

if TYPE_CHECKING:
    import pulumi

    from .args import CheckedArgs, Ingress
    from .names import ObjectNames

SERVICE_PORT = 80  # of the Service; no host listens on it
BODY_LIMIT = "PENSTOCK_BODY_LIMIT"
NGINX = "nginx.ingress.kubernetes.io"


def make_doors(checked: CheckedArgs, names: ObjectNames, ingress: Ingress, opts: Any) -> None:
    """TLS ends at the controller; from there to the pods requests go in plain, keys too."""
    from pulumi_kubernetes.core.v1 import Service, ServicePortArgs, ServiceSpecArgs
    from pulumi_kubernetes.networking.v1 import (
        HTTPIngressPathArgs,
        HTTPIngressRuleValueArgs,
        IngressBackendArgs,
        IngressRuleArgs,
        IngressServiceBackendArgs,
        IngressSpecArgs,
        IngressTLSArgs,
        ServiceBackendPortArgs,
    )
    from pulumi_kubernetes.networking.v1 import Ingress as IngressObject

    service = Service(
        names.logical(GATEWAY),
        metadata=names.metadata(GATEWAY, service=GATEWAY),
        spec=ServiceSpecArgs(
            type="ClusterIP",
            selector=own_labels(names.app, GATEWAY),
            ports=[ServicePortArgs(name=DOORS, port=SERVICE_PORT, target_port=DOORS, protocol="TCP")],
        ),
        opts=opts,
    )
    port = ServiceBackendPortArgs(name=DOORS)
    backend = IngressBackendArgs(service=IngressServiceBackendArgs(name=service.metadata.name, port=port))
    paths = [HTTPIngressPathArgs(path="/", path_type="Prefix", backend=backend)]
    annotations = {**_limits(checked), **ingress.annotations}
    IngressObject(
        names.logical(GATEWAY),
        metadata=names.metadata(GATEWAY, service=GATEWAY, annotations=annotations),
        spec=IngressSpecArgs(
            ingress_class_name=ingress.class_name,
            rules=[IngressRuleArgs(host=ingress.host, http=HTTPIngressRuleValueArgs(paths=paths))],
            tls=[IngressTLSArgs(hosts=[ingress.host], secret_name=ingress.tls_secret)],
        ),
        opts=opts,
    )


def _limits(checked: CheckedArgs) -> Mapping[str, pulumi.Input[str]]:
    """In the words of ingress-nginx, whose own 1 MiB and 60 seconds would refuse what the doors take; to others they
    say nothing. Settings that are known later leave it to the doors, which end each request in time themselves."""
    limit = checked.given.settings.get(BODY_LIMIT, str(Settings().body_limit))
    answer_s = "3600" if checked.opened.answer_s is None else str(checked.opened.answer_s)
    return {
        f"{NGINX}/proxy-body-size": limit,
        f"{NGINX}/proxy-read-timeout": answer_s,
        f"{NGINX}/proxy-send-timeout": answer_s,
        f"{NGINX}/ssl-redirect": "true",
    }
