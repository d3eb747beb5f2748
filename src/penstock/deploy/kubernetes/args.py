"""What a ``PenstockApp`` is told, looked at before any resource is made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...declare.planning.findings import FindingCollector
from ...errors import DeclarationError
from ...plan.plan import Plan
from ..arguments import OpenedApp, check_image, check_values, file_in_image, opened, read_plan
from ..requirements import SCALER, Requirements
from .limits import check_limits
from .logs import KafkaCluster, cluster_of
from .names import PART_OF
from .stores import ArtifactStore, store_of

if TYPE_CHECKING:
    import pulumi

LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


@dataclass(frozen=True)
class KafkaCredentials:
    """A user of the brokers, for ``PLAIN`` and ``SCRAM-…``."""

    user: pulumi.Input[str]
    password: pulumi.Input[str]


@dataclass(frozen=True)
class Prometheus:
    """A server that scrapes the pods, so that KEDA can ask it for the metric ``penstock_wanted_workers``.

    Its series need the labels ``app`` (the app's name in small letters and dashes, as the pods'
    ``app.kubernetes.io/instance`` says) and ``namespace``.
    """

    address: pulumi.Input[str]
    """Where KEDA finds it: ``http://prometheus.monitoring:9090``."""
    namespace: pulumi.Input[str]
    """Where it runs: pods there may reach the port of the probes and the metrics, and no others may."""


@dataclass(frozen=True)
class Ingress:
    """The way to the doors from outside of the cluster, over TLS, by a controller that is there."""

    host: str
    """The name by which others reach them, ``events.example.com``."""
    class_name: pulumi.Input[str]
    """The IngressClass of the controller."""
    tls_secret: pulumi.Input[str]
    """A Secret of the namespace with the name's certificate, ``kubernetes.io/tls``: one that is there, or that
    something such as cert-manager makes."""
    namespace: pulumi.Input[str]
    """Where the controller runs: pods there may reach the port of the doors, and no others may."""
    annotations: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """For the controller, beside those that tell ingress-nginx the limits of the doors."""


@dataclass(frozen=True)
class Pods:
    """What a pod of a service is given. CPU is a share and no limit: one that is throttled misses its probes."""

    cpu_milli: int
    """Thousandths of a core that are kept for it."""
    memory_mib: int
    """MiB that are kept for it."""
    memory_limit_mib: int
    """MiB at which it is killed."""


