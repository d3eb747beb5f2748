"""What a ``PenstockApp`` is told, looked at before any resource is made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...declare.planning.findings import FindingCollector
from ...errors import DeclarationError
from ...plan.plan import Plan
from ..arguments import OpenedApp, check_image, check_values, file_in_image, opened, read_plan
from ..requirements import Requirements
from .limits import check_limits

if TYPE_CHECKING:
    import pulumi

GROUP_ID = r"/subscriptions/[^/]+/resourceGroups/[^/]+"
NAMES: Mapping[str, tuple[str, str]] = {
    "event_hubs_namespace": (r"[A-Za-z][A-Za-z0-9-]{4,48}[A-Za-z0-9]", "6 to 50 letters, digits and dashes"),
    "storage_account": (r"[a-z0-9]{3,24}", "3 to 24 small letters and digits"),
    "key_vault": (r"(?=.{3,24}$)[A-Za-z](-?[A-Za-z0-9])*", "3 to 24 letters, digits and single dashes"),
    "resource_group": (r"[\w.()-]{0,89}[\w()-]", "up to 90 letters, digits, '-', '_', '.' and brackets"),
    "registry": (
        rf"{GROUP_ID}/providers/Microsoft\.ContainerRegistry/registries/\w+",
        "the resource id of an Azure Container Registry, /subscriptions/…",
    ),
}
"""What each may be, as a pattern and in words."""
CPU_STEP, CPU_LIMIT = 0.25, 2.0  # vCPU of a container on Consumption
REPLICAS_LIMIT = 1_000
UNITS_LIMIT = 40  # throughput units of a namespace of the Standard tier
TAGS_LIMIT = 15  # of a storage account, which has room for the fewest
INGRESS_LIMIT_S = 240  # seconds after which the platform's ingress ends a request
RESERVED = ("AZURE_CLIENT_ID", "AZURE_STORAGE_ACCOUNT_NAME")
"""Variables by which the processes themselves sign in."""


@dataclass(frozen=True)
class PenstockAppArgs:
    """What an app on Azure is made of; what the app itself declares is in ``plan``."""

    plan: str | Path | Plan
    """The app's plan, or the file that ``penstock check APP --plan`` was written to."""
    image: pulumi.Input[str]
    """The container's image by digest, ``NAME@sha256:…``: what a tag names may change under a running app."""
    location: pulumi.Input[str] | None = None
    """The region, such as ``westeurope``; the provider's, ``azure-native:location``, when absent."""
    resource_group: pulumi.Input[str] | None = None
    """The name of a resource group that is there; when absent one is made for this app and stack alone."""
    settings: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Values of the variables that the app looks up with ``ps.env``, and of Penstock's own, ``PENSTOCK_…``."""
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Values of those that it looks up with ``ps.secret``; they are secret from here on, and kept in Key Vault."""
    access: str = ""
    """How whoever comes shows who he is: ``keys``, and with commas ``oidc`` (tokens of an issuer too) and ``sas``
    (signatures of Azure's clients too), each with its ``secrets``. Empty: nobody is asked."""
    ingress: bool = False
    """Whether the doors are open from outside, over TLS: with ``access`` alone."""
    min_workers: int = 1
    """Replicas of the worker, at least."""
    max_workers: int = 5
    """Replicas of the worker, at most."""
    lag_threshold: int = 50
    """Records that a replica may be behind before there is another. On a topic of ``encoding="json"`` a record is an
    event, on others a batch of them."""
    courier_replicas: int = 1
    """Replicas of the courier, where the app has subscriptions. Each keeps to a subscription's ``rate`` and
    ``concurrency`` by itself, so that two send twice as much."""
    gateway_cpu: float = 0.5
    """vCPU of the gateway, 0.25 to 2 in steps of 0.25; its memory is twice as many GiB, as Consumption has it."""
    worker_cpu: float = 1.0
    """vCPU of a replica of the worker, in the same way."""
    courier_cpu: float = 0.5
    """vCPU of a replica of the courier, in the same way."""
    throughput_units: int = 1
    """Throughput units of the namespace at first: each takes 1 MB or 1,000 events in, and 2 MB out, a second."""
    max_throughput_units: int = 4
    """Those to which it grows by itself under load; it does not shrink by itself."""
    registry: pulumi.Input[str] | None = None
    """The resource id of an Azure Container Registry that the image is pulled from; a public one needs none."""
    event_hubs_namespace: pulumi.Input[str] | None = None
    """The namespace's name, one in the world; when absent it is made of the app, the subscription and the group."""
    storage_account: pulumi.Input[str] | None = None
    """The storage account's name, likewise."""
    key_vault: pulumi.Input[str] | None = None
    """The vault's name, likewise."""
    purge_protection: bool = False
    """Whether nobody may remove the vault for good before its 90 days are over. It cannot be taken back, and keeps the
    vault's name taken for as long."""
    log_retention_days: int = 30
    """Days for which Log Analytics keeps what the services print, 30 to 730."""
    tags: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """On every resource that takes tags."""


@dataclass(frozen=True, slots=True)
class CheckedAzureArgs:
    """``given``, and what was read of it."""

    given: PenstockAppArgs
    plan: Plan
    opened: OpenedApp
    file: str  # of the app, in the image

    @property
    def needed(self) -> Requirements:
        return self.opened.needed


def checked(args: PenstockAppArgs) -> CheckedAzureArgs:
    """Raises ``DeclarationError`` for what is wrong, missing or too much, all of the app at once; ``PlanRefused`` for a
    plan that cannot be read."""
    plan = read_plan(args.plan)
    app = opened(plan, args.access, args.settings, args.secrets, has_ingress=args.ingress)
    needed = app.needed
    report = FindingCollector()
    check_limits(needed, report)
    _check_reserved(needed, report)
    check_values(needed, args.settings, args.secrets, report)
    report.raise_errors()
    if isinstance(args.image, str):
        check_image(args.image)
    _check_numbers(args)
    _check_names(args)
    if args.ingress and (app.answer_s or 0) > INGRESS_LIMIT_S:
        raise DeclarationError(
            f"ingress: a request may take {app.answer_s} seconds, and the platform ends it after {INGRESS_LIMIT_S}: "
            "make PENSTOCK_BODY_TIMEOUT or PENSTOCK_WAIT_LIMIT smaller"
        )
    return CheckedAzureArgs(args, plan, app, file_in_image(plan))


def _check_reserved(needed: Requirements, report: FindingCollector) -> None:
    for each in (*needed.secrets, *needed.settings):
        if each.name in RESERVED:
            message = f"the app looks up '{each.name}', by which the processes on Azure sign in themselves"
            report.error(each.reason.place, message, "give the variable another name")


def _check_numbers(args: PenstockAppArgs) -> None:
    for title, number, least, most in (
        ("min_workers", args.min_workers, 1, REPLICAS_LIMIT),  # the registry's owner is in a worker
        ("max_workers", args.max_workers, args.min_workers, REPLICAS_LIMIT),
        ("courier_replicas", args.courier_replicas, 1, REPLICAS_LIMIT),
        ("lag_threshold", args.lag_threshold, 1, math.inf),
        ("throughput_units", args.throughput_units, 1, UNITS_LIMIT),
        ("max_throughput_units", args.max_throughput_units, args.throughput_units, UNITS_LIMIT),
        ("log_retention_days", args.log_retention_days, 30, 730),
        ("gateway_cpu", args.gateway_cpu, CPU_STEP, CPU_LIMIT),
        ("worker_cpu", args.worker_cpu, CPU_STEP, CPU_LIMIT),
        ("courier_cpu", args.courier_cpu, CPU_STEP, CPU_LIMIT),
    ):
        if not least <= number <= most:
            raise DeclarationError(f"{title}: {number} is not within {least} and {most}")
        if title.endswith("_cpu") and number % CPU_STEP:
            raise DeclarationError(f"{title}: {number}: Consumption has steps of {CPU_STEP} vCPU")
    if len(args.tags) > TAGS_LIMIT:
        raise DeclarationError(f"tags: {len(args.tags)} of them, and a storage account has room for {TAGS_LIMIT}")


def _check_names(args: PenstockAppArgs) -> None:
    for title, (legal, rule) in NAMES.items():
        given = getattr(args, title)
        if isinstance(given, str) and not re.fullmatch(legal, given):
            raise DeclarationError(f"{title}: '{given}' is not {rule}")
