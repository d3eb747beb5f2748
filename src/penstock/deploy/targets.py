"""Where an app can be deployed: a row a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..declare.planning.findings import Finding, FindingCollector
from ..errors import CannotStart
from ..plan.plan import Plan
from .access import DoorAccess, with_access
from .azure import limits as azure
from .azure.project import PROJECT as AZURE
from .kubernetes import limits as kubernetes
from .kubernetes.project import PROJECT as KUBERNETES
from .project.values import TargetProject
from .requirements import Requirements, requirements_of


@dataclass(frozen=True, slots=True)
class DeployTarget:
    """``check_limits`` adds what it cannot hold to a report; ``remarks``: what no declaration can be at fault for.
    ``project``: what its Pulumi project has of its own."""

    check_limits: Callable[[Requirements, FindingCollector], None]
    remarks: tuple[str, ...]
    project: TargetProject


TARGETS: Mapping[str, DeployTarget] = {
    "azure": DeployTarget(azure.check_limits, azure.REMARKS, AZURE),
    "kubernetes": DeployTarget(kubernetes.check_limits, kubernetes.REMARKS, KUBERNETES),
}


def target(name: str) -> DeployTarget:
    """Raises ``CannotStart`` for one that there is not."""
    if name not in TARGETS:
        raise CannotStart(f"--target {name}: there are {' and '.join(TARGETS)}")
    return TARGETS[name]


def not_held(plan: Plan, name: str, access: DoorAccess | None = None) -> list[Finding]:
    """What the target cannot hold of the app, each with its place in ``plan``.

    Raises ``CannotStart`` for an unknown target, ``DeclarationError`` as ``requirements_of``
    and ``with_access``.
    """
    report, there = FindingCollector(), target(name)
    there.check_limits(with_access(requirements_of(plan), access), report)
    return report.findings