@dataclass(frozen=True)
class PenstockAppArgs:
    """What an app on Kubernetes is made of; what the app itself declares is in ``plan``."""

    plan: str | Path | Plan
    """The app's plan, or the file that ``penstock check APP --plan`` was written to."""
    image: pulumi.Input[str]
    """The container's image by digest, ``NAME@sha256:…``: what a tag names may change under a running app."""
    log: str
    """``kafka://HOST:PORT[,HOST:PORT…][/PREFIX][?security=…&mechanism=…]``, without credentials; the prefix is the
    app's name where there is none."""
    artifacts: pulumi.Input[str]
    """``s3://BUCKET[/FOLDER]``, ``gs://…``, ``az://…``, or ``file:///artifacts/FOLDER`` with ``artifacts_claim``."""
    namespace: pulumi.Input[str]
    """The namespace that all of it lies in."""
    make_namespace: bool = False
    """Whether to make that namespace too, for this app alone."""
    settings: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Values of the variables that the app looks up with ``ps.env``, and of Penstock's own, ``PENSTOCK_…``."""
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Values of those that it looks up with ``ps.secret``; they are secret from here on."""
    access: str = ""
    """How whoever comes shows who he is: ``keys``, and with commas ``oidc`` (tokens of an issuer too) and ``sas``
    (signatures of Azure's clients too), each with its ``secrets``. Empty: nobody is asked."""
    ingress: Ingress | None = None
    """How the doors are reached from outside: with ``access`` alone."""
    kafka_credentials: Mapping[str, KafkaCredentials] = field(default_factory=dict)
    """A user each for ``gateway``, ``worker``, ``courier`` where the app has subscriptions, and without ``prometheus``
    ``scaler``."""
    kafka_ca: pulumi.Input[str] | None = None
    """PEM: the authorities to trust with the brokers' certificates; the system's when absent."""
    artifacts_claim: str = ""
    """A PersistentVolumeClaim, ReadWriteMany, that is there: it is mounted at ``/artifacts``."""
    artifact_credentials: Mapping[str, Mapping[str, pulumi.Input[str]]] = field(default_factory=dict)
    """Environment variables of ``gateway`` and ``worker`` for the bucket, such as ``AWS_ACCESS_KEY_ID``; all are
    kept secret."""
    service_account_annotations: Mapping[str, Mapping[str, pulumi.Input[str]]] = field(default_factory=dict)
    """Of the accounts of ``gateway`` and ``worker``: by these a cloud gives a pod a role, in place of credentials."""
    image_pull_secrets: Sequence[pulumi.Input[str]] = ()
    """Secrets of the namespace with which the image is pulled."""
    gateway_replicas: int = 2
    """Pods of the gateway."""
    min_workers: int = 1
    """Pods of the worker, at least."""
    max_workers: int = 5
    """Pods of the worker, at most."""
    courier_replicas: int = 1
    """Pods of the courier, where the app has subscriptions. Each keeps to a subscription's ``rate`` and ``concurrency``
    by itself, so that two send twice as much."""
    workers_a_pod: int = 1
    """Worker processes of a pod; ``worker_pods`` are to be as large."""
    gateway_pods: Pods = Pods(cpu_milli=250, memory_mib=128, memory_limit_mib=256)
    worker_pods: Pods = Pods(cpu_milli=500, memory_mib=512, memory_limit_mib=2_048)
    courier_pods: Pods = Pods(cpu_milli=250, memory_mib=256, memory_limit_mib=1_024)
    lag_threshold: int = 50
    """Records that a pod may be behind before KEDA adds another, without ``prometheus``."""
    prometheus: Prometheus | None = None
    """Then the number of workers follows from the metric, else from how many records stages are behind."""
    egress_ports: Sequence[int] = ()
    """Further TCP ports that pods may connect to, wherever they are: of what the app's own code calls, of brokers that
    advertise other ports than the URL's, of an object store that does not listen on 443, of a webhook whose URL only
    the environment knows and that listens on none of 443 and, with ``allow_http``, 80, of an issuer of tokens that
    listens on another than 443."""
    labels: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """On every object and pod."""


@dataclass(frozen=True, slots=True)
class CheckedArgs:
    """``given``, and what was read of it."""

    given: PenstockAppArgs
    opened: OpenedApp
    cluster: KafkaCluster
    store: ArtifactStore
    file: str  # of the app, in the image

    @property
    def needed(self) -> Requirements:
        return self.opened.needed


def checked(args: PenstockAppArgs) -> CheckedArgs:
    """Raises ``DeclarationError`` for what is wrong, missing or too much, all of the app at once; ``PlanRefused`` for a
    plan that cannot be read."""
    plan = read_plan(args.plan)
    app = opened(plan, args.access, args.settings, args.secrets, has_ingress=args.ingress is not None)
    needed = app.needed
    report = FindingCollector()
    check_limits(needed, report)
    check_values(needed, args.settings, args.secrets, report)
    report.raise_errors()
    if isinstance(args.image, str):
        check_image(args.image)
    cluster = cluster_of(args.log, plan.app, with_ca=args.kafka_ca is not None)
    store = store_of(args.artifacts, args.artifacts_claim)
    _check_credentials(args, needed, cluster, store)
    _check_numbers(args)
    _check_labels(args.labels)
    if args.ingress is not None and not HOST.fullmatch(args.ingress.host):
        raise DeclarationError(f"ingress: '{args.ingress.host}' is no name of a host, such as events.example.com")
    return CheckedArgs(args, app, cluster, store, file_in_image(plan))


def _check_credentials(
    args: PenstockAppArgs, needed: Requirements, cluster: KafkaCluster, store: ArtifactStore
) -> None:
    services = [service.name for service in needed.services]
    stored = [service for service in services if needed.has_models(service)]
    takes = [] if not cluster.has_credentials else [*services, *(() if args.prometheus else (SCALER,))]
    why = f"with security={cluster.security}" + (" and prometheus" if args.prometheus else "")
    if missing := [service for service in takes if args.kafka_credentials.get(service) is None]:
        raise DeclarationError(f"kafka_credentials: {why} {', '.join(missing)} needs a user and a password too")
    _check_known("kafka_credentials", args.kafka_credentials, takes, why)
    _check_known("artifact_credentials", args.artifact_credentials, () if store.claim else stored, "here")
    _check_known("service_account_annotations", args.service_account_annotations, stored, "here")


def _check_known(title: str, given: Iterable[str], known: Sequence[str], why: str) -> None:
    for name in given:
        if name not in known:
            raise DeclarationError(f"{title}: nobody is '{name}': {why} it is of {', '.join(known) or 'no one'}")


def _check_numbers(args: PenstockAppArgs) -> None:
    for title, number in (
        ("gateway_replicas", args.gateway_replicas),
        ("min_workers", args.min_workers),  # the registry's owner is in a worker
        ("workers_a_pod", args.workers_a_pod),
        ("courier_replicas", args.courier_replicas),
        ("lag_threshold", args.lag_threshold),
    ):
        if number < 1:
            raise DeclarationError(f"{title}: {number} is too few: write 1, or more")
    if args.max_workers < args.min_workers:
        raise DeclarationError(f"max_workers: {args.max_workers} is less than min_workers, {args.min_workers}")
    for title, pods in (
        ("gateway_pods", args.gateway_pods),
        ("worker_pods", args.worker_pods),
        ("courier_pods", args.courier_pods),
    ):
        if pods.cpu_milli < 1 or not 0 < pods.memory_mib <= pods.memory_limit_mib:
            raise DeclarationError(f"{title}: {pods} keeps nothing for a pod, or more memory than its limit")
    for port in args.egress_ports:
        if not 0 < port < 65_536:
            raise DeclarationError(f"egress_ports: {port} is no port")


def _check_labels(labels: Mapping[str, Any]) -> None:
    for key, value in labels.items():
        if key.startswith(f"{PART_OF}/"):
            raise DeclarationError(f"labels: '{key}' is Penstock's own, by which pods are selected: leave it away")
        if not LABEL_KEY.fullmatch(key) or (isinstance(value, str) and not LABEL_VALUE.fullmatch(value)):
            raise DeclarationError(f"labels: '{key}: {value}' is no label: 63 letters, digits, '-', '_' and '.'")
